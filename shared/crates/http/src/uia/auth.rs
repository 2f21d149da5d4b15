//! The `auth` member of a request's body.

use serde_json::{Map, Value};

use super::StageType;
use crate::{error::MatrixError, http::Body, secrets::Secret};

/// What a request says about its authentication. Without a type it asks how far its session is
/// (UIA-18); with neither type nor session it says nothing.
#[derive(Debug, Default)]
pub struct Auth {
    /// The session it continues; without one it begins another (UIA-10).
    pub session: Option<Secret>,
    /// The stage it attempts.
    pub stage: Option<String>,
    /// All members, for the stage to read its own.
    pub members: Body,
}

impl Auth {
    /// Reads `auth` from a body: absent, `null` and `{}` are the same.
    pub fn parse(body: &Body) -> Result<Self, MatrixError> {
        let members: Body = body
            .optional::<Map<String, Value>>("auth")?
            .unwrap_or_default()
            .into();
        let session = members
            .optional::<String>("session")?
            .filter(|session| !session.is_empty());
        Ok(Self {
            session: session.map(Secret::new),
            stage: members.optional("type")?,
            members,
        })
    }

    /// The stage it attempts, if that is one of ours.
    pub fn attempted(&self) -> Option<StageType> {
        self.stage.as_deref().and_then(StageType::parse)
    }

    /// What a fallback page's form says, in the words of an `auth` member.
    pub fn of_form(session: Secret, stage: &str, members: Map<String, Value>) -> Self {
        Self {
            session: Some(session),
            stage: Some(stage.to_owned()),
            members: members.into(),
        }
    }
}
