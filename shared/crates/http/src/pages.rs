//! Pages for people: what every page looks like, and what a browser lets it do.
//!
//! No page may be framed, load anything or run a script but the ones named here. Templates escape
//! what they are given. Knows no stage and no endpoint.

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
select{font:inherit;width:100%;padding:.4rem;margin:.2rem 0 1rem}button{font:inherit;padding:.5rem 1.2rem;border:0;border-radius:.3rem;background:#0b6e4f;color:#fff;cursor:pointer}\
button.other{background:none;color:#0b6e4f}.error{color:#a40000}.what{color:#555}";

/// What a page may do besides showing text.
#[derive(Debug, Default, Clone, Copy)]
pub struct Allowed<'a> {
    /// Where a widget loads its parts from.
    pub sources: Option<&'a str>,
    /// The one script.
    pub script: Option<&'static str>,
    /// Where its form may lead in the end, besides this server.
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
}

/// A page that only says something: a failure, most of the time (HTTP-28).
pub fn message(config: &Config, status: StatusCode, title: &str, text: &str) -> Response {
    said(config, status, title, text, None)
}

/// A page that says that something is done, and tells the window that opened it.
pub fn message_with_script(
    config: &Config,
    title: &str,
    text: &str,
    script: &'static str,
) -> Response {
    said(config, StatusCode::OK, title, text, Some(script))
}

/// A failure that is not the person's to mend: it is logged, and the page says no more than that.
pub fn trouble(config: &Config, error: &MatrixError) -> Response {
    error.log();
    let text = "Please try again in a moment.";
    let page = message(config, error.code.status(), "That did not work", text);
    Response {
        // The body is another, and the time to wait is the same.
        retry_after: error.response("").retry_after,
        ..page
    }
}

fn said(
    config: &Config,
    status: StatusCode,
    title: &str,
    text: &str,
    script: Option<&'static str>,
) -> Response {
    let page = MessagePage {
        style: STYLE,
        server: config.server_name.as_str(),
        title,
        text,
        script,
    };
    let allowed = Allowed {
        script,
        ..Allowed::default()
    };
    html(status, &page, allowed)
}

/// A page made of a template, with the policy that goes with it.
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
    // The templates are compiled in and write to memory: rendering does not fail.
    let page = page.render().unwrap_or_default();
    Response {
        status,
        content: Content::Html { page, policy },
        retry_after: None,
        location: None,
    }
}

/// The same response as a redirect that a form's submission ends with.
#[must_use]
pub fn see_other(page: Response, location: String) -> Response {
    Response {
        status: StatusCode::SEE_OTHER,
        location: Some(location),
        ..page
    }
}
