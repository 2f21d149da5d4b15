//! The edge as values: what a handler is given and what it gives back.
//!
//! Owns requests, responses, bodies, queries, tokens in headers, the client's address and CORS.
//! Knows the `http` crate's types and neither Lambda (see `lambda`) nor any rule of an endpoint.

mod body;
mod error_response;
mod path;
mod query;
mod token;

use ::http::{HeaderMap, Method, StatusCode};
use serde::Serialize;

pub use crate::client_network::{ClientNetwork, TrustedProxies};
pub use body::{Body, MAX_BODY_BYTES};
pub use query::Query;
pub use token::{access_token, bearer, optional_access_token};

/// One request, whatever carried it here.
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The raw path, without the gateway's stage.
    pub path: String,
    /// The gateway's name for the route (`/a/{b}`), by which a wrong method on a known path is
    /// told from an unknown path.
    pub resource: String,
    /// The query, percent-decoded once.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decoded from the event's base64.
    pub body: Vec<u8>,
    /// The network the request comes from.
    pub network: ClientNetwork,
    /// The gateway's id for this request; it is in the log, and in the body of a 500.
    pub id: String,
}

crate::opaque_debug!(Request);

/// What the body of a [`Response`] is.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// `application/json` (HTTP-05), already serialised.
    Json(String),
    /// `text/html`, with the page's content security policy.
    Html {
        /// The page.
        page: String,
        /// The value of its `Content-Security-Policy` header.
        policy: String,
    },
}

crate::opaque_debug!(Content);

/// One response. CORS and caching headers are added where it leaves (`lambda`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub content: Content,
    /// Whole seconds for a `Retry-After` header (HTTP-20).
    pub retry_after: Option<u64>,
    /// Where a browser goes on (3PID-30).
    pub location: Option<String>,
}

impl Response {
    /// A JSON response.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // Only maps with keys that are no strings fail to serialise; none of our shapes has one.
        let text = serde_json::to_string(body).unwrap_or_default();
        Self::json_text(status, text)
    }

    /// A JSON response from text that is JSON already.
    pub fn json_text(status: StatusCode, text: String) -> Self {
        Self {
            status,
            content: Content::Json(text),
            retry_after: None,
            location: None,
        }
    }

    /// A 200 with a JSON body.
    pub fn ok(body: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// The headers of this response, those that every response carries included (HTTP-05, HTTP-11,
    /// HTTP-12, HTTP-20, TOK-18, UIA-76).
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers: Vec<(&'static str, String)> = COMMON_HEADERS
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        match &self.content {
            Content::Json(_) => headers.push(("content-type", "application/json".to_owned())),
            Content::Html { policy, .. } => {
                headers.push(("content-type", "text/html; charset=utf-8".to_owned()));
                headers.push(("content-security-policy", policy.clone()));
                headers.push(("referrer-policy", "strict-origin".to_owned()));
                headers.push(("x-frame-options", "DENY".to_owned()));
            }
        }
        if let Some(location) = &self.location {
            headers.push(("location", location.clone()));
        }
        if let Some(seconds) = self.retry_after {
            headers.push(("retry-after", seconds.to_string()));
        }
        headers
    }
}

/// On every response (HTTP-11): the CORS values of r0, a superset of today's (HTTP-12), with
/// `Retry-After` within a script's reach (HTTP-20), and no caching, since most answers hold a token
/// or tell who has an account. The template's gateway responses repeat them.
pub const COMMON_HEADERS: [(&str, &str); 6] = [
    ("access-control-allow-origin", "*"),
    (
        "access-control-allow-methods",
        "GET, POST, PUT, DELETE, OPTIONS",
    ),
    (
        "access-control-allow-headers",
        "Origin, X-Requested-With, Content-Type, Accept, Authorization",
    ),
    ("access-control-expose-headers", "Retry-After"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
];
