//! Validation sessions as they are stored: purpose, state, and the validated address that comes out of one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, threepid::ThreePid};

/// How long a session lives from its beginning, and again from its validation (3PID-49).
pub const LIFETIME: Duration = Duration::from_hours(24);

/// What a proof is good for, and nothing else (UIA-54).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationPurpose {
    /// Making an account.
    Register,
    /// Setting a new password without the old one.
    Reset,
    /// Adding an address to an account.
    Add,
}

impl ValidationPurpose {
    const ALL: [Self; 3] = [Self::Register, Self::Reset, Self::Add];

    /// Its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Reset => "reset",
            Self::Add => "add",
        }
    }

    /// The purpose of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == name)
    }
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationState {
    /// Nobody has shown yet that the message arrived.
    Pending,
    /// Somebody has.
    Validated,
    /// It has served its purpose.
    Spent,
    /// Whoever got the message says that it was not their doing.
    Burned,
}

impl ValidationState {
    const ALL: [Self; 4] = [Self::Pending, Self::Validated, Self::Spent, Self::Burned];

    /// Its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Validated => "validated",
            Self::Spent => "spent",
            Self::Burned => "burned",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A validated address, as evidence for an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatedThreePid {
    /// The session that proves it.
    pub sid: String,
    /// The session's generation.
    pub generation: String,
    /// What is proven.
    pub threepid: ThreePid,
    /// When the session's generation began.
    #[serde(default)]
    pub begun: Timestamp,
    /// When it was validated.
    pub validated: Timestamp,
    /// Whose session it is, if an identity server has validated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<DelegatedSession>,
}

/// A validation session at an identity server, as the client that has it knows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedSession {
    /// The identity server's name.
    pub id_server: String,
    /// The secret of the session there.
    pub client_secret: String,
    /// The client's token there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

crate::opaque_debug!(DelegatedSession);
