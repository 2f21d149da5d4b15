//! `m.login.email.identity` and `m.login.msisdn`: somebody receives what is sent to an address
//! (UIA-50 to UIA-57).
//!
//! The stage names a validation session; it passes when that has been validated for this operation.
//! Until then the answer is M_UNAUTHORIZED, which clients take for "not yet", and the UIA session
//! remembers which one it waits for. The proof is spent by the operation's own transaction. Sessions of
//! identity servers are in `threepid_elsewhere`.

use serde_json::{Map, Value};

use super::{
    DelegatedLookup, Prefetched, StageContext, StageOutcome, StageResult, StageType,
    threepid_elsewhere,
};
use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::Body,
    secrets::Secret,
    store::ValidationRow,
    threepid_validation::{self, DelegatedSession, ValidationPurpose},
    uia::{FlowSet, SessionScope, StageError},
};

const MISSING: StageError = StageError {
    code: "M_MISSING_PARAM",
    message: "`threepid_creds` is missing",
};
/// The one answer as long as there is no proof, whatever the reason (UIA-53, UIA-57): clients ask
/// again and show nothing.
pub(in crate::uia) const NOT_YET: StageError = StageError {
    code: "M_UNAUTHORIZED",
    message: "The address has not been validated yet",
};

/// A validation session that a UIA session waits for.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::uia) struct PendingValidation {
    pub(in crate::uia) sid: String,
    /// What a fallback page has asked for; a client keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::uia) asked: Option<Asked>,
    /// Whether the page asks for an address again, and goes on counting from there.
    #[serde(default)]
    pub(in crate::uia) asks_again: bool,
    /// Whose session it is, if it is not this server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::uia) elsewhere: Option<DelegatedSession>,
}

impl PendingValidation {
    /// The session at an identity server that it is.
    fn session_elsewhere(&self) -> Option<DelegatedLookup> {
        let elsewhere = self.elsewhere.clone()?;
        Some(DelegatedLookup {
            sid: self.sid.clone(),
            elsewhere,
        })
    }

    /// What the fallback page shows as asked for.
    pub(super) fn shown(&self) -> Option<&Asked> {
        self.asked.as_ref().filter(|_| !self.asks_again)
    }
}

/// What a fallback page has asked for.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::uia) struct Asked {
    pub(in crate::uia) client_secret: String,
    pub(in crate::uia) attempt: i64,
    /// Where the message went, as far as the page shows it.
    pub(in crate::uia) to: String,
}

crate::opaque_debug!(PendingValidation, Asked);

/// What `threepid_creds` says.
pub(super) struct Credentials {
    pub(super) sid: String,
    pub(super) client_secret: Secret,
    pub(super) id_server: Option<String>,
    pub(super) id_access_token: Option<String>,
}

/// The purpose that a proof must have been asked for (UIA-54).
pub(in crate::uia) fn purpose(binding: &SessionScope) -> Option<ValidationPurpose> {
    match binding.offer {
        FlowSet::Registration => Some(ValidationPurpose::Register),
        FlowSet::Address => Some(ValidationPurpose::Reset),
        FlowSet::Password => None,
    }
}

/// Reads the session that the credentials name.
pub(super) async fn prepare(app: &App, members: &Body) -> Result<Prefetched, MatrixError> {
    let Some(credentials) = credentials(members)? else {
        return Ok(Prefetched::Nothing);
    };
    let lawful = threepid_validation::is_opaque_id(&credentials.sid)
        && threepid_validation::is_opaque_id(credentials.client_secret.reveal());
    let row = if lawful {
        app.store.find_validation(&credentials.sid).await?
    } else {
        None
    };
    // Whose secret it is not, for them it is not there.
    let keys = &app.config.keys;
    let own = row.filter(|row| {
        threepid_validation::has_client_secret(keys, row, &credentials.client_secret)
    });
    if own.is_none()
        && lawful
        && let Some(elsewhere) = threepid_elsewhere::named(app, &credentials)
    {
        return Ok(Prefetched::DelegatedSession(elsewhere.map(Box::new)));
    }
    Ok(Prefetched::UiaCompletion(own.map(Box::new)))
}

pub(super) async fn attempt(
    context: StageContext<'_>,
    stage: StageType,
    prepared: &Prefetched,
) -> Result<StageOutcome, Rejection> {
    let found;
    let row = match (prepared, context.awaited) {
        (Prefetched::UiaCompletion(row), _) => row.as_deref(),
        (Prefetched::DelegatedSession(Err(why)), _) => return Ok(StageOutcome::Refused(*why)),
        (Prefetched::DelegatedSession(Ok(session)), _) => {
            return threepid_elsewhere::attempt(context, stage, session).await;
        }
        (_, Some(awaited)) => {
            if let Some(session) = awaited.session_elsewhere() {
                return threepid_elsewhere::attempt(context, stage, &session).await;
            }
            found = context.app.store.find_validation(&awaited.sid).await?;
            found.as_ref()
        }
        _ => return Ok(StageOutcome::Refused(MISSING)),
    };
    let suits = |row: &&ValidationRow| {
        Some(row.threepid.medium) == stage.medium()
            && Some(row.purpose) == purpose(context.binding)
            && threepid_validation::is_active(row, context.app.clock.now())
    };
    let Some(row) = row.filter(suits) else {
        return Ok(StageOutcome::Refused(NOT_YET));
    };
    Ok(match row.validated_threepid() {
        Some(validated) => StageOutcome::passed(StageResult::ThreePid(validated)),
        None => StageOutcome::Waiting {
            sid: row.sid.clone(),
            elsewhere: None,
            why: NOT_YET,
        },
    })
}

/// Reads the credentials in any of their spellings (UIA-51): under either name, as an object or a
/// list of one; if both names are there the specification's own counts. An `id_server` in them is
/// asked only where the operator chose that (UIA-52).
fn credentials(members: &Body) -> Result<Option<Credentials>, MatrixError> {
    let value = match members.optional::<Value>("threepid_creds")? {
        Some(value) => value,
        None => match members.optional::<Value>("threepidCreds")? {
            Some(value) => value,
            None => return Ok(None),
        },
    };
    let object: Option<Map<String, Value>> = match value {
        Value::Object(object) => Some(object),
        Value::Array(mut list) if list.len() == 1 => match list.swap_remove(0) {
            Value::Object(object) => Some(object),
            _ => None,
        },
        _ => None,
    };
    let wrong_type = || MatrixError::new(ErrorCode::BadJson, "`threepid_creds` has the wrong type");
    let members = Body::from(object.ok_or_else(wrong_type)?);
    let sid = members.optional::<String>("sid")?;
    let secret = match members.optional::<String>("client_secret")? {
        Some(secret) => Some(secret),
        None => members.optional::<String>("clientSecret")?,
    };
    let either = |name, other| match members.optional::<String>(name) {
        Ok(None) => members.optional::<String>(other),
        found => found,
    };
    let id_server = either("id_server", "idServer")?;
    let id_access_token = either("id_access_token", "idAccessToken")?;
    Ok(sid.zip(secret).map(|(sid, secret)| Credentials {
        sid,
        client_secret: Secret::new(secret),
        id_server,
        id_access_token,
    }))
}
