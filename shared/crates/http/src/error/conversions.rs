//! The errcode and message of each domain error. Each conversion matches exhaustively.

use std::time::Duration;

use super::{ErrorCode, MatrixError};

/// The message of an internal error. It discloses no cause.
const INTERNAL_ERROR: &str = "Internal server error: try again later";
use crate::{
    accounts::{
        ChangeAccountError, ChangesDisabledError, CreateAccountError, NameError,
        RegistrationClosedError,
    },
    limits::LimitError,
    passwords::{HashError, PasswordError},
    store::{SaveDeviceError, SaveSessionError, StoreError},
    threepid_validation::{RequestError, SubmitError},
    threepids::{PhoneError, ThreePidDeniedError, link::NextLinkError},
    tokens::{AuthenticationError, CallerError, GuestForbiddenError, OAuthTokenError},
};

impl From<StoreError> for MatrixError {
    fn from(error: StoreError) -> Self {
        match error {
            // Every attempt conflicted with a concurrent write. The request itself is valid.
            StoreError::Contended => Self::limited(Duration::from_secs(1)),
            StoreError::Unavailable(_) | StoreError::Refused(_) | StoreError::Corrupt { .. } => {
                Self {
                    source: Some(Box::new(error)),
                    ..Self::new(ErrorCode::Unknown, INTERNAL_ERROR)
                }
            }
        }
    }
}

impl From<SaveDeviceError> for MatrixError {
    fn from(error: SaveDeviceError) -> Self {
        match error {
            // The account (for example its password) was changed during the login. If the client
            // tries again, the credentials are checked against the new state.
            SaveDeviceError::AccountChanged => Self::limited(Duration::from_secs(1)),
            SaveDeviceError::Store(error) => error.into(),
        }
    }
}

impl From<SaveSessionError> for MatrixError {
    fn from(error: SaveSessionError) -> Self {
        match error {
            // Another request completed the session, or it expired, during this request.
            SaveSessionError::Conflict => Self::new(
                ErrorCode::InvalidParam,
                "This session has already been completed. Start a new one",
            ),
            SaveSessionError::Store(error) => error.into(),
        }
    }
}

impl From<LimitError> for MatrixError {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Exceeded { retry_after } => Self::limited(retry_after),
            LimitError::Store(error) => error.into(),
        }
    }
}

impl From<NameError> for MatrixError {
    fn from(error: NameError) -> Self {
        let (code, message) = match error {
            NameError::Grammar(error) => {
                return Self::new(ErrorCode::InvalidUsername, format!("{error}"));
            }
            NameError::Underscore => (
                ErrorCode::InvalidUsername,
                "The username must not begin with an underscore",
            ),
            NameError::Digits => (
                ErrorCode::InvalidUsername,
                "The username must not consist of digits only",
            ),
            NameError::Reserved => (
                ErrorCode::InvalidUsername,
                "The username is reserved: choose another one",
            ),
            NameError::Policy => (
                ErrorCode::InvalidUsername,
                "The username does not match the pattern that this server requires",
            ),
            NameError::Length => (
                ErrorCode::InvalidUsername,
                "The username is shorter or longer than this server allows",
            ),
            NameError::Exclusive => (
                ErrorCode::Exclusive,
                "The username is reserved for an application service: choose another one",
            ),
            NameError::OutsideNamespace => (
                ErrorCode::Exclusive,
                "The username is outside the namespaces of the application service",
            ),
            NameError::Taken => (
                ErrorCode::UserInUse,
                "The username is already taken: choose another one",
            ),
        };
        Self::new(code, message)
    }
}

impl From<PasswordError> for MatrixError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooLong => Self::new(
                ErrorCode::InvalidParam,
                "The password is too long: choose a shorter one",
            ),
            PasswordError::Empty => Self::new(
                ErrorCode::WeakPassword,
                "The password is empty: choose a password",
            ),
            PasswordError::Weak => Self::new(
                ErrorCode::WeakPassword,
                "The password is too easy to guess: choose a stronger one",
            ),
        }
    }
}

impl From<RegistrationClosedError> for MatrixError {
    fn from(_: RegistrationClosedError) -> Self {
        Self::new(
            ErrorCode::Forbidden,
            "Registration is closed on this server",
        )
    }
}

impl From<ChangesDisabledError> for MatrixError {
    fn from(error: ChangesDisabledError) -> Self {
        let message = match error {
            ChangesDisabledError::Passwords => "This server does not allow password changes",
            ChangesDisabledError::ThreePids => {
                "This server does not allow changes of e-mail addresses and phone numbers"
            }
        };
        Self::new(ErrorCode::Forbidden, message)
    }
}

impl From<HashError> for MatrixError {
    fn from(error: HashError) -> Self {
        Self {
            source: Some(Box::new(error)),
            ..Self::new(ErrorCode::Unknown, INTERNAL_ERROR)
        }
    }
}

impl From<AuthenticationError> for MatrixError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Unknown => {
                Self::new(ErrorCode::UnknownToken, "Unknown token: log in again")
            }
            AuthenticationError::Expired => Self {
                soft_logout: true,
                ..Self::new(
                    ErrorCode::UnknownToken,
                    "The access token has expired: refresh it or log in again",
                )
            },
            AuthenticationError::Locked => Self {
                soft_logout: true,
                ..Self::new(
                    ErrorCode::UserLocked,
                    "The account is locked: contact the server administrator",
                )
            },
            AuthenticationError::Appservice => Self::new(
                ErrorCode::Forbidden,
                "Application services have no devices: use the access token of a user",
            ),
            AuthenticationError::Store(error) => error.into(),
        }
    }
}

impl From<CallerError> for MatrixError {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Token(error) => error.into(),
            CallerError::NotItsUser => Self::new(
                ErrorCode::Forbidden,
                "The application service must not act as this user",
            ),
        }
    }
}

impl From<ThreePidDeniedError> for MatrixError {
    fn from(_: ThreePidDeniedError) -> Self {
        Self::new(
            ErrorCode::ThreePidDeniedError,
            "This server does not accept this address: use another one",
        )
    }
}

impl From<PhoneError> for MatrixError {
    fn from(error: PhoneError) -> Self {
        match error {
            PhoneError::Country => Self::new(
                ErrorCode::InvalidParam,
                "`country` must be a two-letter country code (ISO 3166-1 alpha-2)",
            ),
            PhoneError::Number => Self::new(
                ErrorCode::InvalidParam,
                "`phone_number` is not a valid phone number",
            ),
            PhoneError::Unserved => Self::new(
                ErrorCode::ThreePidDeniedError,
                "This server does not send text messages to this number: use another one",
            ),
        }
    }
}

impl From<NextLinkError> for MatrixError {
    fn from(_: NextLinkError) -> Self {
        Self::new(
            ErrorCode::InvalidParam,
            "`next_link` must be an http or https URL",
        )
    }
}

impl From<RequestError> for MatrixError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::InUse => Self::new(
                ErrorCode::ThreePidInUse,
                "The address already belongs to an account",
            ),
            RequestError::NotFound => Self::new(
                ErrorCode::ThreePidNotFound,
                "The address does not belong to an account",
            ),
            RequestError::Limit(error) => error.into(),
            RequestError::Store(error) => error.into(),
        }
    }
}

impl From<SubmitError> for MatrixError {
    fn from(error: SubmitError) -> Self {
        let (code, message) = match error {
            SubmitError::Unknown => (
                ErrorCode::InvalidParam,
                "Unknown validation session: request a new message",
            ),
            SubmitError::Expired | SubmitError::Spent => (
                ErrorCode::SessionExpired,
                "The validation session has expired: request a new message",
            ),
            SubmitError::Incorrect => (
                ErrorCode::TokenIncorrect,
                "The code is not correct: check it or request a new message",
            ),
            SubmitError::Limit(error) => return error.into(),
            SubmitError::Store(error) => return error.into(),
        };
        Self {
            unsuccessful: true,
            ..Self::new(code, message)
        }
    }
}

impl From<GuestForbiddenError> for MatrixError {
    fn from(_: GuestForbiddenError) -> Self {
        Self::new(
            ErrorCode::GuestAccessForbidden,
            "Guests must not use this endpoint: register an account",
        )
    }
}

impl From<OAuthTokenError> for MatrixError {
    fn from(_: OAuthTokenError) -> Self {
        Self::unknown_path()
    }
}

impl From<ChangeAccountError> for MatrixError {
    fn from(error: ChangeAccountError) -> Self {
        match error {
            // The account has changed since the client was authenticated, so the client must
            // authenticate again.
            ChangeAccountError::AccountChanged => Self::new(
                ErrorCode::Forbidden,
                "The account was changed during the request: start again",
            ),
            // The calling code responds to these errors with the stored response or with a
            // challenge. If it cannot, the client may try again.
            ChangeAccountError::SessionChanged | ChangeAccountError::ValidationGone(_) => {
                Self::limited(Duration::from_secs(1))
            }
            ChangeAccountError::Store(error) => error.into(),
        }
    }
}

impl From<CreateAccountError> for MatrixError {
    fn from(error: CreateAccountError) -> Self {
        match error {
            CreateAccountError::NameTaken => NameError::Taken.into(),
            // The calling code responds to these errors with the stored response or with a
            // challenge. If it cannot, the client may try again.
            CreateAccountError::SessionChanged
            | CreateAccountError::ValidationGone(_)
            | CreateAccountError::RegistrationTokenSpent => Self::limited(Duration::from_secs(1)),
            CreateAccountError::ThreePidTaken(_) => RequestError::InUse.into(),
            CreateAccountError::GuestChanged => Self::new(
                ErrorCode::Forbidden,
                "The guest access token does not belong to this user",
            ),
            CreateAccountError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(
    AuthenticationError,
    ChangeAccountError,
    CallerError,
    ChangesDisabledError,
    CreateAccountError,
    GuestForbiddenError,
    HashError,
    LimitError,
    NameError,
    NextLinkError,
    OAuthTokenError,
    PasswordError,
    PhoneError,
    RegistrationClosedError,
    RequestError,
    SaveDeviceError,
    SaveSessionError,
    StoreError,
    SubmitError,
    ThreePidDeniedError
);
