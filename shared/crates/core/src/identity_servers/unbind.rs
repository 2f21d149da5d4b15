//! Unbinding: the identity server forgets that an address belongs to a user. It believes this
//! server's signature, and so needs nothing of the client's (IDS-13, DEACT-10).

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::{IdServerError, IdServerName, TrustedServer};
use crate::{
    app::App,
    id_server_client::Call,
    id_server_name,
    ids::Localpart,
    secrets::Secret,
    signing::{DestinationForm, SignedRequest},
    store::{IdentityBinding, StoreError},
    threepid::{Medium, ThreePid},
};

/// Where every identity server takes it, whatever else it speaks.
const PATH: &str = "/_matrix/identity/v2/3pid/unbind";
/// How long undoing everything may take.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How many identity servers, or addresses at one, are asked at once.
const MAX_CONCURRENT: usize = 16;

/// How unbinding went: all that a client is told (DEACT-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnbindResult {
    /// Nothing is bound any more.
    Success,
    /// Something may be.
    NoSupport,
}

/// Which addresses of a user are unbound.
#[derive(Debug, Clone, Copy)]
pub enum UnbindScope<'a> {
    /// All that are bound; at a server that is named these as well, the account's own (DEACT-06).
    All {
        /// The account's addresses.
        addresses: &'a [ThreePid],
    },
    /// This one, wherever it is bound.
    One(&'a ThreePid),
}

/// An address to be unbound at a server.
pub(super) struct Target<'a> {
    /// `None` if it is not trusted any more.
    pub(super) server: Option<&'a TrustedServer>,
    pub(super) medium: Medium,
    /// As the identity server knows it.
    pub(super) address: String,
    pub(super) record: Option<IdentityBinding>,
}

/// Unbinds on the way to something else, which no identity server may hold up: whatever goes wrong
/// is `no-support` (DEACT-08, DEACT-11, IDS-14), and after eight seconds it is over.
///
/// Nothing to undo is success where everything was asked for (DEACT-09), and `no-support` where one
/// address was (ACC3-05). A server that is named gets all of them; what is bound elsewhere is undone
/// all the same, since nobody else can do it.
pub async fn unbind_all(
    app: &App,
    user: &Localpart,
    scope: UnbindScope<'_>,
    id_server: Option<&IdServerName>,
) -> UnbindResult {
    let work = async {
        let Ok(bindings) = app.store.find_bindings(user).await else {
            tracing::warn!("what is bound at identity servers cannot be read");
            return UnbindResult::NoSupport;
        };
        let targets = targets(app, scope, id_server, bindings);
        if targets.is_empty() {
            return match scope {
                UnbindScope::All { .. } => UnbindResult::Success,
                UnbindScope::One(_) => UnbindResult::NoSupport,
            };
        }
        let outcomes = undo_all(app, user, &targets).await;
        let all = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(UnbindResult::Success)));
        if all {
            UnbindResult::Success
        } else {
            UnbindResult::NoSupport
        }
    };
    let outcome = tokio::time::timeout(TIMEOUT, work).await;
    outcome.unwrap_or(UnbindResult::NoSupport)
}

/// What is to be undone: what is recorded, and what the named server is to be told of besides.
fn targets<'a>(
    app: &'a App,
    scope: UnbindScope<'_>,
    id_server: Option<&IdServerName>,
    bindings: Vec<IdentityBinding>,
) -> Vec<Target<'a>> {
    let trusted = &app.config.identity_servers.trusted;
    let in_scope = |binding: &IdentityBinding| match scope {
        UnbindScope::All { .. } => true,
        UnbindScope::One(threepid) => {
            is_same(binding, threepid.medium, &threepid.address)
                && id_server.is_none_or(|named| named.as_str() == binding.id_server)
        }
    };
    let mut targets: Vec<Target<'a>> = bindings
        .into_iter()
        .filter(in_scope)
        .map(|binding| Target::of(trusted, binding))
        .collect();
    let Some(named) = id_server else {
        return targets;
    };
    let addresses = match scope {
        UnbindScope::All { addresses } => addresses,
        UnbindScope::One(threepid) => std::slice::from_ref(threepid),
    };
    for threepid in addresses {
        let is_there = targets.iter().any(|target| {
            target.record.as_ref().is_some_and(|record| {
                record.id_server == named.as_str()
                    && is_same(record, threepid.medium, &threepid.address)
            })
        });
        if !is_there {
            targets.push(Target {
                server: trusted.iter().find(|server| server.name == *named),
                medium: threepid.medium,
                address: threepid.address.clone(),
                record: None,
            });
        }
    }
    targets
}

/// Unbinds an address because its user says so: what the identity server says against it is for
/// them to hear (IDS-14). Without a server it is unbound wherever it is bound (IDS-20).
pub async fn unbind(
    app: &App,
    user: &Localpart,
    medium: Medium,
    address: &str,
    server: Option<&TrustedServer>,
) -> Result<UnbindResult, UnbindError> {
    let trusted = &app.config.identity_servers.trusted;
    let bindings = app.store.find_bindings(user).await?;
    let mut targets: Vec<_> = bindings
        .into_iter()
        .filter(|binding| is_same(binding, medium, address))
        .filter(|binding| server.is_none_or(|named| named.name.as_str() == binding.id_server))
        .map(|binding| Target::of(trusted, binding))
        .collect();
    if targets.is_empty() {
        let Some(server) = server else {
            return Ok(UnbindResult::NoSupport);
        };
        targets.push(Target {
            server: Some(server),
            medium,
            address: address.to_owned(),
            record: None,
        });
    }
    let mut result = UnbindResult::Success;
    for outcome in undo_all(app, user, &targets).await {
        if outcome? == UnbindResult::NoSupport {
            result = UnbindResult::NoSupport;
        }
    }
    Ok(result)
}

/// Why an address is not unbound.
#[derive(Debug, thiserror::Error)]
pub enum UnbindError {
    /// The identity server did not do it.
    #[error(transparent)]
    IdServer(#[from] IdServerError),
    /// What is bound could not be read, or not be forgotten.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<'a> Target<'a> {
    fn of(trusted: &'a [TrustedServer], binding: IdentityBinding) -> Self {
        Self {
            server: id_server_name::find(trusted, &binding.id_server).ok(),
            medium: binding.medium,
            address: binding.address.clone(),
            record: Some(binding),
        }
    }
}

/// Whether a record is about this address, however either is written: mailboxes in any case of
/// letters, numbers with a `+` or without.
fn is_same(binding: &IdentityBinding, medium: Medium, address: &str) -> bool {
    let normalize = |address: &str| match medium {
        Medium::Email => caseless::default_case_fold_str(address),
        Medium::Msisdn => address.trim_start_matches('+').to_owned(),
    };
    binding.medium == medium && normalize(&binding.address) == normalize(address)
}

/// Undoes all of them, some at once; the outcomes are in their order.
async fn undo_all(
    app: &App,
    user: &Localpart,
    targets: &[Target<'_>],
) -> Vec<Result<UnbindResult, UnbindError>> {
    let work: Vec<_> = targets
        .iter()
        .map(|target| undo(app, user, target))
        .collect();
    stream::iter(work).buffered(MAX_CONCURRENT).collect().await
}

/// Asks a server to forget one address, and forgets the record when it has.
pub(super) async fn undo(
    app: &App,
    user: &Localpart,
    target: &Target<'_>,
) -> Result<UnbindResult, UnbindError> {
    let Some(server) = target.server else {
        return Ok(UnbindResult::NoSupport);
    };
    match ask(app, user, server, target).await {
        Ok(()) => {}
        // It has said no in words of its own: there is nothing more to be had (IDS-14).
        Err(IdServerError::UnexpectedResponse(400 | 404 | 501)) => {
            return Ok(UnbindResult::NoSupport);
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(record) = &target.record {
        app.store.remove_binding(user, record).await?;
    }
    Ok(UnbindResult::Success)
}

/// One signed request, and if the signature is not believed one more in the other form (IDS-17).
async fn ask(
    app: &App,
    user: &Localpart,
    server: &TrustedServer,
    target: &Target<'_>,
) -> Result<(), IdServerError> {
    let first = signed(app, user, server, target, DestinationForm::DestinationIs).await;
    let Err(IdServerError::Refused(refusal)) = &first else {
        return first;
    };
    if ![401, 403].contains(&refusal.status) {
        return first;
    }
    match signed(app, user, server, target, DestinationForm::Destination).await {
        // The second word against it is no better than the first.
        Err(IdServerError::Refused(again)) if [401, 403].contains(&again.status) => first,
        other => other,
    }
}

async fn signed(
    app: &App,
    user: &Localpart,
    server: &TrustedServer,
    target: &Target<'_>,
    form: DestinationForm,
) -> Result<(), IdServerError> {
    let origin = &app.config.server_name;
    let content = json!({
        "mxid": user.user_id(origin),
        "threepid": { "medium": target.medium, "address": target.address },
    });
    let request = SignedRequest {
        method: "POST",
        uri: PATH,
        origin,
        destination: server.name.as_str(),
        content: &content,
    };
    let key = &app.config.identity_servers.keys.current;
    let unreachable = IdServerError::Unreachable("the request cannot be signed");
    let call = Call {
        server,
        method: "POST",
        uri: PATH,
        authorization: Some(Secret::new(
            request.authorization(key, form).ok_or(unreachable)?,
        )),
        body: Some(content.to_string()),
    };
    match app.identity_client().call(call).await {
        Ok(_) | Err(IdServerError::UnexpectedResponse(200)) => Ok(()),
        Err(error) => Err(error),
    }
}
