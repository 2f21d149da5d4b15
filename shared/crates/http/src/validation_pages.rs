//! The pages of a validation in the browser: confirmation, success, report and error.
//!
//! Two endpoints share these pages: the endpoint that the link in an e-mail opens, and the endpoint to which the
//! buttons of the confirmation page post.

use ::http::StatusCode;
use askama::Template;

use crate::{
    app::App,
    http::{Query, Response},
    pages::{self, Allowed},
    secrets::Secret,
    threepid_validation::{
        MatchedSession, RequestOrigin, SubmitError, ValidationPurpose, is_opaque_id,
    },
    threepids::Medium,
};

/// The maximum length of a code or link token in characters (3PID-48).
pub const MAX_TOKEN_CHARS: usize = 255;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    style: &'static str,
    server: &'a str,
    what: &'a str,
    origin: Option<RequestOrigin>,
    sid: &'a str,
    token: &'a str,
}

/// The fields of the query of a link or of the body of a form.
pub struct SubmittedFields {
    /// The session ID.
    pub sid: String,
    /// The code or the link token.
    pub token: Secret,
    /// The `client_secret`, if it is given.
    pub client_secret: Option<Secret>,
}

crate::opaque_debug!(SubmittedFields);

impl SubmittedFields {
    /// Reads the fields. Returns `None` if one is missing or does not match its grammar.
    pub fn read(fields: &Query) -> Option<Self> {
        let secret = fields.get("client_secret").filter(|text| !text.is_empty());
        let (sid, token) = (fields.get("sid")?, fields.get("token")?);
        let is_well_formed = is_opaque_id(sid)
            && secret.is_none_or(is_opaque_id)
            && (1..=MAX_TOKEN_CHARS).contains(&token.chars().count());
        is_well_formed.then(|| Self {
            sid: sid.to_owned(),
            token: Secret::new(token.to_owned()),
            client_secret: secret.map(|secret| Secret::new(secret.to_owned())),
        })
    }
}

/// The medium in the path of both endpoints: `/validate/{medium}/…`.
pub fn medium(path: &str) -> Option<Medium> {
    let mut parts = path.rsplit('/');
    parts.next()?;
    Medium::parse(parts.next()?)
}

/// The page that asks the recipient of an e-mail to confirm the request (3PID-52). Opening the page validates
/// nothing.
pub fn confirmation_page(
    app: &App,
    fields: &SubmittedFields,
    session: &MatchedSession,
) -> Response {
    let server = app.config.server_name.as_str();
    let what = match session.purpose {
        ValidationPurpose::Register => format!(
            "Someone is creating an account on {server} with your address. Continue only if it is you and you have just requested this."
        ),
        ValidationPurpose::Reset => format!(
            "Someone has requested a new password for your account on {server} and can set it if you continue. Continue only if it is you and you have just requested this."
        ),
        ValidationPurpose::Add => format!(
            "Someone is adding your address to an account on {server}. Continue only if it is you and you have just requested this."
        ),
    };
    let page = ConfirmPage {
        style: pages::STYLE,
        server,
        what: &what,
        origin: session.origin,
        sid: &fields.sid,
        token: fields.token.reveal(),
    };
    // The form may redirect to the client's page. Browsers apply `form-action` to the redirect too.
    let destination = session.next_link.as_deref().and_then(origin);
    let allowed = Allowed {
        destination,
        ..Allowed::default()
    };
    pages::html(StatusCode::OK, &page, allowed)
}

/// The page after the validation, or the redirect to the client's page (3PID-30).
pub fn validated_page(app: &App, session: MatchedSession) -> Response {
    let title = "Thank you";
    let text = "Your address is confirmed. You can close this window and return to your app.";
    let page = pages::message(&app.config, StatusCode::OK, title, text);
    match session.next_link {
        Some(link) => pages::see_other(page, link),
        None => page,
    }
}

/// The page after the recipient of the e-mail has reported that they did not request it.
pub fn not_me_page(app: &App) -> Response {
    let text = "The link no longer works, and your address was not used. You do not need to do anything else.";
    pages::message(&app.config, StatusCode::OK, "Report received", text)
}

/// The error page (HTTP-28). It does not distinguish a wrong link from an expired one, because the difference does not
/// help the user.
pub fn error_page(app: &App, error: SubmitError) -> Response {
    match error {
        SubmitError::Spent => pages::message(
            &app.config,
            StatusCode::OK,
            "Thank you",
            "This address is confirmed. There is nothing else to do.",
        ),
        SubmitError::Unknown | SubmitError::Expired | SubmitError::Incorrect => pages::message(
            &app.config,
            StatusCode::BAD_REQUEST,
            "This link or code does not work",
            "The link or code is incomplete, has expired or has already been used. Request a new one in your app.",
        ),
        SubmitError::Limit(_) | SubmitError::Store(_) => pages::error(&app.config, &error.into()),
    }
}

/// The origin of a checked `next_link`: scheme and host.
fn origin(link: &str) -> Option<&str> {
    let start = link.find("://")? + 3;
    let end = link[start..]
        .find(['/', '?', '#'])
        .map_or(link.len(), |end| start + end);
    link.get(..end)
}
