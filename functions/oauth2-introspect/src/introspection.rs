//! Introspection: whether the homeserver may serve requests with a token.
//!
//! The homeserver introspects each access token that is not in its cache, for all its users from one network. These
//! requests therefore have no rate limit.

use std::time::Duration;

use serde::Serialize;
use shared::{
    app::App,
    config::HomeserverConfig,
    error::{ErrorCode, MatrixError},
    http::{self, Query, Request as HttpRequest, Response as HttpResponse},
    secrets::{Secret, constant_time_eq},
    tokens::{self, Session},
};

/// The scope of every active token, without the device: both spellings of the access to the API (OA-136).
const SCOPE: &str = "openid urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:*";
/// The header of a homeserver that reads the member `device_id` of the response.
const SUPPORTS_DEVICE_ID: &str = "x-mas-supports-device-id";
/// The client of the tokens of the account API.
const ACCOUNT_API: &str = "legacy";
/// The start of the scope of a device.
const DEVICE_SCOPE: &str = "urn:matrix:client:device:";

/// The response body. An inactive token has no other member.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether the homeserver may serve requests with the token.
    pub active: bool,
    /// The members about an active token.
    #[serde(flatten)]
    pub token: Option<ActiveToken>,
}

/// The members about an active token (HS-05).
#[derive(Debug, Serialize)]
pub struct ActiveToken {
    /// The permissions of the token, separated by blanks.
    pub scope: String,
    /// The localpart of the user.
    pub username: String,
    /// A stable ID of the user. The localpart is stable, because it is never registered again.
    pub sub: String,
    /// The device of the token. It takes precedence over the device in the scope.
    pub device_id: String,
    /// The client of the OAuth 2.0 API, or `legacy` for a token of the account API (OA-137).
    pub client_id: String,
    /// How a client sends the token.
    pub token_type: &'static str,
    /// The remaining lifetime in whole seconds. Absent if the token does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// Responds with the state of a token.
pub(crate) async fn answer(
    app: &App,
    homeserver: &HomeserverConfig,
    request: &HttpRequest,
) -> Result<HttpResponse, MatrixError> {
    authenticate(homeserver, request)?;
    let form = Query::of_form(&request.body)?;
    let token = form
        .get("token")
        .ok_or_else(|| MatrixError::new(ErrorCode::MissingParam, "`token` is missing"))?;
    let session = tokens::introspect(app, &Secret::new(token.to_owned())).await?;
    // OA-136: without the header, a homeserver reads the device from the scope only. Palpo would take any device of the
    // user.
    let reads_device_id = request.headers.contains_key(SUPPORTS_DEVICE_ID);
    let session =
        session.filter(|session| reads_device_id || is_scope_token(session.device.as_str()));
    let now = app.clock.now();
    let remaining = |session: &Session| session.expires.map(|expires| expires.since(now));
    Ok(HttpResponse::ok(&Response {
        active: session.is_some(),
        token: session.map(|session| describe(&session, remaining(&session))),
    }))
}

/// Rejects a request without the shared secret, before the body is parsed and before any read (HS-02).
fn authenticate(homeserver: &HomeserverConfig, request: &HttpRequest) -> Result<(), MatrixError> {
    let error = match http::bearer(request) {
        Some(secret) if constant_time_eq(secret.reveal(), homeserver.secret.reveal()) => {
            return Ok(());
        }
        Some(_) => MatrixError::new(
            ErrorCode::UnknownToken,
            "The bearer token is not the secret that the homeserver shares with this server",
        ),
        None => MatrixError::new(
            ErrorCode::MissingToken,
            "The secret that the homeserver shares with this server is missing: \
             send it as a bearer token in the `Authorization` header",
        ),
    };
    Err(MatrixError {
        requires_bearer: true,
        ..error
    })
}

fn describe(session: &Session, remaining: Option<Duration>) -> ActiveToken {
    let (user, device) = (session.localpart.as_str(), session.device.as_str());
    // HS-06: a client can choose its device ID, and a blank in it would start another scope.
    let scope = if is_scope_token(device) {
        format!("{SCOPE} {DEVICE_SCOPE}{device}")
    } else {
        SCOPE.to_owned()
    };
    ActiveToken {
        scope,
        username: user.to_owned(),
        sub: user.to_owned(),
        device_id: device.to_owned(),
        client_id: session
            .oauth_client
            .clone()
            .unwrap_or_else(|| ACCOUNT_API.to_owned()),
        token_type: "Bearer",
        expires_in: remaining.map(seconds),
    }
}

/// Whether a text consists of the characters of a scope (`scope-token` of RFC 6749, section 3.3).
fn is_scope_token(text: &str) -> bool {
    let is_allowed = |byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    text.bytes().all(is_allowed)
}

/// A lifetime in whole seconds, rounded up and at least 1. A homeserver treats a token with a lifetime of 0 as inactive
/// and logs the client out, although the client may still refresh the token.
fn seconds(lifetime: Duration) -> u64 {
    let started = u64::from(lifetime.subsec_nanos() > 0);
    lifetime.as_secs().saturating_add(started).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hs_05_a_lifetime_is_rounded_up_and_never_zero() {
        for (millis, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (3_600_000, 3600)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn hs_06_only_visible_ascii_without_quotes_is_a_scope() {
        for text in ["PHONE", "a.b-c_~", "!#[]:/*", "'`{|}"] {
            assert!(is_scope_token(text), "{text}");
        }
        for text in ["a b", "a\tb", "a\"b", "a\\b", "ü", "a\u{a0}b", "a\u{2003}b"] {
            assert!(!is_scope_token(text), "{text}");
        }
    }
}
