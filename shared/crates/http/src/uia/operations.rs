//! The operations that UIA protects, the flows that each session offers, and the scope that binds a
//! session to one operation.

use serde::{Deserialize, Serialize};

use super::{SessionDevice, StageType};
use crate::{
    config::{Config, Flow},
    error::{ErrorCode, MatrixError},
    ids::Localpart,
};

/// An operation that UIA protects, with its target if the client chooses one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Registration of an account.
    Register,
    /// A new password for an account.
    ChangePassword,
    /// Deactivation of an account.
    Deactivate,
    /// A new 3PID of an account.
    AddThreePid,
    /// Deletion of the device with this ID, as given in the path. The text may be an invalid device
    /// ID. In this case there is no device to delete, but the session is still bound to the text.
    DeleteDevice(String),
    /// Deletion of the devices that the body lists.
    DeleteDevices,
}

impl Operation {
    /// The name in the stored request hash of a completed session. These names never change:
    /// another name would make a repeated request look like a different one.
    pub const fn replay_name(&self) -> &'static str {
        match self {
            Self::Register => "Register",
            Self::ChangePassword => "ChangePassword",
            Self::Deactivate => "Deactivate",
            Self::AddThreePid => "AddThreePid",
            Self::DeleteDevice(_) => "DeleteDevice",
            Self::DeleteDevices => "DeleteDevices",
        }
    }

    /// The target in the stored request hash and in the stored scope. Empty if the operation has no
    /// target.
    pub fn target(&self) -> &str {
        match self {
            Self::DeleteDevice(id) => id,
            Self::Register
            | Self::ChangePassword
            | Self::Deactivate
            | Self::AddThreePid
            | Self::DeleteDevices => "",
        }
    }

    /// The operation as the fallback page names it after "You are".
    pub(super) const fn description(&self) -> &'static str {
        match self {
            Self::Register => "creating an account",
            Self::ChangePassword => "setting a new password for your account",
            Self::Deactivate => "permanently deactivating your account",
            Self::AddThreePid => "adding an address to your account",
            Self::DeleteDevice(_) | Self::DeleteDevices => "logging out devices of your account",
        }
    }
}

/// The flows that a session offers. The set is chosen when the session starts and is part of its
/// scope: an account with a password and an account without one must not share a session (UIA-24).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowSet {
    /// The flows that the operator configured for registration.
    #[default]
    Registration,
    /// The password of the account.
    Password,
    /// A 3PID of the account.
    Address,
}

impl FlowSet {
    /// Whether the stored scope omits this set. Most sessions by far are registration sessions, and
    /// DynamoDB charges for writes by the kilobyte.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_registration(&self) -> bool {
        *self == Self::Registration
    }

    /// The flows under the current settings. There may be none.
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

/// The only operation and user for which a session is valid (UIA-13, UIA-14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredScope", into = "StoredScope")]
pub struct SessionScope {
    /// The operation with its target.
    pub operation: Operation,
    /// The user of the access token that started the session, and the account's token epoch at that time.
    pub user: Option<(Localpart, i64)>,
    /// The device of that access token. Sessions that an earlier version started have none.
    pub device: Option<SessionDevice>,
    /// The flows that complete the session.
    pub flow_set: FlowSet,
}

impl SessionScope {
    /// The scope of a registration. It has no user.
    pub const fn register() -> Self {
        Self {
            operation: Operation::Register,
            user: None,
            device: None,
            flow_set: FlowSet::Registration,
        }
    }

    /// The scope of a password change without an access token.
    pub const fn reset() -> Self {
        Self {
            operation: Operation::ChangePassword,
            user: None,
            device: None,
            flow_set: FlowSet::Address,
        }
    }

    /// Whether a session with this scope serves a request with the scope `other`. The devices are not compared: a
    /// session of another device is not opened ([`SessionState::is_valid_for`](super::SessionState)).
    pub(super) fn serves(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.user == other.user
            && self.flow_set == other.flow_set
    }
}

/// The error for a session of another operation or with other parameters.
pub(super) fn wrong_scope() -> MatrixError {
    MatrixError::new(
        ErrorCode::Forbidden,
        "The session belongs to another request. Start a new one",
    )
}

/// The scope as the sealed session state stores it. Sessions outlive a deployment, so the members and
/// their values must never change.
#[derive(Serialize, Deserialize)]
struct StoredScope {
    operation: StoredOperation,
    target: String,
    user: Option<(Localpart, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<SessionDevice>,
    #[serde(default, skip_serializing_if = "FlowSet::is_registration")]
    offer: FlowSet,
}

/// The operation of a [`StoredScope`], without its target.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredOperation {
    Register,
    ChangePassword,
    Deactivate,
    AddThreePid,
    DeleteDevice,
    DeleteDevices,
}

/// A stored scope names a target for an operation that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored scope has a target, but its operation has none")]
struct UnexpectedTargetError;

impl From<SessionScope> for StoredScope {
    fn from(scope: SessionScope) -> Self {
        Self {
            target: scope.operation.target().to_owned(),
            operation: match scope.operation {
                Operation::Register => StoredOperation::Register,
                Operation::ChangePassword => StoredOperation::ChangePassword,
                Operation::Deactivate => StoredOperation::Deactivate,
                Operation::AddThreePid => StoredOperation::AddThreePid,
                Operation::DeleteDevice(_) => StoredOperation::DeleteDevice,
                Operation::DeleteDevices => StoredOperation::DeleteDevices,
            },
            user: scope.user,
            device: scope.device,
            offer: scope.flow_set,
        }
    }
}

impl TryFrom<StoredScope> for SessionScope {
    type Error = UnexpectedTargetError;

    fn try_from(stored: StoredScope) -> Result<Self, UnexpectedTargetError> {
        let operation = match stored.operation {
            StoredOperation::DeleteDevice => Operation::DeleteDevice(stored.target),
            _ if !stored.target.is_empty() => return Err(UnexpectedTargetError),
            StoredOperation::Register => Operation::Register,
            StoredOperation::ChangePassword => Operation::ChangePassword,
            StoredOperation::Deactivate => Operation::Deactivate,
            StoredOperation::AddThreePid => Operation::AddThreePid,
            StoredOperation::DeleteDevices => Operation::DeleteDevices,
        };
        Ok(Self {
            operation,
            user: stored.user,
            device: stored.device,
            flow_set: stored.offer,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{clock::Timestamp, ids::DeviceId};

    fn scope(operation: Operation, flow_set: FlowSet) -> SessionScope {
        SessionScope {
            operation,
            user: Some((Localpart::stored("alice").unwrap(), 3)),
            device: None,
            flow_set,
        }
    }

    #[test]
    fn uia_13_the_stored_scope_keeps_its_members_and_values() {
        let device = Operation::DeleteDevice("PHONE".to_owned());
        let stored = [
            (
                SessionScope::register(),
                json!({ "operation": "register", "target": "", "user": null }),
            ),
            (
                scope(device, FlowSet::Password),
                json!({ "operation": "delete-device", "target": "PHONE",
                        "user": ["alice", 3], "offer": "password" }),
            ),
            (
                scope(Operation::ChangePassword, FlowSet::Address),
                json!({ "operation": "change-password", "target": "",
                        "user": ["alice", 3], "offer": "address" }),
            ),
            (
                scope(Operation::Deactivate, FlowSet::Password),
                json!({ "operation": "deactivate", "target": "",
                        "user": ["alice", 3], "offer": "password" }),
            ),
            (
                scope(Operation::AddThreePid, FlowSet::Password),
                json!({ "operation": "add-three-pid", "target": "",
                        "user": ["alice", 3], "offer": "password" }),
            ),
            (
                scope(Operation::DeleteDevices, FlowSet::Password),
                json!({ "operation": "delete-devices", "target": "",
                        "user": ["alice", 3], "offer": "password" }),
            ),
        ];
        for (scope, stored) in stored {
            assert_eq!(serde_json::to_value(&scope).unwrap(), stored);
            assert_eq!(
                serde_json::from_value::<SessionScope>(stored).unwrap(),
                scope
            );
        }
    }

    #[test]
    fn uia_14_the_device_is_stored_beside_the_user() {
        let mut scope = scope(Operation::DeleteDevices, FlowSet::Password);
        scope.device = Some(SessionDevice {
            id: DeviceId::parse("PHONE").unwrap(),
            issued_at: Timestamp(7),
        });
        let stored = json!({ "operation": "delete-devices", "target": "", "user": ["alice", 3],
                             "device": { "id": "PHONE", "issued_at": 7 }, "offer": "password" });
        assert_eq!(serde_json::to_value(&scope).unwrap(), stored);
        assert_eq!(
            serde_json::from_value::<SessionScope>(stored).unwrap(),
            scope
        );
    }

    #[test]
    fn a_target_where_there_is_none_is_refused() {
        let stored = json!({ "operation": "register", "target": "PHONE", "user": null });
        assert!(serde_json::from_value::<SessionScope>(stored).is_err());
    }
}
