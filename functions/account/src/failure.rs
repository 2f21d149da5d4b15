//! The pages of requests that fail.

use shared::{
    config::Config,
    error::{ErrorCode, MatrixError},
    http::Response,
    limits::LimitError,
    oauth_pages::{self, FormError},
    store::StoreError,
};

/// The reason why a request fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The form is rejected.
    Form(FormError),
    /// The change is not possible, or a call failed.
    Other(MatrixError),
}

impl From<FormError> for Failure {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl From<MatrixError> for Failure {
    fn from(error: MatrixError) -> Self {
        Self::Other(error)
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

impl Failure {
    /// The page. It states the reason of a refusal, and not the cause of an internal error or of a rate limit.
    pub(crate) fn page(self, config: &Config) -> Response {
        let error = match self {
            Self::Form(error) => return error.page(config),
            Self::Other(error) => error,
        };
        if matches!(error.code, ErrorCode::Unknown | ErrorCode::LimitExceeded) {
            return oauth_pages::error(config, &error);
        }
        let text = format!("{}.", error.message);
        Response {
            retry_after: error.response("").retry_after,
            ..oauth_pages::message(config, error.code.status(), "The request failed", &text)
        }
    }
}
