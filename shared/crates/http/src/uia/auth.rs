//! The `auth` member of a request's body.

use serde_json::{Map, Value};

use super::StageType;
use crate::{error::MatrixError, http::Body, secrets::Secret};

/// The `auth` member. With a session and no type, the client asks for the state of that session
/// (UIA-18); without both, it gives no authentication.
#[derive(Debug, Default)]
pub struct Auth {
    /// The session that the request continues; without one it starts another (UIA-10).
    pub session: Option<Secret>,
    /// The name of the attempted stage.
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

    /// The attempted stage, if this server knows its name.
    pub fn attempted(&self) -> Option<StageType> {
        self.stage.as_deref().and_then(StageType::parse)
    }

    /// The `auth` member that corresponds to the submitted form of a fallback page.
    pub fn of_form(session: Secret, stage: &str, members: Map<String, Value>) -> Self {
        Self {
            session: Some(session),
            stage: Some(stage.to_owned()),
            members: members.into(),
        }
    }
}
