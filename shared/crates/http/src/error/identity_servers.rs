//! The errcode and message of each error of an identity server call. Rejections by the identity
//! server are relayed with their errcode and message (IDS-07).

use std::time::Duration;

use ::http::StatusCode;

use super::{ErrorCode, MatrixError};
use crate::{
    identity_servers::{
        BindError, IdServerError, IdServerNameError, IdServerRejection, IdTokenError, UnbindError,
    },
    tokens::AuthenticationError,
};

/// Errcodes about access tokens and users. A client would apply them to its access token for this server and log out.
const TOKEN_ERRCODES: [&str; 5] = [
    "M_MISSING_TOKEN",
    "M_UNKNOWN_TOKEN",
    "M_USER_DEACTIVATED",
    "M_USER_LOCKED",
    "M_USER_SUSPENDED",
];

impl From<IdServerNameError> for MatrixError {
    fn from(error: IdServerNameError) -> Self {
        match error {
            IdServerNameError::Form => Self::new(
                ErrorCode::InvalidParam,
                "`id_server` must be a host name with an optional port and nothing else",
            ),
            IdServerNameError::PrivateNetwork => Self::new(
                ErrorCode::InvalidParam,
                "This server does not call identity servers in private networks",
            ),
            IdServerNameError::Untrusted => Self::new(
                ErrorCode::ServerNotTrusted,
                "This server does not trust this identity server",
            ),
        }
    }
}

impl From<IdTokenError> for MatrixError {
    fn from(error: IdTokenError) -> Self {
        match error {
            IdTokenError::Missing => {
                Self::new(ErrorCode::MissingParam, "`id_access_token` is missing")
            }
            IdTokenError::Malformed => Self::new(
                ErrorCode::InvalidParam,
                "`id_access_token` is not a valid token",
            ),
        }
    }
}

impl From<IdServerError> for MatrixError {
    fn from(error: IdServerError) -> Self {
        match error {
            IdServerError::Refused(rejection) => relay(rejection),
            IdServerError::UnexpectedResponse(_) | IdServerError::Unreachable(_) => Self::new(
                ErrorCode::IdServer,
                "The identity server did not respond or sent an invalid response: try again later",
            ),
        }
    }
}

/// The rejection with the errcode and message of the identity server. A 5xx status becomes a 502,
/// because it is not a failure of this server. Errcodes about tokens of the identity server are
/// replaced, because the client would apply them to its access token for this server.
fn relay(rejection: IdServerRejection) -> MatrixError {
    let status = match rejection.status {
        code @ 400..=499 => StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST),
        // Old identity servers send 200 with an errcode.
        ..400 => StatusCode::BAD_REQUEST,
        500.. => StatusCode::BAD_GATEWAY,
    };
    let errcode = if TOKEN_ERRCODES.contains(&rejection.errcode.as_str()) {
        "M_UNAUTHORIZED".to_owned()
    } else {
        rejection.errcode
    };
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    MatrixError {
        relayed: Some((status, errcode)),
        retry_after: limited.then(|| rejection.retry_after.unwrap_or(Duration::from_secs(1))),
        ..MatrixError::new(ErrorCode::IdServer, rejection.message)
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
            message: "A message".to_owned(),
            retry_after: None,
        })
        .into();
        let response = error.response("id");
        let Content::Json(text) = response.content else {
            panic!("the response is not JSON");
        };
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["error"], "A message");
        assert!(body.get("request_id").is_none());
        let errcode = body["errcode"].as_str().unwrap().to_owned();
        (response.status.as_u16(), errcode, response.retry_after)
    }

    #[test]
    fn ids_07_identity_server_errors_are_relayed() {
        let without_retry = |status, errcode: &str| (status, errcode.to_owned(), None);
        assert_eq!(
            relayed(403, "M_TERMS_NOT_SIGNED"),
            without_retry(403, "M_TERMS_NOT_SIGNED")
        );
        assert_eq!(
            relayed(404, "M_NO_VALID_SESSION"),
            without_retry(404, "M_NO_VALID_SESSION")
        );
        assert_eq!(
            relayed(200, "M_SESSION_EXPIRED"),
            without_retry(400, "M_SESSION_EXPIRED")
        );
        assert_eq!(relayed(500, "M_UNKNOWN"), without_retry(502, "M_UNKNOWN"));
        assert_eq!(
            relayed(429, "M_UNKNOWN"),
            (429, "M_UNKNOWN".to_owned(), Some(1))
        );
    }

    #[test]
    fn token_errcodes_of_identity_servers_are_replaced() {
        for errcode in TOKEN_ERRCODES {
            assert_eq!(relayed(401, errcode).1, "M_UNAUTHORIZED", "{errcode}");
        }
    }
}
