//! The errors of requests that need the homeserver (HS-10, HS-12, HS-13).

use std::time::Duration;

use super::{ErrorCode, MatrixError};
use crate::{
    accounts::NameError,
    homeserver::{NameAtHomeserver, UpdateError},
    tokens::LoginError,
};

/// The time after which a client may try again while the homeserver does not respond.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<UpdateError> for MatrixError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Foreign => Self::new(
                ErrorCode::Forbidden,
                "Another account at the homeserver has this username",
            ),
            UpdateError::Unavailable(_) | UpdateError::Rejected(_) => Self {
                retry_after: Some(RETRY_AFTER),
                ..Self::new(
                    ErrorCode::HomeserverUnavailable,
                    "The homeserver is not available: try again later",
                )
            },
            UpdateError::Store(error) => error.into(),
        }
    }
}

impl From<NameAtHomeserver> for MatrixError {
    fn from(error: NameAtHomeserver) -> Self {
        match error {
            NameAtHomeserver::Name(error) => error.into(),
            NameAtHomeserver::Update(error) => error.into(),
        }
    }
}

impl From<LoginError> for MatrixError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Device(error) => error.into(),
            LoginError::Homeserver(error) => error.into(),
        }
    }
}

/// The error of a registration: a name that belongs to somebody else at the homeserver is taken.
pub fn registration_error(error: UpdateError) -> MatrixError {
    match error {
        UpdateError::Foreign => NameError::Taken.into(),
        error => error.into(),
    }
}

reject_as_error!(LoginError, NameAtHomeserver, UpdateError);
