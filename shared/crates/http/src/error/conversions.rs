//! Which fact of the domain gets which errcode. Every conversion is exhaustive.

use std::time::Duration;

use super::{ErrorCode, MatrixError};
use crate::{
    accounts::{
        ChangeAccountError, ChangesDisabledError, CreateAccountError, NameError,
        RegistrationClosedError,
    },
    limits::LimitError,
    passwords::{HashError, PasswordError},
    store::{SaveDeviceError, SaveSessionError, StoreError},
    threepids::{
        PhoneError, ThreePidDeniedError,
        link::NextLinkError,
        proofs::{RequestError, SubmitError},
    },
    tokens::{AuthenticationError, CallerError, GuestForbiddenError},
};

impl From<StoreError> for MatrixError {
    fn from(error: StoreError) -> Self {
        match error {
            // Someone else was quicker, again and again: the client may simply try again.
            StoreError::Contended => Self::limited(Duration::from_secs(1)),
            StoreError::Unavailable(_) | StoreError::Refused(_) | StoreError::Corrupt { .. } => {
                Self {
                    source: Some(Box::new(error)),
                    ..Self::new(
                        ErrorCode::Unknown,
                        "Something went wrong on our side: try again later",
                    )
                }
            }
        }
    }
}

impl From<SaveDeviceError> for MatrixError {
    fn from(error: SaveDeviceError) -> Self {
        match error {
            // Its password, or whatever else, was changed while it was logged in to: whether the
            // login is still right shows when it is tried again.
            SaveDeviceError::AccountChanged => Self::limited(Duration::from_secs(1)),
            SaveDeviceError::Store(error) => error.into(),
        }
    }
}

impl From<SaveSessionError> for MatrixError {
    fn from(error: SaveSessionError) -> Self {
        match error {
            // The session was finished, or has expired, while this request was under way.
            SaveSessionError::Conflict => Self::new(
                ErrorCode::InvalidParam,
                "The session is finished: begin a new one",
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
    fn from(fault: NameError) -> Self {
        let (code, message) = match fault {
            NameError::Grammar(fault) => {
                return Self::new(ErrorCode::InvalidUsername, format!("{fault}"));
            }
            NameError::Underscore => (
                ErrorCode::InvalidUsername,
                "The name may not begin with an underscore",
            ),
            NameError::Digits => (
                ErrorCode::InvalidUsername,
                "The name may not consist of digits alone",
            ),
            NameError::Reserved => (ErrorCode::InvalidUsername, "The name is reserved"),
            NameError::Policy => (
                ErrorCode::InvalidUsername,
                "The name is not of the form this server allows",
            ),
            NameError::Length => (
                ErrorCode::InvalidUsername,
                "The name is not of a length this server allows",
            ),
            NameError::Exclusive => (
                ErrorCode::Exclusive,
                "The name belongs to an application service",
            ),
            NameError::OutsideNamespace => (
                ErrorCode::Exclusive,
                "The name is not in the application service's namespace",
            ),
            NameError::Taken => (ErrorCode::UserInUse, "The name is already taken"),
        };
        Self::new(code, message)
    }
}

impl From<PasswordError> for MatrixError {
    fn from(fault: PasswordError) -> Self {
        match fault {
            PasswordError::TooLong => {
                Self::new(ErrorCode::InvalidParam, "The password is too long")
            }
            PasswordError::Empty => Self::new(ErrorCode::WeakPassword, "The password is empty"),
            PasswordError::Weak => {
                Self::new(ErrorCode::WeakPassword, "The password is too easy to guess")
            }
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
    fn from(fact: ChangesDisabledError) -> Self {
        let message = match fact {
            ChangesDisabledError::Passwords => "This server does not let passwords be changed",
            ChangesDisabledError::ThreePids => "This server does not let addresses be changed",
        };
        Self::new(ErrorCode::Forbidden, message)
    }
}

impl From<HashError> for MatrixError {
    fn from(error: HashError) -> Self {
        Self {
            source: Some(Box::new(error)),
            ..Self::new(
                ErrorCode::Unknown,
                "Something went wrong on our side: try again later",
            )
        }
    }
}

impl From<AuthenticationError> for MatrixError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Unknown => {
                Self::new(ErrorCode::UnknownToken, "The token is not known")
            }
            AuthenticationError::Expired => Self {
                soft_logout: true,
                ..Self::new(ErrorCode::UnknownToken, "The access token has expired")
            },
            AuthenticationError::Locked => Self {
                soft_logout: true,
                ..Self::new(ErrorCode::UserLocked, "The account is locked")
            },
            AuthenticationError::Appservice => Self::new(
                ErrorCode::Forbidden,
                "An application service has no device here: this needs a user's access token",
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
                "The application service may not act as this user",
            ),
        }
    }
}

impl From<ThreePidDeniedError> for MatrixError {
    fn from(_: ThreePidDeniedError) -> Self {
        Self::new(
            ErrorCode::ThreePidDeniedError,
            "This server does not accept that address",
        )
    }
}

impl From<PhoneError> for MatrixError {
    fn from(fault: PhoneError) -> Self {
        match fault {
            PhoneError::Country => Self::new(
                ErrorCode::InvalidParam,
                "`country` is not a country's two letters",
            ),
            PhoneError::Number => Self::new(
                ErrorCode::InvalidParam,
                "`phone_number` is not a phone number",
            ),
            PhoneError::Unserved => Self::new(
                ErrorCode::ThreePidDeniedError,
                "This server sends no text messages to that number",
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
                "The address belongs to an account already",
            ),
            RequestError::NotFound => Self::new(
                ErrorCode::ThreePidNotFound,
                "The address belongs to no account",
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
                "There is no such validation session",
            ),
            SubmitError::Expired => (
                ErrorCode::SessionExpired,
                "The validation session has expired: ask for another message",
            ),
            SubmitError::Incorrect => (
                ErrorCode::TokenIncorrect,
                "That is not the code that was sent",
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
        Self::new(ErrorCode::GuestAccessForbidden, "Guests may not do this")
    }
}

impl From<ChangeAccountError> for MatrixError {
    fn from(error: ChangeAccountError) -> Self {
        match error {
            // Begun on what is no longer so: the client may begin anew.
            ChangeAccountError::AccountChanged => Self::new(
                ErrorCode::Forbidden,
                "The account has changed in the meantime: begin again",
            ),
            // The caller turns these into a replay or a challenge; if it cannot, the client
            // may try again.
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
            // The caller turns these into a replay or a challenge; if it cannot, the client
            // may try again.
            CreateAccountError::SessionChanged
            | CreateAccountError::ValidationGone(_)
            | CreateAccountError::RegistrationTokenSpent => Self::limited(Duration::from_secs(1)),
            CreateAccountError::ThreePidTaken(_) => RequestError::InUse.into(),
            CreateAccountError::GuestChanged => Self::new(
                ErrorCode::Forbidden,
                "The guest access token is not one of this user",
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
