//! The pages of requests that fail.

use super::{FormError, error, message};
use crate::{
    config::Config,
    error::{ErrorCode, MatrixError, Rejection},
    http::Response,
    limits::LimitError,
    store::StoreError,
};

/// The reason why a request of a page fails.
#[derive(Debug)]
pub enum Failure {
    /// The form or the URL is rejected.
    Form(FormError),
    /// The operation is not possible, or a call failed.
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

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Error(error) => Self::Other(error),
            // The caller shows the next stage of a challenge itself.
            Rejection::Challenge(_) => Self::Form(FormError::OutOfDate),
        }
    }
}

impl Failure {
    /// The page. It states the reason of a refusal, and not the cause of an internal error or of a rate limit.
    pub fn page(self, config: &Config) -> Response {
        let reason = match self {
            Self::Form(error) => return error.page(config),
            Self::Other(error) => error,
        };
        if matches!(reason.code, ErrorCode::Unknown | ErrorCode::LimitExceeded) {
            return error(config, &reason);
        }
        let text = format!("{}.", reason.message);
        Response {
            retry_after: reason.response("").retry_after,
            ..message(config, reason.code.status(), "The request failed", &text)
        }
    }
}
