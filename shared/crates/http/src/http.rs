//! The request that a handler receives and the response that it returns.
//!
//! Contains requests, responses, bodies, queries, tokens in headers, the client network and CORS.
//! Uses the types of the `http` crate. Contains neither Lambda types (see `lambda`) nor rules of an
//! endpoint.

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

/// One HTTP request, independent of the type of the Lambda event.
pub struct Request {
    /// The HTTP method. `GET` for a HEAD request.
    pub method: Method,
    /// Whether this is a HEAD request: the handler responds as to GET, and the body is not sent. It must change
    /// nothing.
    pub is_head: bool,
    /// The raw path, without the stage of API Gateway.
    pub path: String,
    /// The route of API Gateway (`/a/{b}`). It distinguishes a wrong method on a known path from an
    /// unknown path.
    pub resource: String,
    /// The query, percent-decoded once.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decoded from the base64 text of the event.
    pub body: Vec<u8>,
    /// The network that the request comes from.
    pub network: ClientNetwork,
    /// The request ID of API Gateway. The log and the body of a 500 contain it.
    pub id: String,
}

crate::opaque_debug!(Request);

/// The body of a [`Response`].
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// No body (OA-97).
    Empty,
    /// `application/json` (HTTP-05), already serialised.
    Json(String),
    /// `text/html`, with the content security policy of the page.
    Html {
        /// The page.
        page: String,
        /// The value of the `Content-Security-Policy` header.
        policy: String,
    },
}

crate::opaque_debug!(Content);

/// One HTTP response. [`Response::headers`] adds the CORS and caching headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub content: Content,
    /// The value of the `Retry-After` header in whole seconds (HTTP-20).
    pub retry_after: Option<u64>,
    /// The value of the `Location` header (3PID-30).
    pub location: Option<String>,
    /// The value of the `Allow` header of a 405 response.
    pub allow: Option<&'static str>,
    /// Whether the response has the header `WWW-Authenticate: Bearer`.
    pub requires_bearer: bool,
    /// The time in seconds for which anyone may cache the response. `None` if nobody may cache it.
    pub max_age: Option<u32>,
    /// The value of the `Set-Cookie` header.
    pub cookie: Option<String>,
    /// Whether the response belongs to a browser session of this server: no other origin may read it (OA-50), and a
    /// form on the page sends its origin (OA-51).
    pub is_same_origin: bool,
}

impl Response {
    /// A JSON response.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // Serialisation fails only for maps with keys that are not strings. No response has one.
        let text = serde_json::to_string(body).unwrap_or_default();
        Self::json_text(status, text)
    }

    /// A JSON response from serialised JSON.
    pub fn json_text(status: StatusCode, text: String) -> Self {
        Self {
            status,
            content: Content::Json(text),
            retry_after: None,
            location: None,
            allow: None,
            requires_bearer: false,
            max_age: None,
            cookie: None,
            is_same_origin: false,
        }
    }

    /// A response without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            content: Content::Empty,
            ..Self::json_text(status, String::new())
        }
    }

    /// A 200 response with a JSON body.
    pub fn ok(body: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// The headers of this response, including [`COMMON_HEADERS`] (HTTP-05, HTTP-11, HTTP-12,
    /// HTTP-20, TOK-18, UIA-76).
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers: Vec<(&'static str, String)> = COMMON_HEADERS
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        if self.is_same_origin {
            headers.retain(|(name, _)| !name.starts_with("access-control-"));
        }
        if let Some(seconds) = self.max_age {
            headers.retain(|(name, _)| *name != CACHE_CONTROL);
            headers.push((CACHE_CONTROL, format!("public, max-age={seconds}")));
        }
        match &self.content {
            Content::Empty => {}
            Content::Json(_) => headers.push(("content-type", "application/json".to_owned())),
            Content::Html { policy, .. } => {
                headers.push(("content-type", "text/html; charset=utf-8".to_owned()));
                headers.push(("content-security-policy", policy.clone()));
                let referrer = if self.is_same_origin {
                    "same-origin"
                } else {
                    "strict-origin"
                };
                headers.push(("referrer-policy", referrer.to_owned()));
                headers.push(("x-frame-options", "DENY".to_owned()));
            }
        }
        if let Some(cookie) = &self.cookie {
            headers.push(("set-cookie", cookie.clone()));
        }
        if let Some(location) = &self.location {
            headers.push(("location", location.clone()));
        }
        if let Some(methods) = self.allow {
            headers.push(("allow", methods.to_owned()));
        }
        if self.requires_bearer {
            headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        if let Some(seconds) = self.retry_after {
            headers.push(("retry-after", seconds.to_string()));
        }
        headers
    }
}

const CACHE_CONTROL: &str = "cache-control";

/// The headers of every response (HTTP-11). The CORS values are the values of specification r0, which
/// are a superset of the current values (HTTP-12). They also allow scripts to read `Retry-After`
/// (HTTP-20). Caching is disabled unless a response has a [`Response::max_age`], because most responses contain a token or
/// disclose whether an account exists. The gateway responses of the template repeat these headers.
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
    (CACHE_CONTROL, "no-store"),
    ("x-content-type-options", "nosniff"),
];
