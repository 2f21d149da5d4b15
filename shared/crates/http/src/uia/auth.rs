//! The `auth` member of a request's body.

use serde_json::{Map, Value};

use super::StageType;
use crate::{error::MatrixError, http::Body, secrets::Secret};

/// The `auth` member. If it has a session but no type, the client asks for the state of the session
/// (UIA-18). If it has neither, it contains no authentication.
#[derive(Debug, Default)]
pub struct Auth {
    /// The session that the request continues. If it is absent, the request starts a new session (UIA-10).
    pub session: Option<Secret>,
    /// The name of the attempted stage.
    pub stage: Option<String>,
    /// All members, including the members that are specific to the stage.
    pub members: Body,
}

impl Auth {
    /// Reads `auth` from a body. An absent member, `null` and `{}` are equivalent.
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

    /// The attempted stage, if its name is a stage type of this server.
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
