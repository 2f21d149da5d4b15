//! Changes of the whole account: a new password, the deactivation, the reset of cross-signing keys.

use shared::{
    account_changes::{self, DeactivationSubject},
    accounts::{self, DeviceLogout, PasswordChange},
    app::App,
    clock::Timestamp,
    credentials,
    error::{ErrorCode, MatrixError},
    homeserver::{self, Change as HomeserverChange},
    http::Response,
    limits::{self, Limit},
    oauth::{AccountAction, browser_sessions},
    oauth_pages::{Browser, Failure},
    outbox::Notice,
    secrets::Secret,
    security_notifications,
};

use super::{Change, done};
use crate::{page::Page, show, views::Link, visitor::Visitor};

/// Sets a new password and gives this browser a new session. All devices are signed out, unless the user keeps them
/// (OA-130). `password_set` is the time at which the verified password was set.
pub(super) async fn change_password(
    change: &Change<'_>,
    password_set: Timestamp,
) -> Result<Response, Failure> {
    let Change { app, visitor, .. } = change;
    // PWD-15
    accounts::ensure_password_changes_enabled(&app.config).map_err(MatrixError::from)?;
    let again = |error: MatrixError| {
        let status = error.code.status();
        Ok(show::password(app, visitor, status, Some(&error.message)))
    };
    let field = |name| change.form.get(name).unwrap_or_default();
    let password = Secret::new(field("password").to_owned());
    if password.reveal() != field("password_again") {
        let message = "The two passwords are different";
        return again(MatrixError::new(ErrorCode::InvalidParam, message));
    }
    if let Err(error) = account_changes::check_new_password(app, Some(visitor.user()), &password) {
        return again(error.into());
    }
    let logout = if field("devices") == "keep" {
        DeviceLogout::None
    } else {
        DeviceLogout::All
    };
    let changed_at = write_password(change, &password, password_set, logout.clone()).await?;
    let browser = new_session(app, visitor, &logout, changed_at).await;
    let text = match logout {
        DeviceLogout::None => "All devices stay signed in.",
        DeviceLogout::All | DeviceLogout::AllExcept { .. } => "All devices are signed out.",
    };
    let link = Link::new(&app.config, &Page::Start, "Your account");
    let browser = browser.as_ref().unwrap_or(&visitor.browser);
    Ok(done(
        app,
        browser,
        "Your password is changed",
        text,
        Some(link),
    ))
}

/// Changes the password with one hash and one transaction. Returns the time of the change.
async fn write_password(
    change: &Change<'_>,
    password: &Secret,
    password_set: Timestamp,
    logout: DeviceLogout,
) -> Result<Timestamp, Failure> {
    let Change { app, visitor, .. } = change;
    let (user, account) = (visitor.user(), &visitor.session.account);
    let (charged, threepids) = tokio::join!(
        limits::consume(app, Limit::PasswordHash, change.network),
        account_changes::threepids(app, user)
    );
    charged?;
    let threepids = threepids?;
    let (hash, notices) = tokio::join!(
        app.hasher.hash(password, &*app.rng),
        security_notifications::notify(app, user, &threepids, Notice::PasswordChanged)
    );
    let messages = account_changes::password_messages(app, user, notices?, &logout);
    let carried = Some(account).filter(|_| logout != DeviceLogout::None);
    let new = PasswordChange {
        user: user.clone(),
        account: account.clone(),
        password: hash.map_err(MatrixError::from)?,
        device_logout: logout,
        known: Some(password_set),
        validated: None,
        is_by_recent_threepid: false,
        messages,
        now: app.clock.now(),
    };
    let written = app.store.change_password(&new, None);
    let logged_out = HomeserverChange::DevicesLoggedOut { kept: None };
    let (outcome, ()) = tokio::join!(
        homeserver::carry_over(app, user, carried, logged_out, written),
        credentials::trust_network(app, user, change.network)
    );
    outcome.map_err(MatrixError::from)?;
    Ok(new.now)
}

/// Begins the session of the browser after a password change at `changed_at`. If a call fails, the user has to log in with the new
/// password, because the change cannot be undone.
async fn new_session(
    app: &App,
    visitor: &Visitor,
    logout: &DeviceLogout,
    changed_at: Timestamp,
) -> Option<Browser> {
    let raised = i64::from(*logout != DeviceLogout::None);
    let epoch = visitor.session.account.epoch + raised;
    let earlier = visitor.browser.cookie();
    let begun = browser_sessions::begin(app, (visitor.user(), epoch), changed_at, earlier).await;
    begun
        .map(Browser::with_new_cookie)
        .map_err(|error| MatrixError::from(error).log())
        .ok()
}

/// Deactivates the account, which ends all sessions. `password_set` is the time at which the verified password was set.
pub(super) async fn deactivate(
    change: &Change<'_>,
    password_set: Timestamp,
) -> Result<Response, Failure> {
    let Change { app, visitor, .. } = change;
    if !AccountAction::AccountDeactivate.is_possible(&app.config) {
        let message = "Accounts cannot be deactivated on this server";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    let subject = DeactivationSubject {
        user: visitor.user().clone(),
        account: visitor.session.account.clone(),
        verified_password: Some(password_set),
    };
    let erase = change.form.get("erase") == Some("yes");
    let (end, _) = account_changes::prepare_deactivation(app, subject, erase, None).await?;
    let ended = app.store.deactivate(&end, None);
    let change = HomeserverChange::Deactivated { erase };
    homeserver::carry_over(app, &end.user, Some(&end.account), change, ended)
        .await
        .map_err(MatrixError::from)?;
    let text = "Nobody can use it or its name again.";
    Ok(done(
        app,
        &visitor.browser,
        "Your account is deactivated",
        text,
        None,
    ))
}

/// Permits the reset of the cross-signing keys at the homeserver (OA-140). A repetition starts the ten minutes again.
pub(super) async fn allow_cross_signing_reset(change: &Change<'_>) -> Result<Response, Failure> {
    let Change { app, visitor, .. } = change;
    let homeserver =
        homeserver::of(app).filter(|_| homeserver::is_at_homeserver(&visitor.session.account));
    let Some(homeserver) = homeserver else {
        let message = "The homeserver has no keys of this account";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    };
    let allowed = homeserver.allow_cross_signing_reset(visitor.user()).await;
    allowed.map_err(MatrixError::from)?;
    Ok(done(
        app,
        &visitor.browser,
        "The reset is allowed",
        "Go back to your app within ten minutes to finish the reset.",
        None,
    ))
}
