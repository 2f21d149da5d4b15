//! The pages of requests that fail.

use http::StatusCode;
use shared::{
    config::Config,
    error::MatrixError,
    http::Response,
    limits::LimitError,
    oauth::{AuthorizationErrorCode, RequestError, ResponseTarget, UnanswerableError},
    oauth_pages::{self, FormError, response},
    store::StoreError,
};

/// The reason why a request fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The form is rejected.
    Form(FormError),
    /// The authorization request is invalid.
    Request(RequestError),
    /// A call failed for a valid request of a client.
    Answer {
        target: Box<ResponseTarget>,
        error: StoreError,
    },
    /// A rate limit, or a call failed.
    Other(MatrixError),
}

impl Failure {
    /// The failure of a call for a valid request. Its page lets the user take the error to the client.
    pub(crate) fn of_call(target: &ResponseTarget) -> impl FnOnce(StoreError) -> Self {
        let target = Box::new(target.clone());
        |error| Self::Answer { target, error }
    }
}

impl From<FormError> for Failure {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<UnanswerableError> for Failure {
    fn from(error: UnanswerableError) -> Self {
        Self::Request(error.into())
    }
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        Self::Other(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// The page of an invalid request. It has no link to the client if the client or its redirect URI is unknown (OA-32).
pub(crate) fn request_page(config: &Config, error: &RequestError) -> Response {
    let status = StatusCode::BAD_REQUEST;
    match error {
        RequestError::Unanswerable(error) => {
            let title = "The app sent an invalid request";
            oauth_pages::message(config, status, title, &format!("{error}."))
        }
        RequestError::Refused { target, code, text } => {
            response::refused(config, target, *code, status, text)
        }
    }
}

/// The page of a failed call. The error is logged if it is internal.
pub(crate) fn answer_page(config: &Config, target: &ResponseTarget, error: StoreError) -> Response {
    let code = match error {
        StoreError::Contended => AuthorizationErrorCode::TemporarilyUnavailable,
        StoreError::Unavailable(_) | StoreError::Refused(_) | StoreError::Corrupt { .. } => {
            AuthorizationErrorCode::ServerError
        }
    };
    let error = MatrixError::from(error);
    error.log();
    let retry_after = error.response("").retry_after;
    let text = "Please try again later: reload this page, or start again in your app.";
    Response {
        retry_after,
        ..response::refused(config, target, code, error.code.status(), text)
    }
}
