//! What UIA guards, and which flows each operation offers to whom.

use serde::{Deserialize, Serialize};

use super::StageType;
use crate::{
    config::{Config, Flow},
    ids::Localpart,
};

/// An operation that UIA guards. A session of one is refused by every other (UIA-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Making an account.
    Register,
    /// Setting another password.
    ChangePassword,
    /// Ending the account.
    Deactivate,
    /// Adding an address to the account.
    AddThreePid,
    /// Deleting one device.
    DeleteDevice,
    /// Deleting several.
    DeleteDevices,
}

impl Operation {
    /// The name that goes into the stored hash of a finished request. A different name here would make
    /// a repeated request look like a different one, so these names never change.
    pub const fn replay_name(self) -> &'static str {
        match self {
            Self::Register => "Register",
            Self::ChangePassword => "ChangePassword",
            Self::Deactivate => "Deactivate",
            Self::AddThreePid => "AddThreePid",
            Self::DeleteDevice => "DeleteDevice",
            Self::DeleteDevices => "DeleteDevices",
        }
    }

    /// What somebody is doing who completes its stages, for the page that asks them.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Register => "creating an account",
            Self::ChangePassword => "setting a new password for your account",
            Self::Deactivate => "deactivating your account for good",
            Self::AddThreePid => "adding an address to your account",
            Self::DeleteDevice | Self::DeleteDevices => "logging out devices of your account",
        }
    }
}

/// Which flows a session offers. Chosen when it begins, and part of what binds it: who has a
/// password and who has none are not asked for the same (UIA-24).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowSet {
    /// What the operator wants of new users.
    #[default]
    Registration,
    /// The password of an account.
    Password,
    /// An address of an account.
    Address,
}

impl FlowSet {
    /// What a session need not write down: rows of new users are many, and paid by the kilobyte.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde asks for a reference"
    )]
    fn is_usual(&self) -> bool {
        *self == Self::Registration
    }

    /// The flows, as the settings are now. There may be none.
    pub fn flows(self, config: &Config) -> Vec<Flow> {
        match self {
            Self::Registration => config.flows().to_vec(),
            Self::Password => vec![vec![StageType::Password]],
            Self::Address => {
                let email = config.mail.as_ref().map(|_| vec![StageType::Email]);
                let msisdn = config.sms.as_ref().map(|_| vec![StageType::Msisdn]);
                email.into_iter().chain(msisdn).collect()
            }
        }
    }
}

/// What a session may be used for, and nothing else (UIA-13, UIA-14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionScope {
    /// The operation.
    pub operation: Operation,
    /// What it is done to, such as a device id; empty where there is no choice.
    pub target: String,
    /// The user whose token began it and the account's epoch then.
    pub user: Option<(Localpart, i64)>,
    /// What is to be proven.
    #[serde(default, skip_serializing_if = "FlowSet::is_usual")]
    pub offer: FlowSet,
}

impl SessionScope {
    /// The operation that makes a new account: nobody's, on nothing.
    pub fn register() -> Self {
        Self {
            operation: Operation::Register,
            target: String::new(),
            user: None,
            offer: FlowSet::Registration,
        }
    }
}
