//! `GET /account`
//!
//! The page that clients open to manage an account (HS-09). The server metadata has its URL. It describes the changes that users can
//! make in their app, as the settings of this server permit. It contains no form and no script, and a query string has
//! no effect. The function reads no table. It is served together with the metadata: with
//! a homeserver (HS-01), or with the OAuth 2.0 API.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;
use shared::{
    app::App,
    config::Config,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    oauth::ServerMetadata,
    pages::{self, Allowed},
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    style: &'static str,
    server: &'a str,
    changes: Vec<Change>,
}

/// A change that users can make in their app.
#[derive(Debug, Clone, Copy)]
struct Change {
    name: &'static str,
    text: &'static str,
}

/// Handles the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(app: Arc<App>, _request: Request) -> Result<Response, Rejection> {
    if ServerMetadata::of(&app.config).is_none() {
        return Err(MatrixError::unknown_path().into());
    }
    let page = AccountPage {
        style: pages::STYLE,
        server: app.config.server_name.as_str(),
        changes: changes(&app.config),
    };
    Ok(pages::html(StatusCode::OK, &page, Allowed::default()))
}

/// The changes that the settings permit.
fn changes(config: &Config) -> Vec<Change> {
    let can_reset = config.mail.is_some() || config.sms.is_some();
    let all = [
        (
            config.password_changes,
            "Change your password",
            "Choose a new password at once if another person may know the old one.",
        ),
        (
            config.password_changes && can_reset,
            "Set a new password if you have forgotten the old one",
            "Choose “Forgot password” when you sign in. Before you sign out, make sure that your app has a backup of your \
             encrypted messages.",
        ),
        (
            true,
            "Sign out devices",
            "Sign out each device that you have lost or no longer use. Your app may call a device a session.",
        ),
        (
            config.threepid_changes && config.mail.is_some(),
            "Manage your e-mail addresses",
            "Keep one that you can read, so that you can set a new password if you forget the old one.",
        ),
        (
            config.threepid_changes && config.sms.is_some(),
            "Manage your phone numbers",
            "Remove a number before you give it up, because another person may get it.",
        ),
        (
            config.deactivation,
            "Deactivate your account",
            "The account ends for ever: nobody can use it or its name again.",
        ),
    ];
    let possible = all.into_iter().filter(|(is_possible, ..)| *is_possible);
    possible
        .map(|(_, name, text)| Change { name, text })
        .collect()
}
