//! A new password on the recovery pages (OA-61). The operation is the same as for a client without an access token.

use super::{Parameters, carry_out, spec};
use crate::{
    accounts,
    app::App,
    error::Rejection,
    http::ClientNetwork,
    secrets::Secret,
    uia::request::{ProtectedRequest, RequestOutcome},
};

/// A new password on the recovery pages.
#[derive(Debug)]
pub struct BrowserReset {
    /// The session string of the UIA session, in which the user has validated a 3PID.
    pub session: Secret,
    /// The new password.
    pub password: Secret,
    /// Whether all devices are logged out.
    pub logs_out: bool,
    /// The client network.
    pub network: ClientNetwork,
}

/// Sets the new password, or returns a challenge as the error. A repeated form has the same result (OA-67).
pub async fn reset_in_browser(app: &App, reset: BrowserReset) -> Result<(), Rejection> {
    // PWD-15
    accounts::ensure_password_changes_enabled(&app.config)?;
    let BrowserReset {
        session,
        password,
        logs_out,
        network,
    } = reset;
    // Another password is another request. The stored state contains only a hash of this text.
    let canonical = format!("recovery page\n{logs_out}\n{}", password.reveal());
    let opened = ProtectedRequest::open_page(app, spec(), network, session, canonical);
    let protected = match opened.await? {
        RequestOutcome::Replay(_) => return Ok(()),
        RequestOutcome::New(protected) => *protected,
    };
    let given = Parameters {
        new_password: Some(password),
        logout_devices: Some(logs_out),
    };
    Box::pin(carry_out(app, protected, given)).await?;
    Ok(())
}
