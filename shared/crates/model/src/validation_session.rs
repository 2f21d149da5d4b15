//! The stored values of validation sessions: the purpose, the state, and the validated 3PID that a session results
//! in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, threepid::ThreePid};

/// The lifetime of a session from its start, and again from its validation (3PID-49).
pub const LIFETIME: Duration = Duration::from_hours(24);

/// The only operation that a validated 3PID may be used for (UIA-54).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationPurpose {
    /// The registration of an account.
    Register,
    /// A password reset: a new password without the old one.
    Reset,
    /// The addition of the 3PID to an account.
    Add,
}

impl ValidationPurpose {
    const ALL: [Self; 3] = [Self::Register, Self::Reset, Self::Add];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Reset => "reset",
            Self::Add => "add",
        }
    }

    /// The purpose with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == name)
    }
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationState {
    /// No client has submitted a valid code or link token yet.
    Pending,
    /// A client has submitted a valid code or link token.
    Validated,
    /// The validated 3PID has been used for its purpose.
    Spent,
    /// The recipient of the message has reported that they did not request it.
    Invalidated,
}

impl ValidationState {
    const ALL: [Self; 4] = [
        Self::Pending,
        Self::Validated,
        Self::Spent,
        Self::Invalidated,
    ];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Validated => "validated",
            Self::Spent => "spent",
            Self::Invalidated => "burned",
        }
    }

    /// The state with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A validated 3PID with the session that has validated it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatedThreePid {
    /// The ID of the validation session.
    pub sid: String,
    /// The nonce of the session when it was validated. Empty for a session of an identity server.
    #[serde(rename = "generation")]
    pub session_nonce: String,
    /// The 3PID.
    pub threepid: ThreePid,
    /// The time at which the session started, under this nonce.
    #[serde(default, rename = "begun")]
    pub started_at: Timestamp,
    /// The time of the validation.
    #[serde(rename = "validated")]
    pub validated_at: Timestamp,
    /// The session at an identity server, if an identity server has validated the 3PID.
    #[serde(default, rename = "elsewhere", skip_serializing_if = "Option::is_none")]
    pub delegated: Option<DelegatedSession>,
}

/// The credentials of a client for a validation session at an identity server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedSession {
    /// The name of the identity server.
    pub id_server: String,
    /// The `client_secret` of the session.
    pub client_secret: String,
    /// The client's access token for the identity server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

crate::opaque_debug!(DelegatedSession);
