//! Which fact of the domain gets which errcode. Every conversion is exhaustive.

use std::time::Duration;

use super::{ErrorCode, MatrixError, Rejection};
use crate::{
    accounts::{ChangeAccountError, ChangesOff, CreateAccountError, NameFault, RegistrationClosed},
    credentials::CredentialError,
    limits::LimitError,
    own_addresses::AddressFault,
    passwords::{HashError, PasswordFault},
    store::{SaveDeviceError, SaveSessionError, StoreError},
    threepids::{
        PhoneFault, ThreePidDenied,
        link::NextLinkFault,
        proofs::{RequestError, SubmitError},
    },
    tokens::{AuthenticationError, CallerError, GuestForbidden},
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
            SaveDeviceError::Moved => Self::limited(Duration::from_secs(1)),
            SaveDeviceError::Store(error) => error.into(),
        }
    }
}

impl From<SaveSessionError> for MatrixError {
    fn from(error: SaveSessionError) -> Self {
        match error {
            // The session was finished, or has expired, while this request was under way.
            SaveSessionError::Moved => Self::new(
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

impl From<NameFault> for MatrixError {
    fn from(fault: NameFault) -> Self {
        let (code, message) = match fault {
            NameFault::Grammar(fault) => {
                return Self::new(ErrorCode::InvalidUsername, format!("{fault}"));
            }
            NameFault::Underscore => (
                ErrorCode::InvalidUsername,
                "The name may not begin with an underscore",
            ),
            NameFault::Digits => (
                ErrorCode::InvalidUsername,
                "The name may not consist of digits alone",
            ),
            NameFault::Reserved => (ErrorCode::InvalidUsername, "The name is reserved"),
            NameFault::Policy => (
                ErrorCode::InvalidUsername,
                "The name is not of the form this server allows",
            ),
            NameFault::Length => (
                ErrorCode::InvalidUsername,
                "The name is not of a length this server allows",
            ),
            NameFault::Exclusive => (
                ErrorCode::Exclusive,
                "The name belongs to an application service",
            ),
            NameFault::OutsideNamespace => (
                ErrorCode::Exclusive,
                "The name is not in the application service's namespace",
            ),
            NameFault::Taken => (ErrorCode::UserInUse, "The name is already taken"),
        };
        Self::new(code, message)
    }
}

impl From<PasswordFault> for MatrixError {
    fn from(fault: PasswordFault) -> Self {
        match fault {
            PasswordFault::TooLong => {
                Self::new(ErrorCode::InvalidParam, "The password is too long")
            }
            PasswordFault::Empty => Self::new(ErrorCode::WeakPassword, "The password is empty"),
            PasswordFault::Weak => {
                Self::new(ErrorCode::WeakPassword, "The password is too easy to guess")
            }
        }
    }
}

impl From<RegistrationClosed> for MatrixError {
    fn from(_: RegistrationClosed) -> Self {
        Self::new(
            ErrorCode::Forbidden,
            "Registration is closed on this server",
        )
    }
}

impl From<ChangesOff> for MatrixError {
    fn from(fact: ChangesOff) -> Self {
        let message = match fact {
            ChangesOff::Passwords => "This server does not let passwords be changed",
            ChangesOff::ThreePids => "This server does not let addresses be changed",
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

impl From<ThreePidDenied> for MatrixError {
    fn from(_: ThreePidDenied) -> Self {
        Self::new(
            ErrorCode::ThreePidDenied,
            "This server does not accept that address",
        )
    }
}

impl From<PhoneFault> for MatrixError {
    fn from(fault: PhoneFault) -> Self {
        match fault {
            PhoneFault::Country => Self::new(
                ErrorCode::InvalidParam,
                "`country` is not a country's two letters",
            ),
            PhoneFault::Number => Self::new(
                ErrorCode::InvalidParam,
                "`phone_number` is not a phone number",
            ),
            PhoneFault::Unserved => Self::new(
                ErrorCode::ThreePidDenied,
                "This server sends no text messages to that number",
            ),
        }
    }
}

impl From<NextLinkFault> for MatrixError {
    fn from(_: NextLinkFault) -> Self {
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

impl From<GuestForbidden> for MatrixError {
    fn from(_: GuestForbidden) -> Self {
        Self::new(ErrorCode::GuestAccessForbidden, "Guests may not do this")
    }
}

impl From<CredentialError> for MatrixError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Wrong => {
                Self::new(ErrorCode::Forbidden, "The user or the password is wrong")
            }
            CredentialError::Limit(error) => error.into(),
            CredentialError::Hash(error) => error.into(),
            CredentialError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeAccountError> for MatrixError {
    fn from(error: ChangeAccountError) -> Self {
        match error {
            // Begun on what is no longer so: the client may begin anew.
            ChangeAccountError::AccountMoved => Self::new(
                ErrorCode::Forbidden,
                "The account has changed in the meantime: begin again",
            ),
            // The caller turns these into a replay or a challenge; if it cannot, the client
            // may try again.
            ChangeAccountError::SessionMoved | ChangeAccountError::ProofGone(_) => {
                Self::limited(Duration::from_secs(1))
            }
            ChangeAccountError::Store(error) => error.into(),
        }
    }
}

impl From<CreateAccountError> for MatrixError {
    fn from(error: CreateAccountError) -> Self {
        match error {
            CreateAccountError::NameTaken => NameFault::Taken.into(),
            // The caller turns these into a replay or a challenge; if it cannot, the client
            // may try again.
            CreateAccountError::SessionMoved
            | CreateAccountError::ProofGone(_)
            | CreateAccountError::RegistrationTokenSpent => Self::limited(Duration::from_secs(1)),
            CreateAccountError::ThreePidTaken(_) => RequestError::InUse.into(),
            CreateAccountError::GuestGone => Self::new(
                ErrorCode::Forbidden,
                "The guest access token is not one of this user",
            ),
            CreateAccountError::Store(error) => error.into(),
        }
    }
}

impl From<AddressFault> for MatrixError {
    fn from(fault: AddressFault) -> Self {
        let forbidden = |message| Self::new(ErrorCode::Forbidden, message);
        match fault {
            AddressFault::NotProven => Self::new(
                ErrorCode::ThreePidAuthFailed,
                "There is no validated session that proves the address",
            ),
            AddressFault::InUse => RequestError::InUse.into(),
            AddressFault::TooMany => forbidden("The account has as many addresses as it may have"),
            AddressFault::Suspended => {
                Self::new(ErrorCode::UserSuspended, "The account is suspended")
            }
            AddressFault::Denied(denied) => denied.into(),
            AddressFault::Caller(error) => error,
            AddressFault::Limit(error) => error.into(),
            // The caller turns this into a replay; if it cannot, the client may try again.
            AddressFault::PasswordMoved => ChangeAccountError::AccountMoved.into(),
            AddressFault::SessionMoved => Self::limited(Duration::from_secs(1)),
            AddressFault::Store(error) => error.into(),
        }
    }
}

reject_as_error!(
    AddressFault,
    AuthenticationError,
    ChangeAccountError,
    CallerError,
    ChangesOff,
    CreateAccountError,
    CredentialError,
    GuestForbidden,
    HashError,
    LimitError,
    NameFault,
    NextLinkFault,
    PasswordFault,
    PhoneFault,
    RegistrationClosed,
    RequestError,
    SaveDeviceError,
    SaveSessionError,
    StoreError,
    SubmitError,
    ThreePidDenied
);
