//! The commands for the homeserver that uses this server for all accounts (HS-19): pending updates, comparison and
//! repair. Other commands use this module to carry their changes of accounts over to the homeserver.

mod sync;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use serde_json::json;
use shared::{
    clock::Timestamp,
    config::read_homeserver,
    homeserver::{Change, Homeserver, is_at_homeserver},
    homeserver_client::Client,
    ids::Localpart,
    store::{AccountRow, HomeserverState, PendingUpdate, StoreError, user_of_update},
};

use crate::{Admin, Report, times, users};

/// The commands for the homeserver.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the users with changes that the homeserver does not have yet, and the responses that rejected them
    Pending,
    /// Compare all users with the homeserver, and repair the differences
    Sync(sync::Sync),
    /// Declare that an account here and a user of the homeserver with the same name belong to the same person
    ///
    /// Without it, the user of the homeserver is never changed, and the owner of the account here cannot log in.
    Adopt {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<Report> {
    match command {
        Command::Pending => report_pending(admin).await,
        Command::Sync(sync) => sync::run(admin, &required_client(admin)?, sync).await,
        Command::Adopt { name, yes } => adopt(admin, &users::localpart(admin, name)?, *yes).await,
    }
}

/// The client for the homeserver, if it is configured.
pub(crate) fn client(admin: &Admin) -> anyhow::Result<Option<Client>> {
    let config = read_homeserver(|name| admin.environment.get(name));
    let config = config.context("the settings are invalid")?;
    Ok(config.as_ref().map(Client::new))
}

fn required_client(admin: &Admin) -> anyhow::Result<Client> {
    client(admin)?.context(
        "set GATEHOUSE_HOMESERVER_URL and GATEHOUSE_HOMESERVER_SECRET to the values of the functions",
    )
}

/// The homeserver, with the tables and the clock of the admin CLI.
pub(crate) fn homeserver<'a>(admin: &'a Admin, client: &'a Client) -> Homeserver<'a> {
    Homeserver::new(&admin.store, &*admin.clock, client)
}

/// Runs `operation`, which changes an account, and carries the change over to the homeserver. If the environment of the
/// admin CLI has no homeserver, `deliver` carries the change over within two minutes.
pub(crate) async fn carry_over<T, E>(
    admin: &Admin,
    user: &Localpart,
    account: Option<&AccountRow>,
    change: Change<'_>,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E>
where
    E: From<StoreError>,
{
    let Some(account) = account.filter(|account| is_at_homeserver(account)) else {
        return operation.await;
    };
    // `doctor` reports invalid settings.
    if let Ok(Some(client)) = client(admin) {
        let homeserver = homeserver(admin, &client);
        return homeserver
            .carry_over(user, account, change, operation)
            .await;
    }
    admin.store.request_update(user, admin.clock.now()).await?;
    operation.await
}

/// All pending updates, whether they are due or not.
pub(crate) async fn pending(admin: &Admin) -> Result<Vec<PendingUpdate>, StoreError> {
    let (mut pending, mut page) = (Vec::new(), None);
    loop {
        let due = admin.store.due_updates(Timestamp(i64::MAX), page).await?;
        for id in &due.ids {
            let user = user_of_update(id).and_then(Localpart::stored);
            if let Some(user) = user
                && let Some(update) = admin.store.find_update(&user).await?
            {
                pending.push(update);
            }
        }
        page = due.next;
        if page.is_none() {
            return Ok(pending);
        }
    }
}

async fn report_pending(admin: &Admin) -> anyhow::Result<Report> {
    let pending = pending(admin).await?;
    let rows = pending.iter().map(|update| {
        json!({
            "user": update.user, "since": update.since, "attempts": update.attempts,
            "rejection": update.rejection,
        })
    });
    let json = json!({ "pending": rows.collect::<Vec<_>>() });
    let lines = pending.iter().map(|update| {
        let since = times::show(update.since);
        let rejection = update.rejection.as_ref();
        let rejection = rejection.map_or(String::new(), |text| format!(", rejected: {text}"));
        let (user, attempts) = (update.user.as_str(), update.attempts);
        format!("{user}: since {since}, attempts: {attempts}{rejection}")
    });
    let mut lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        lines.push("the homeserver has every change".to_owned());
    }
    Ok(Report::success(times::with_rfc3339(json), lines.join("\n")))
}

/// Records that the homeserver's user with this name belongs to the account.
async fn adopt(admin: &Admin, user: &Localpart, yes: bool) -> anyhow::Result<Report> {
    let client = required_client(admin)?;
    let name = user.as_str();
    ensure!(
        client.find_user(user).await?.is_some(),
        "the homeserver has no user `{name}`"
    );
    if !yes {
        bail!(
            "the owner of the account `{name}` here gets the user `{name}` of the homeserver with its rooms; \
             confirm that both belong to the same person with --yes"
        );
    }
    let from = [HomeserverState::NotProvisioned, HomeserverState::Foreign];
    let adopted = admin
        .store
        .set_homeserver_state(user, &from, HomeserverState::Provisioned);
    ensure!(
        adopted.await?,
        "there is no account `{name}` here, it is deactivated, or the homeserver's user belongs to it already"
    );
    Ok(Report::success(
        json!({ "adopted": name }),
        format!("the homeserver's user {name} now belongs to the account {name}"),
    ))
}
