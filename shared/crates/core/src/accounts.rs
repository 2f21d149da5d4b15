//! Accounts: the names that may be taken, and the parts of a new account.
//!
//! All checks of a name are in this module, for registration, `register/available`, guests and the final step:
//! grammar, the operator's policy, and application services. Only the transaction that creates the account
//! reserves the name. This module depends neither on HTTP nor on the keys of the tables.

mod names;

pub use crate::store::{
    AddThreePidError, ChangeAccountError, CreateAccountError, Deactivation, DeviceLogout,
    MAX_THREEPIDS, NewAccount, NewDevice, NewThreePid, PasswordChange, RemoveThreePidError,
    RemovedThreePid,
};
pub use names::{NameError, check_name, generate, generate_guest};

use crate::config::{Config, Registration};

/// Registration is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("registration is closed")]
pub struct RegistrationClosedError;

/// Fails if registration is closed. Must run before any other check of the request (REG-29).
pub fn ensure_registration_open(config: &Config) -> Result<(), RegistrationClosedError> {
    match config.registration {
        Registration::Closed => Err(RegistrationClosedError),
        Registration::Open(_) => Ok(()),
    }
}

/// A change that the operator disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangesDisabledError {
    /// Changes of passwords (`GATEHOUSE_PASSWORD_CHANGES`).
    #[error("password changes are disabled on this server")]
    Passwords,
    /// Changes of an account's 3PIDs (`GATEHOUSE_3PID_CHANGES`).
    #[error("changes of e-mail addresses and phone numbers are disabled on this server")]
    ThreePids,
}

/// Fails if password changes are disabled (PWD-15).
pub fn ensure_password_changes_enabled(config: &Config) -> Result<(), ChangesDisabledError> {
    let allowed = config.password_changes;
    allowed.then_some(()).ok_or(ChangesDisabledError::Passwords)
}

/// Fails if changes of 3PIDs are disabled (ACC3-07).
pub fn ensure_threepid_changes_enabled(config: &Config) -> Result<(), ChangesDisabledError> {
    let allowed = config.threepid_changes;
    allowed.then_some(()).ok_or(ChangesDisabledError::ThreePids)
}
