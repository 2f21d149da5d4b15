//! Which fact about an identity server gets which errcode. Its own words are passed on (IDS-07).

use std::time::Duration;

use ::http::StatusCode;

use super::{ErrorCode, MatrixError};
use crate::{
    identity_servers::{
        BindError, IdServerError, IdServerNameError, IdServerRejection, IdTokenError, UnbindError,
    },
    tokens::AuthenticationError,
};

/// Errcodes by which a client would take its token for this server for dead.
const ABOUT_OUR_TOKENS: [&str; 5] = [
    "M_MISSING_TOKEN",
    "M_UNKNOWN_TOKEN",
    "M_USER_DEACTIVATED",
    "M_USER_LOCKED",
    "M_USER_SUSPENDED",
];

impl From<IdServerNameError> for MatrixError {
    fn from(fault: IdServerNameError) -> Self {
        match fault {
            IdServerNameError::Form => Self::new(
                ErrorCode::InvalidParam,
                "`id_server` must be a host with an optional port and nothing else",
            ),
            IdServerNameError::PrivateNetwork => Self::new(
                ErrorCode::InvalidParam,
                "`id_server` is an address that this server does not call",
            ),
            IdServerNameError::Untrusted => Self::new(
                ErrorCode::ServerNotTrusted,
                "This server does not trust that identity server",
            ),
        }
    }
}

impl From<IdTokenError> for MatrixError {
    fn from(fault: IdTokenError) -> Self {
        match fault {
            IdTokenError::Missing => {
                Self::new(ErrorCode::MissingParam, "`id_access_token` is missing")
            }
            IdTokenError::Malformed => {
                Self::new(ErrorCode::InvalidParam, "`id_access_token` is no token")
            }
        }
    }
}

impl From<IdServerError> for MatrixError {
    fn from(error: IdServerError) -> Self {
        match error {
            IdServerError::Refused(refusal) => relay(refusal),
            IdServerError::UnexpectedResponse(_) | IdServerError::Unreachable(_) => Self::new(
                ErrorCode::IdServer,
                "The identity server does not answer, or not in a way we understand: try again later",
            ),
        }
    }
}

/// A refusal in its own words. An identity server's own failure is not this server's, and what it
/// says of its tokens must not be taken for ours.
fn relay(refusal: IdServerRejection) -> MatrixError {
    let status = match refusal.status {
        code @ 400..=499 => StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST),
        // Old ones answer 200 to what they refuse.
        ..400 => StatusCode::BAD_REQUEST,
        500.. => StatusCode::BAD_GATEWAY,
    };
    let errcode = if ABOUT_OUR_TOKENS.contains(&refusal.errcode.as_str()) {
        "M_UNAUTHORIZED".to_owned()
    } else {
        refusal.errcode
    };
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    MatrixError {
        relayed: Some((status, errcode)),
        retry_after: limited.then(|| refusal.retry_after.unwrap_or(Duration::from_secs(1))),
        ..MatrixError::new(ErrorCode::IdServer, refusal.message)
    }
}

impl From<BindError> for MatrixError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::IdServer(error) => error.into(),
            BindError::Deactivated => AuthenticationError::Unknown.into(),
            BindError::Store(error) => error.into(),
        }
    }
}

impl From<UnbindError> for MatrixError {
    fn from(error: UnbindError) -> Self {
        match error {
            UnbindError::IdServer(error) => error.into(),
            UnbindError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(
    BindError,
    IdServerError,
    IdServerNameError,
    IdTokenError,
    UnbindError
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Content;

    fn relayed(status: u16, errcode: &str) -> (u16, String, Option<u64>) {
        let error: MatrixError = IdServerError::Refused(IdServerRejection {
            status,
            errcode: errcode.to_owned(),
            message: "It said so".to_owned(),
            retry_after: None,
        })
        .into();
        let response = error.response("id");
        let Content::Json(text) = response.content else {
            panic!("no JSON");
        };
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["error"], "It said so");
        assert!(body.get("request_id").is_none());
        let errcode = body["errcode"].as_str().unwrap().to_owned();
        (response.status.as_u16(), errcode, response.retry_after)
    }

    #[test]
    fn ids_07_status_and_errcode_of_an_identity_server_are_passed_on() {
        let plain = |status, errcode: &str| (status, errcode.to_owned(), None);
        assert_eq!(
            relayed(403, "M_TERMS_NOT_SIGNED"),
            plain(403, "M_TERMS_NOT_SIGNED")
        );
        assert_eq!(
            relayed(404, "M_NO_VALID_SESSION"),
            plain(404, "M_NO_VALID_SESSION")
        );
        assert_eq!(
            relayed(200, "M_SESSION_EXPIRED"),
            plain(400, "M_SESSION_EXPIRED")
        );
        assert_eq!(relayed(500, "M_UNKNOWN"), plain(502, "M_UNKNOWN"));
        assert_eq!(
            relayed(429, "M_UNKNOWN"),
            (429, "M_UNKNOWN".to_owned(), Some(1))
        );
    }

    #[test]
    fn what_an_identity_server_says_of_its_tokens_logs_nobody_out_here() {
        for errcode in ABOUT_OUR_TOKENS {
            assert_eq!(relayed(401, errcode).1, "M_UNAUTHORIZED", "{errcode}");
        }
    }
}
