//! What a person sees who opens the link in a mail, or a browser that submits a code.
//!
//! Two endpoints share these pages: the one that the link leads to, and the one that its button
//! posts to.

use ::http::StatusCode;
use askama::Template;

use crate::{
    app::App,
    http::{Query, Response},
    pages::{self, Allowed},
    secrets::Secret,
    threepid_validation::{MatchedSession, SubmitError, ValidationPurpose, is_opaque_id},
    threepids::Medium,
};

/// No code and no link's token is longer, in characters (3PID-48).
pub const MAX_TOKEN_CHARS: usize = 255;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    style: &'static str,
    server: &'a str,
    what: &'a str,
    sid: &'a str,
    token: &'a str,
}

/// What a link's query or a form's body names.
pub struct Named {
    /// The session.
    pub sid: String,
    /// The code or the link's token.
    pub token: Secret,
    /// The client's secret, where it is in the link.
    pub client_secret: Option<Secret>,
}

crate::opaque_debug!(Named);

impl Named {
    /// Reads the fields; `None` if they cannot be a session's.
    pub fn read(fields: &Query) -> Option<Self> {
        let secret = fields.get("client_secret").filter(|text| !text.is_empty());
        let (sid, token) = (fields.get("sid")?, fields.get("token")?);
        let lawful = is_opaque_id(sid)
            && secret.is_none_or(is_opaque_id)
            && (1..=MAX_TOKEN_CHARS).contains(&token.chars().count());
        lawful.then(|| Self {
            sid: sid.to_owned(),
            token: Secret::new(token.to_owned()),
            client_secret: secret.map(|secret| Secret::new(secret.to_owned())),
        })
    }
}

/// The medium in the path of either endpoint: `/validate/{medium}/…`.
pub fn medium(path: &str) -> Option<Medium> {
    let mut parts = path.rsplit('/');
    parts.next()?;
    Medium::parse(parts.next()?)
}

/// The page that asks whether it was them (3PID-52). Showing it proves nothing.
pub fn ask(app: &App, named: &Named, opened: &MatchedSession) -> Response {
    let server = app.config.server_name.as_str();
    let what = match opened.purpose {
        ValidationPurpose::Register => format!(
            "Somebody is creating an account on {server} with your address. Go on only if it is you and you asked for it just now."
        ),
        ValidationPurpose::Reset => format!(
            "Somebody wants to set a new password for your account on {server}, and can when you go on. Go on only if it is you and you asked for it just now."
        ),
        ValidationPurpose::Add => format!(
            "Somebody is adding your address to an account on {server}. Go on only if it is you and you asked for it just now."
        ),
    };
    let page = ConfirmPage {
        style: pages::STYLE,
        server,
        what: &what,
        sid: &named.sid,
        token: named.token.reveal(),
    };
    // The form ends at the client's own page, if it named one: browsers want to know beforehand.
    let destination = opened.next_link.as_deref().and_then(origin);
    let allowed = Allowed {
        destination,
        ..Allowed::default()
    };
    pages::html(StatusCode::OK, &page, allowed)
}

/// What is shown, or where the browser goes, when the address is validated (3PID-30).
pub fn validated(app: &App, opened: MatchedSession) -> Response {
    let title = "Thank you";
    let text = "Your address is confirmed. You may now close this window and go back to your app.";
    let page = pages::message(&app.config, StatusCode::OK, title, text);
    match opened.next_link {
        Some(link) => pages::see_other(page, link),
        None => page,
    }
}

/// What is shown to somebody who says that it was not them.
pub fn refused(app: &App) -> Response {
    let text = "The link no longer works, and nothing has been done with your address. There is nothing else that you need to do.";
    pages::message(&app.config, StatusCode::OK, "Good that you said so", text)
}

/// A failure in words (HTTP-28). A link that is wrong and one that has ended look the same: which it
/// was is of no use to whoever holds it.
pub fn failed(app: &App, error: SubmitError) -> Response {
    match error {
        SubmitError::Unknown | SubmitError::Expired | SubmitError::Incorrect => pages::message(
            &app.config,
            StatusCode::BAD_REQUEST,
            "That does not work",
            "The link or the code is not complete, or it has expired or been used. Ask for another one in your app.",
        ),
        SubmitError::Limit(_) | SubmitError::Store(_) => pages::trouble(&app.config, &error.into()),
    }
}

/// Scheme and host of a link that has been judged.
fn origin(link: &str) -> Option<&str> {
    let start = link.find("://")? + 3;
    let end = link[start..]
        .find(['/', '?', '#'])
        .map_or(link.len(), |end| start + end);
    link.get(..end)
}
