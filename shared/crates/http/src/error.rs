//! Matrix errors: the only module that maps a domain error to a status and an errcode.
//!
//! Each conversion (`conversions`, `identity_servers`) matches exhaustively, so that a new domain
//! error does not compile without an errcode. Errors that a client must not be able to distinguish
//! share one arm.

/// Converts domain errors to [`Rejection`], so that a handler can return them with `?`.
macro_rules! reject_as_error {
    ($($error:ty),*) => {
        $(impl From<$error> for $crate::error::Rejection {
            fn from(error: $error) -> Self {
                Self::Error(error.into())
            }
        })*
    };
}

pub(crate) use reject_as_error;

mod challenge;
mod conversions;
mod homeserver;
mod identity_servers;

use std::{borrow::Cow, time::Duration};

use ::http::StatusCode;

pub use challenge::{Challenge, StageError};
pub use homeserver::registration_error;

/// An errcode with its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// `M_APPSERVICE_LOGIN_UNSUPPORTED`
    AppserviceLoginUnsupported,
    /// `M_BAD_JSON`
    BadJson,
    /// `M_CAPTCHA_INVALID`, of a UIA stage
    CaptchaInvalid,
    /// `M_CAPTCHA_NEEDED`, of a UIA stage
    CaptchaNeeded,
    /// `M_EXCLUSIVE`
    Exclusive,
    /// `M_FORBIDDEN`
    Forbidden,
    /// `M_GUEST_ACCESS_FORBIDDEN`
    GuestAccessForbidden,
    /// `M_UNKNOWN` while the homeserver does not respond
    HomeserverUnavailable,
    /// `M_UNKNOWN` for a failed call to an identity server
    IdServer,
    /// `M_INVALID_PARAM`
    InvalidParam,
    /// `M_INVALID_USERNAME`
    InvalidUsername,
    /// `M_LIMIT_EXCEEDED`
    LimitExceeded,
    /// `M_MISSING_PARAM`
    MissingParam,
    /// `M_MISSING_TOKEN`
    MissingToken,
    /// `M_NOT_FOUND`
    NotFound,
    /// `M_NOT_JSON`
    NotJson,
    /// `M_SERVER_NOT_TRUSTED`
    ServerNotTrusted,
    /// `M_SESSION_EXPIRED`
    SessionExpired,
    /// `M_UNRECOGNIZED` for a UIA stage that cannot be completed now
    StageNotNext,
    /// `M_THREEPID_AUTH_FAILED`
    ThreePidAuthFailed,
    /// `M_THREEPID_DENIED`
    ThreePidDeniedError,
    /// `M_THREEPID_IN_USE`
    ThreePidInUse,
    /// `M_THREEPID_MEDIUM_NOT_SUPPORTED`
    ThreePidMediumNotSupported,
    /// `M_THREEPID_NOT_FOUND`
    ThreePidNotFound,
    /// `M_TOKEN_INCORRECT`
    TokenIncorrect,
    /// `M_TOO_LARGE`
    TooLarge,
    /// `M_UNAUTHORIZED`, of a UIA stage
    Unauthorized,
    /// `M_UNKNOWN` for an internal error
    Unknown,
    /// `M_UNKNOWN_TOKEN`
    UnknownToken,
    /// `M_UNKNOWN` for an unknown login type
    UnknownLoginType,
    /// `M_UNKNOWN` for an unknown UIA session
    UnknownSession,
    /// `M_UNRECOGNIZED` for an unknown path
    UnknownPath,
    /// `M_UNRECOGNIZED` for a method that the path does not support
    WrongMethod,
    /// `M_USER_IN_USE`
    UserInUse,
    /// `M_USER_LOCKED`
    UserLocked,
    /// `M_USER_SUSPENDED`
    UserSuspended,
    /// `M_WEAK_PASSWORD`
    WeakPassword,
}

impl ErrorCode {
    /// The value of `errcode` in the response.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppserviceLoginUnsupported => "M_APPSERVICE_LOGIN_UNSUPPORTED",
            Self::BadJson => "M_BAD_JSON",
            Self::CaptchaInvalid => "M_CAPTCHA_INVALID",
            Self::CaptchaNeeded => "M_CAPTCHA_NEEDED",
            Self::Exclusive => "M_EXCLUSIVE",
            Self::Forbidden => "M_FORBIDDEN",
            Self::GuestAccessForbidden => "M_GUEST_ACCESS_FORBIDDEN",
            Self::InvalidParam => "M_INVALID_PARAM",
            Self::InvalidUsername => "M_INVALID_USERNAME",
            Self::LimitExceeded => "M_LIMIT_EXCEEDED",
            Self::MissingParam => "M_MISSING_PARAM",
            Self::MissingToken => "M_MISSING_TOKEN",
            Self::NotFound => "M_NOT_FOUND",
            Self::NotJson => "M_NOT_JSON",
            Self::ServerNotTrusted => "M_SERVER_NOT_TRUSTED",
            Self::SessionExpired => "M_SESSION_EXPIRED",
            Self::ThreePidAuthFailed => "M_THREEPID_AUTH_FAILED",
            Self::ThreePidDeniedError => "M_THREEPID_DENIED",
            Self::ThreePidInUse => "M_THREEPID_IN_USE",
            Self::ThreePidMediumNotSupported => "M_THREEPID_MEDIUM_NOT_SUPPORTED",
            Self::ThreePidNotFound => "M_THREEPID_NOT_FOUND",
            Self::TokenIncorrect => "M_TOKEN_INCORRECT",
            Self::TooLarge => "M_TOO_LARGE",
            Self::Unauthorized => "M_UNAUTHORIZED",
            Self::Unknown
            | Self::UnknownLoginType
            | Self::UnknownSession
            | Self::IdServer
            | Self::HomeserverUnavailable => "M_UNKNOWN",
            Self::UnknownToken => "M_UNKNOWN_TOKEN",
            Self::StageNotNext | Self::UnknownPath | Self::WrongMethod => "M_UNRECOGNIZED",
            Self::UserInUse => "M_USER_IN_USE",
            Self::UserLocked => "M_USER_LOCKED",
            Self::UserSuspended => "M_USER_SUSPENDED",
            Self::WeakPassword => "M_WEAK_PASSWORD",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::AppserviceLoginUnsupported
            | Self::BadJson
            | Self::Exclusive
            | Self::InvalidParam
            | Self::InvalidUsername
            | Self::MissingParam
            | Self::NotJson
            | Self::ServerNotTrusted
            | Self::SessionExpired
            | Self::ThreePidInUse
            | Self::ThreePidMediumNotSupported
            | Self::ThreePidNotFound
            | Self::TokenIncorrect
            | Self::UnknownLoginType
            | Self::UserInUse
            | Self::WeakPassword => StatusCode::BAD_REQUEST,
            Self::CaptchaInvalid
            | Self::CaptchaNeeded
            | Self::MissingToken
            | Self::StageNotNext
            | Self::Unauthorized
            | Self::UnknownSession
            | Self::UnknownToken
            | Self::UserLocked => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::GuestAccessForbidden
            | Self::ThreePidAuthFailed
            | Self::ThreePidDeniedError
            | Self::UserSuspended => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            Self::IdServer => StatusCode::BAD_GATEWAY,
            Self::HomeserverUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A standard Matrix error. The client receives the errcode and the message. Only the log contains the cause.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct MatrixError {
    /// The errcode.
    pub code: ErrorCode,
    /// The human-readable message (`error`). It never contains anything that the client sent.
    pub message: Cow<'static, str>,
    /// The time after which the client may try again (HTTP-20, HTTP-21).
    pub retry_after: Option<Duration>,
    /// Whether the client may keep its data and log in again (TOK-06).
    pub soft_logout: bool,
    /// Whether the body also has `success: false`, as responses of identity servers do (DIS-16).
    pub unsuccessful: bool,
    /// The status and errcode from an identity server. They replace the status and errcode of `code` (IDS-07).
    pub relayed: Option<(StatusCode, String)>,
    /// The methods of the path, for the header `Allow` of a 405 response (RFC 9110).
    pub allow: Option<&'static str>,
    /// Whether a 401 response has the header `WWW-Authenticate: Bearer` (RFC 6750).
    pub requires_bearer: bool,
    /// The cause, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl MatrixError {
    /// An error with only an errcode and a message.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            soft_logout: false,
            unsuccessful: false,
            relayed: None,
            allow: None,
            requires_bearer: false,
            source: None,
        }
    }

    /// M_UNRECOGNIZED for a path without an endpoint (HTTP-08), also for a path whose endpoint is off (HS-01).
    pub fn unknown_path() -> Self {
        Self::new(ErrorCode::UnknownPath, "The path does not exist")
    }

    /// M_APPSERVICE_LOGIN_UNSUPPORTED while clients log in only with the OAuth 2.0 API (OA-145).
    pub fn without_appservice_login() -> Self {
        Self::new(
            ErrorCode::AppserviceLoginUnsupported,
            "This server has no login of application services. Register with `inhibit_login`",
        )
    }

    /// M_LIMIT_EXCEEDED with the time after which the client may try again.
    pub fn limited(retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(
                ErrorCode::LimitExceeded,
                "Too many requests: try again later",
            )
        }
    }

    /// Logs an internal error with its causes. For all other errors, the log line of the response
    /// is sufficient.
    pub fn log(&self) {
        if self.code == ErrorCode::Unknown {
            let mut causes = Vec::new();
            let mut cause = std::error::Error::source(self);
            while let Some(this) = cause {
                causes.push(this.to_string());
                cause = this.source();
            }
            tracing::error!(
                causes = causes.join(": "),
                "the request failed with an internal error"
            );
        }
    }
}

/// The reason why a handler did not complete a request. A handler returns it with `?`.
#[derive(Debug)]
pub enum Rejection {
    /// Further UIA stages are required. This is not a failure.
    Challenge(Box<Challenge>),
    /// A standard error.
    Error(MatrixError),
}

impl From<MatrixError> for Rejection {
    fn from(error: MatrixError) -> Self {
        Self::Error(error)
    }
}

impl From<Challenge> for Rejection {
    fn from(challenge: Challenge) -> Self {
        Self::Challenge(Box::new(challenge))
    }
}
