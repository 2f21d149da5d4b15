//! The errors of requests that need the homeserver (HS-10, HS-12, HS-13).

use std::time::Duration;

use super::{ErrorCode, MatrixError};
use crate::{
    accounts::NameError,
    homeserver::{HomeserverNameError, UpdateError},
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

impl From<HomeserverNameError> for MatrixError {
    fn from(error: HomeserverNameError) -> Self {
        match error {
            HomeserverNameError::Name(error) => error.into(),
            HomeserverNameError::Update(error) => error.into(),
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

/// The error of a registration. A name that belongs to another person at the homeserver is taken.
pub fn registration_error(error: UpdateError) -> MatrixError {
    match error {
        UpdateError::Foreign => NameError::Taken.into(),
        error => error.into(),
    }
}

reject_as_error!(LoginError, HomeserverNameError, UpdateError);
