//! `POST /oauth2/token`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#oauth-20-api): exchanges an authorization code
//! (OA-75 to OA-82), a refresh token (OA-85 to OA-100) or a device code (OA-112 to OA-117) for tokens.
//!
//! Under load and after faults the only response is 503 without a body: clients log out after any other error of a refresh
//! (OA-97). A valid refresh token has no rate limit. A refused request is charged to its network after its token was
//! checked, so that a network above its limit can still refresh valid tokens (OA-98). The tokens have too many random
//! bits to be guessed.

use std::{sync::Arc, time::Duration};

use ::http::StatusCode;
use serde_json::json;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request, Response},
    limits::{self, Limit, LimitError},
    oauth::{self, CodeRequest, GrantError, GrantType, TokenResponse},
    oauth_http::{OAuthError, OAuthErrorCode, Parameters, retry_after_seconds},
    secrets::Secret,
};

/// The time after which a client may try again after a fault.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let parameters = match Parameters::of_form(&request) {
        Ok(parameters) => parameters,
        Err(error) => return Ok(error.response()),
    };
    Ok(match Box::pin(grant(&app, &parameters)).await {
        Ok(response) => Response::ok(&response),
        Err(TokenError::Request(error)) => error.response(),
        Err(TokenError::Grant(GrantError::Store(error))) => {
            MatrixError::from(error).log();
            unavailable(RETRY_AFTER)
        }
        Err(TokenError::Grant(GrantError::Homeserver(_))) => unavailable(RETRY_AFTER),
        // The client has a code of this server and learns the decision of the user.
        Err(TokenError::Grant(
            error @ (GrantError::Pending
            | GrantError::SlowDown
            | GrantError::Denied
            | GrantError::Expired),
        )) => OAuthError::from(&error).response(),
        Err(TokenError::Grant(error)) => {
            match limits::consume(&app, Limit::RefusedGrant, request.network).await {
                Ok(()) => refused(&error),
                Err(LimitError::Exceeded { retry_after }) => unavailable(retry_after),
                Err(LimitError::Store(_)) => unavailable(RETRY_AFTER),
            }
        }
    })
}

/// The reason why the client gets no tokens.
enum TokenError {
    /// A parameter is missing or wrong.
    Request(OAuthError),
    /// The grant is not accepted.
    Grant(GrantError),
}

impl From<OAuthError> for TokenError {
    fn from(error: OAuthError) -> Self {
        Self::Request(error)
    }
}

impl From<GrantError> for TokenError {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

async fn grant(app: &App, parameters: &Parameters) -> Result<TokenResponse, TokenError> {
    let grant_type = parameters.required("grant_type")?;
    let secret = |name| {
        parameters
            .required(name)
            .map(str::to_owned)
            .map(Secret::new)
    };
    match grant_type {
        "authorization_code" => {
            let (client_id, code) = (parameters.required("client_id")?, secret("code")?);
            let request = CodeRequest {
                client_id,
                code: &code,
                redirect_uri: parameters.required("redirect_uri")?,
                code_verifier: parameters.get("code_verifier"),
            };
            Ok(oauth::exchange_code(app, request).await?)
        }
        "refresh_token" => {
            let (client_id, token) = (parameters.required("client_id")?, secret("refresh_token")?);
            Ok(oauth::refresh(app, client_id, &token).await?)
        }
        GrantType::DEVICE_CODE => {
            let (client_id, code) = (parameters.required("client_id")?, secret("device_code")?);
            Ok(oauth::poll_device(app, client_id, &code).await?)
        }
        _ => {
            let code = OAuthErrorCode::UnsupportedGrantType;
            let message = "`grant_type` must be `authorization_code`, `refresh_token` or \
                `urn:ietf:params:oauth:grant-type:device_code`";
            Err(OAuthError::new(code, message).into())
        }
    }
}

/// The response to a grant that is not accepted.
fn refused(error: &GrantError) -> Response {
    let refusal = OAuthError::from(error);
    if refusal.code != OAuthErrorCode::InvalidGrant {
        return refusal.response();
    }
    // OA-100: without `errcode`, some clients try again forever.
    let body = json!({
        "error": refusal.code.as_str(),
        "error_description": refusal.description,
        "errcode": ErrorCode::UnknownToken.as_str(),
    });
    Response::json(StatusCode::BAD_REQUEST, &body)
}

fn unavailable(retry_after: Duration) -> Response {
    Response {
        retry_after: Some(retry_after_seconds(retry_after)),
        ..Response::empty(StatusCode::SERVICE_UNAVAILABLE)
    }
}
