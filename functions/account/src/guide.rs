//! The page of a server without the OAuth 2.0 API (HS-09). It describes the changes that users can make in their app, as
//! the settings of this server permit. It has no form, a query has no effect, and it makes no call.

use askama::Template;
use http::StatusCode;
use shared::{
    config::Config,
    http::Response,
    pages::{self, Allowed},
};

#[derive(Template)]
#[template(path = "guide.html")]
struct GuidePage<'a> {
    server: &'a str,
    changes: Vec<Change>,
}

/// A change that users can make in their app.
#[derive(Debug, Clone, Copy)]
struct Change {
    name: &'static str,
    text: &'static str,
}

/// The page.
pub(crate) fn page(config: &Config) -> Response {
    let page = GuidePage {
        server: config.server_name.as_str(),
        changes: changes(config),
    };
    pages::html(StatusCode::OK, &page, Allowed::default())
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
            "The account is deactivated permanently: nobody can use it or its name again.",
        ),
    ];
    let possible = all.into_iter().filter(|(is_possible, ..)| *is_possible);
    possible
        .map(|(_, name, text)| Change { name, text })
        .collect()
}
