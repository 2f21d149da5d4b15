//! Requests and errors of the OAuth 2.0 API: forms, and errors in the format of RFC 6749, section 5.2.

use std::{borrow::Cow, time::Duration};

use ::http::{StatusCode, header};
use serde_json::json;

use crate::{
    error::{ErrorCode, MatrixError},
    http::{Query, Request, Response},
    oauth::{DeviceRequestError, GrantError, MetadataError, RegisterClientError, ServerMetadata},
};

/// The time in seconds for which a cache may keep the server metadata.
const METADATA_MAX_AGE: u32 = 600;

const UNKNOWN_CLIENT: &str = "the client is unknown: register it first";
const UNAUTHORIZED: &str = "the client has not registered this grant, or the grant is off";

/// The largest accepted body in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The value of `error`, with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthErrorCode {
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_request` for a body that is too large
    TooLarge,
    /// `invalid_request` for a body of another content type
    WrongContentType,
    /// `invalid_request` above a rate limit
    Limited,
    /// `invalid_client`
    InvalidClient,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `invalid_grant`
    InvalidGrant,
    /// `invalid_scope`
    InvalidScope,
    /// `authorization_pending`
    AuthorizationPending,
    /// `slow_down`
    SlowDown,
    /// `access_denied`
    AccessDenied,
    /// `expired_token`
    ExpiredToken,
    /// `invalid_redirect_uri`
    InvalidRedirectUri,
    /// `invalid_client_metadata`
    InvalidClientMetadata,
    /// `temporarily_unavailable`
    Unavailable,
    /// `server_error`
    ServerError,
}

impl OAuthErrorCode {
    /// The value of `error` in the response.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::TooLarge | Self::WrongContentType | Self::Limited => {
                "invalid_request"
            }
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::Unavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::InvalidGrant
            | Self::InvalidScope
            | Self::AuthorizationPending
            | Self::SlowDown
            | Self::AccessDenied
            | Self::ExpiredToken
            | Self::InvalidRedirectUri
            | Self::InvalidClientMetadata => StatusCode::BAD_REQUEST,
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error of the OAuth 2.0 API.
#[derive(Debug, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// The code.
    pub code: OAuthErrorCode,
    /// The description. It never contains anything that the client sent.
    pub description: Cow<'static, str>,
    /// The time after which the client may try again.
    pub retry_after: Option<Duration>,
}

impl OAuthError {
    /// An error.
    pub fn new(code: OAuthErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            description: description.into(),
            retry_after: None,
        }
    }

    /// The response.
    pub fn response(&self) -> Response {
        let body = json!({ "error": self.code.as_str(), "error_description": self.description });
        Response {
            retry_after: self.retry_after.map(retry_after_seconds),
            ..Response::json(self.code.status(), &body)
        }
    }
}

/// A duration in whole seconds, rounded up and at least 1, for the header `Retry-After`.
pub fn retry_after_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The failures that every endpoint has: a rate limit, and a failed call. They are logged here.
impl From<MatrixError> for OAuthError {
    fn from(error: MatrixError) -> Self {
        error.log();
        let code = match error.code {
            ErrorCode::LimitExceeded => OAuthErrorCode::Limited,
            ErrorCode::HomeserverUnavailable => OAuthErrorCode::Unavailable,
            ErrorCode::Unknown => OAuthErrorCode::ServerError,
            _ => OAuthErrorCode::InvalidRequest,
        };
        Self {
            code,
            description: error.message,
            retry_after: error.retry_after,
        }
    }
}

impl From<MetadataError> for OAuthError {
    fn from(error: MetadataError) -> Self {
        let code = match error {
            MetadataError::RedirectUri | MetadataError::RedirectUriCount => {
                OAuthErrorCode::InvalidRedirectUri
            }
            MetadataError::NotAnObject
            | MetadataError::WrongType(_)
            | MetadataError::ClientUri
            | MetadataError::Page(_)
            | MetadataError::Name
            | MetadataError::ApplicationType
            | MetadataError::AuthMethod
            | MetadataError::TooLong => OAuthErrorCode::InvalidClientMetadata,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RegisterClientError> for OAuthError {
    fn from(error: RegisterClientError) -> Self {
        match error {
            RegisterClientError::Limit(error) => MatrixError::from(error).into(),
            RegisterClientError::Store(error) => MatrixError::from(error).into(),
        }
    }
}

impl From<&GrantError> for OAuthError {
    fn from(error: &GrantError) -> Self {
        let code = match error {
            GrantError::UnknownClient => OAuthErrorCode::InvalidClient,
            GrantError::Unauthorized => OAuthErrorCode::UnauthorizedClient,
            GrantError::InvalidGrant => OAuthErrorCode::InvalidGrant,
            GrantError::Pending => OAuthErrorCode::AuthorizationPending,
            GrantError::SlowDown => OAuthErrorCode::SlowDown,
            GrantError::Denied => OAuthErrorCode::AccessDenied,
            GrantError::Expired => OAuthErrorCode::ExpiredToken,
            GrantError::Homeserver(_) => OAuthErrorCode::Unavailable,
            GrantError::Store(_) => OAuthErrorCode::ServerError,
        };
        let description = match error {
            GrantError::UnknownClient => UNKNOWN_CLIENT,
            GrantError::Unauthorized => UNAUTHORIZED,
            GrantError::InvalidGrant => {
                "the code or the refresh token is unknown, used or expired, or another parameter differs \
                 from the authorization request"
            }
            GrantError::Pending => "the user has not decided yet: poll again",
            GrantError::SlowDown => {
                "the polls are too frequent: wait five seconds longer before each"
            }
            GrantError::Denied => "the user refused access",
            GrantError::Expired => "the device code has expired: request a new one",
            GrantError::Homeserver(_) => "the homeserver is unavailable: try again later",
            GrantError::Store(_) => "the request failed: try again later",
        };
        Self::new(code, description)
    }
}

impl From<DeviceRequestError> for OAuthError {
    fn from(error: DeviceRequestError) -> Self {
        match error {
            DeviceRequestError::UnknownClient => {
                Self::new(OAuthErrorCode::InvalidClient, UNKNOWN_CLIENT)
            }
            DeviceRequestError::Unauthorized => {
                Self::new(OAuthErrorCode::UnauthorizedClient, UNAUTHORIZED)
            }
            DeviceRequestError::Scope(error) => {
                Self::new(OAuthErrorCode::InvalidScope, error.to_string())
            }
            DeviceRequestError::Limit(error) => MatrixError::from(error).into(),
            DeviceRequestError::Store(error) => MatrixError::from(error).into(),
        }
    }
}

/// The response with the metadata of this server, which anyone may cache.
pub fn server_metadata(metadata: &ServerMetadata) -> Response {
    Response {
        max_age: Some(METADATA_MAX_AGE),
        ..Response::ok(metadata)
    }
}

/// The parameters of a request. No parameter is repeated.
#[derive(Debug)]
pub struct Parameters(Query);

impl Parameters {
    /// Reads the form in the body.
    pub fn of_form(request: &Request) -> Result<Self, OAuthError> {
        check_body(request, "application/x-www-form-urlencoded")?;
        Self::of_query(Query::parse(&request.body))
    }

    /// Fails if a parameter is repeated (OA-30).
    pub fn of_query(query: Query) -> Result<Self, OAuthError> {
        let mut names: Vec<_> = query.pairs().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let message = "a parameter is repeated";
            return Err(OAuthError::new(OAuthErrorCode::InvalidRequest, message));
        }
        Ok(Self(query))
    }

    /// A parameter. An empty one is treated as absent (RFC 6749, section 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// A parameter. Fails with `invalid_request` if it is absent.
    pub fn required(&self, name: &'static str) -> Result<&str, OAuthError> {
        let missing = || {
            OAuthError::new(
                OAuthErrorCode::InvalidRequest,
                format!("`{name}` is missing"),
            )
        };
        self.get(name).ok_or_else(missing)
    }
}

/// Checks size and content type of a body.
pub fn check_body(request: &Request, content_type: &str) -> Result<(), OAuthError> {
    if request.body.len() > MAX_BODY_BYTES {
        let message = "the body is larger than 16 KiB";
        return Err(OAuthError::new(OAuthErrorCode::TooLarge, message));
    }
    let sent = request.headers.get(header::CONTENT_TYPE);
    let sent = sent.and_then(|value| value.to_str().ok());
    let media_type = sent
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if media_type.is_some_and(|sent| sent.eq_ignore_ascii_case(content_type)) {
        return Ok(());
    }
    let message = format!("the content type must be {content_type}");
    Err(OAuthError::new(OAuthErrorCode::WrongContentType, message))
}
