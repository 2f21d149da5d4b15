//! Accounts: which names may be taken, and what a new account consists of.
//!
//! The *name authority* is one step, used by register, available, guests and the final step:
//! grammar, the operator's policy, application services, and at last the claim itself, which only
//! the finishing transaction makes. Knows neither HTTP nor the tables' keys.

mod names;

pub use crate::store::{
    AddThreePidError, ChangeAccountError, CreateAccountError, Deactivation, DeviceLogout,
    MAX_THREEPIDS, NewAccount, NewDevice, NewThreePid, PasswordChange, RemoveThreePidError,
    RemovedThreePid,
};
pub use names::{NameError, check_name, generate, generate_guest};

use crate::config::{Config, Registration};

/// Nobody can register now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("registration is closed")]
pub struct RegistrationClosedError;

/// Refuses what needs open registration, before anything else is said (REG-29).
pub fn demand_open(config: &Config) -> Result<(), RegistrationClosedError> {
    match config.registration {
        Registration::Closed => Err(RegistrationClosedError),
        Registration::Open(_) => Ok(()),
    }
}

/// What the operator lets nobody change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangesDisabledError {
    /// Passwords.
    #[error("passwords are not changed here")]
    Passwords,
    /// The addresses of an account.
    #[error("addresses are not changed here")]
    ThreePids,
}

/// Refuses what leads to another password where there is to be none (PWD-15).
pub fn demand_password_changes(config: &Config) -> Result<(), ChangesDisabledError> {
    let allowed = config.password_changes;
    allowed.then_some(()).ok_or(ChangesDisabledError::Passwords)
}

/// Refuses what leads to other addresses where there are to be none (ACC3-07).
pub fn demand_threepid_changes(config: &Config) -> Result<(), ChangesDisabledError> {
    let allowed = config.threepid_changes;
    allowed.then_some(()).ok_or(ChangesDisabledError::ThreePids)
}
