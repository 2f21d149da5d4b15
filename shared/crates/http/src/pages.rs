//! HTML pages: the common style and the content security policy.
//!
//! A page cannot be embedded in a frame. It may load and run only the sources and the script in [`Allowed`].
//! Templates escape all values. This module contains nothing about a stage or an endpoint.

use ::http::StatusCode;
use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    error::MatrixError,
    http::{Content, Response},
};

/// The style of every page.
pub const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem;color:#222;background:#fff;overflow-wrap:anywhere}\
h1{font-size:1.3rem}label{display:block}input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem;margin:.2rem 0 1rem}form>div{margin-bottom:1rem}\
input[type=checkbox]{width:auto}input[type=checkbox]+label{display:inline}select{font:inherit;width:100%;padding:.4rem;margin:.2rem 0 1rem}button{font:inherit;padding:.5rem 1.2rem;border:0;border-radius:.3rem;background:#0b6e4f;color:#fff;cursor:pointer}\
button.other{background:none;color:#0b6e4f}.error{color:#a40000}.what{color:#555}";

/// Exceptions from the content security policy for one page.
#[derive(Debug, Default, Clone, Copy)]
pub struct Allowed<'a> {
    /// The origin of the scripts, frames and connections of a widget.
    pub sources: Option<&'a str>,
    /// The only inline script.
    pub script: Option<&'static str>,
    /// An origin other than this server to which a submission of the form may redirect.
    pub destination: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    style: &'static str,
    server: &'a str,
    title: &'a str,
    text: &'a str,
    script: Option<&'static str>,
    /// The seconds after which the page reloads itself.
    refresh: Option<u64>,
}

/// A page with a message, usually about a failure (HTTP-28).
pub fn message(config: &Config, status: StatusCode, title: &str, text: &str) -> Response {
    message_page(status, &MessagePage::new(config, title, text))
}

/// A page that confirms a success. Its script notifies the window that opened it.
pub fn message_with_script(
    config: &Config,
    title: &str,
    text: &str,
    script: &'static str,
) -> Response {
    let page = MessagePage {
        script: Some(script),
        ..MessagePage::new(config, title, text)
    };
    message_page(StatusCode::OK, &page)
}

/// A page for an error that the user cannot correct. The error is logged if it is internal, and the
/// page does not contain its message.
pub fn error(config: &Config, error: &MatrixError) -> Response {
    error_page(config, error, false)
}

/// The page of [`error`] for a URL that a browser may open again. After a rate limit, the page reloads itself.
pub fn error_with_reload(config: &Config, error: &MatrixError) -> Response {
    error_page(config, error, true)
}

fn error_page(config: &Config, error: &MatrixError, is_reloaded: bool) -> Response {
    error.log();
    let retry_after = error.response("").retry_after;
    let text = match retry_after {
        Some(seconds) if is_reloaded => {
            format!(
                "There were too many requests. This page continues by itself in {seconds} seconds."
            )
        }
        Some(seconds) => {
            format!("There were too many requests. Go back and try again in {seconds} seconds.")
        }
        None => "Please try again later.".to_owned(),
    };
    let page = MessagePage {
        refresh: retry_after.filter(|_| is_reloaded),
        ..MessagePage::new(config, "The request failed", &text)
    };
    Response {
        // The page replaces the JSON body, but the `Retry-After` header stays.
        retry_after,
        ..message_page(error.code.status(), &page)
    }
}

impl<'a> MessagePage<'a> {
    fn new(config: &'a Config, title: &'a str, text: &'a str) -> Self {
        Self {
            style: STYLE,
            server: config.server_name.as_str(),
            title,
            text,
            script: None,
            refresh: None,
        }
    }
}

fn message_page(status: StatusCode, page: &MessagePage<'_>) -> Response {
    let allowed = Allowed {
        script: page.script,
        ..Allowed::default()
    };
    html(status, page, allowed)
}

/// A page from a template, with its content security policy.
pub fn html(status: StatusCode, page: &impl Template, allowed: Allowed<'_>) -> Response {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let scripts = match (allowed.sources, allowed.script) {
        (Some(sources), _) => {
            format!("; script-src {sources}; frame-src {sources}; connect-src {sources}")
        }
        (None, Some(script)) => format!("; script-src {}", hash(script)),
        (None, None) => String::new(),
    };
    let destination = allowed
        .destination
        .map_or(String::new(), |origin| format!(" {origin}"));
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'self'{destination}; frame-ancestors 'none'; \
         style-src {} {}{scripts}",
        hash(STYLE),
        allowed.sources.unwrap_or_default()
    );
    // Rendering cannot fail, because the templates are compiled and write to memory.
    let page = page.render().unwrap_or_default();
    Response {
        status,
        content: Content::Html { page, policy },
        retry_after: None,
        location: None,
        allow: None,
        requires_bearer: false,
        max_age: None,
        cookie: None,
        is_same_origin: false,
    }
}

/// The page as a redirect to `location` after the submission of a form.
#[must_use]
pub fn see_other(page: Response, location: String) -> Response {
    Response {
        status: StatusCode::SEE_OTHER,
        location: Some(location),
        ..page
    }
}
