//! The pages of the OAuth 2.0 API: cookie, forms, and the pages that several functions show.
//!
//! A page has no script, and no other origin may read it or embed it (OA-50, OA-51). A form is built and checked like
//! this:
//!
//! - `GET`: [`Browser::of_or_new`] takes the cookie of the request or makes a new one. [`Browser::form`] gives the start
//!   of a form, which a template prints with `{{ form|safe }}`: the `<form>` tag, the CSRF token of the path that the form
//!   posts to, and the sealed [`Context`]. [`Browser::page`] renders the template and sets a new cookie.
//! - `POST`: [`Submission::parse`] checks size, content type, origin, cookie and CSRF token without any call (OA-54), and
//!   [`Submission::context`] opens the context. Every failure is a [`FormError`], which has a page.
//! - After a login, a sign-up or a logout the cookie changes (OA-55): [`Browser::with_new_cookie`] is the browser with
//!   the new cookie, for which the next page seals the context again. [`consent::page`] is the page after a login or a
//!   sign-up.
//!
//! [`link`] has the pages of the device authorization grant, with a [`LinkContext`](crate::oauth::LinkContext) in place of
//! the [`Context`].

mod access;
mod browser;
pub mod consent;
mod failure;
mod forms;
pub mod link;
pub mod login;
mod password_login;
pub mod recovery;
pub mod response;
pub mod sign_up;

use ::http::StatusCode;
use askama::Template;

pub use browser::Browser;
pub use failure::Failure;
pub use forms::{FormError, FormStart, Submission};
pub use password_login::PasswordLogin;

use access::Access;

use crate::{
    config::Config,
    error::MatrixError,
    http::Response,
    oauth::Context,
    pages::{self, Allowed},
};

/// The path of the sign-up page. Its parameter `context` is the sealed [`Context`].
pub const SIGN_UP: &str = "/oauth2/sign-up";

/// The parameter of the sign-up page that makes it show the login page.
pub const LOGIN: &str = "login";

/// The path of the recovery pages. Their parameter `context` is the sealed [`Context`].
pub const RECOVERY: &str = "/oauth2/recovery";

/// The notice for a client that asks for a sign-up while registration is closed (OA-42).
const REGISTRATION_CLOSED: &str = "This server does not accept new accounts at present.";

/// A page with a message (OA-32).
pub fn message(config: &Config, status: StatusCode, title: &str, text: &str) -> Response {
    same_origin(pages::message(config, status, title, text))
}

/// The page of an error that the user cannot correct. The error is logged if it is internal.
pub fn error(config: &Config, error: &MatrixError) -> Response {
    same_origin(pages::error(config, error))
}

/// A page from a template, which sets no cookie.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    same_origin(pages::html(status, template, Allowed::default()))
}

/// The path of this server below its host, as a link or a form of a page must name it. `path` starts with a slash.
pub fn path_of(config: &Config, path: &str) -> String {
    let url = &config.public_url;
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let base = rest.find('/').and_then(|start| rest.get(start..));
    format!("{}{path}", base.unwrap_or_default())
}

/// A query with these pairs.
pub fn query_of(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The link to the sign-up page, if registration is open (OA-43).
pub fn sign_up_link(config: &Config, sealed: &str) -> Option<String> {
    let is_open = !config.flows().is_empty();
    is_open.then(|| format!("{}?context={sealed}", path_of(config, SIGN_UP)))
}

/// The link to the recovery pages, if users can set a new password with a validated 3PID (OA-61).
pub fn recovery_link(config: &Config, sealed: &str) -> Option<String> {
    let can_validate = config.mail.is_some() || config.sms.is_some();
    let is_possible = config.password_changes && can_validate;
    is_possible.then(|| format!("{}?context={sealed}", path_of(config, RECOVERY)))
}

/// The URL of the login page of an authorization. The sign-up page shows it.
pub fn login_link(config: &Config, sealed: &str) -> String {
    format!("{}?context={sealed}&{LOGIN}=", path_of(config, SIGN_UP))
}

fn same_origin(response: Response) -> Response {
    Response {
        is_same_origin: true,
        ..response
    }
}
