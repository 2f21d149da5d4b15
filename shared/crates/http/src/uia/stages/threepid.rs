//! `m.login.email.identity` and `m.login.msisdn`: the user can receive messages at a 3PID (UIA-50 to
//! UIA-57).
//!
//! The client names a validation session. The stage passes once that session is validated for this
//! operation. Until then the response is M_UNAUTHORIZED, which clients interpret as "not yet", and the UIA
//! session stores the validation session that it waits for. The operation's own transaction
//! marks the validation session as spent. `threepid_delegated` handles the sessions of identity
//! servers.

use serde::{Deserialize, Serialize};

use super::{
    DelegatedLookup, Prefetched, StageContext, StageOutcome, StageResult, StageType,
    threepid_delegated,
};
use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::Body,
    secrets::Secret,
    store::ValidationRow,
    threepid_creds::ThreePidCreds,
    threepid_validation::{self, DelegatedSession, ValidationPurpose},
    uia::{FlowSet, SessionScope, StageError},
};

const MISSING: StageError = StageError {
    code: ErrorCode::MissingParam,
    message: "`threepid_creds` is missing",
};
/// The error until the 3PID is validated, regardless of the reason (UIA-53, UIA-57). Clients poll and do
/// not show this error.
pub(in crate::uia) const NOT_YET: StageError = StageError {
    code: ErrorCode::Unauthorized,
    message: "The address has not been validated yet",
};

/// A validation session that a UIA session waits for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::uia) struct PendingValidation {
    pub(in crate::uia) sid: String,
    /// The request for a message that a fallback page has made. `None` if the client has requested the
    /// message itself, because the client then stores these values.
    #[serde(default, rename = "asked", skip_serializing_if = "Option::is_none")]
    pub(in crate::uia) page: Option<PageState>,
    /// Whether the page asks for another 3PID. The count of send attempts continues.
    #[serde(default)]
    pub(in crate::uia) asks_again: bool,
    /// The session at an identity server, if this server does not validate the 3PID itself.
    #[serde(default, rename = "elsewhere", skip_serializing_if = "Option::is_none")]
    pub(in crate::uia) delegated: Option<DelegatedSession>,
}

impl PendingValidation {
    /// The session at an identity server, if this server does not validate the 3PID itself.
    fn delegated_lookup(&self) -> Option<DelegatedLookup> {
        let session = self.delegated.clone()?;
        Some(DelegatedLookup {
            sid: self.sid.clone(),
            session,
        })
    }

    /// The request whose recipient the fallback page shows.
    pub(super) fn shown(&self) -> Option<&PageState> {
        self.page.as_ref().filter(|_| !self.asks_again)
    }
}

/// The request for a message that a fallback page has made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::uia) struct PageState {
    #[serde(with = "crate::uia::sealed_secret::required")]
    pub(in crate::uia) client_secret: Secret,
    #[serde(rename = "attempt")]
    pub(in crate::uia) send_attempt: i64,
    /// The masked recipient, as the page shows it.
    pub(in crate::uia) to: String,
}

crate::opaque_debug!(PendingValidation, PageState);

/// The purpose that the validation session must have (UIA-54).
pub(in crate::uia) fn purpose(scope: &SessionScope) -> Option<ValidationPurpose> {
    match scope.flow_set {
        FlowSet::Registration => Some(ValidationPurpose::Register),
        FlowSet::Address => Some(ValidationPurpose::Reset),
        FlowSet::Password => None,
    }
}

/// Reads the validation session that the client names.
pub(super) async fn prefetch(app: &App, members: &Body) -> Result<Prefetched, MatrixError> {
    let Some(credentials) = ThreePidCreds::parse_stage(members)? else {
        return Ok(Prefetched::Nothing);
    };
    let own = credentials.find(app).await?;
    if own.is_none()
        && credentials.is_well_formed()
        && let Some(delegated) = threepid_delegated::lookup(app, &credentials)
    {
        return Ok(Prefetched::DelegatedSession(delegated.map(Box::new)));
    }
    Ok(Prefetched::Validation(own.map(Box::new)))
}

pub(super) async fn attempt(
    context: StageContext<'_>,
    stage: StageType,
    prefetched: &Prefetched,
) -> Result<StageOutcome, Rejection> {
    let found;
    let row = match (prefetched, context.pending) {
        (Prefetched::Validation(row), _) => row.as_deref(),
        (Prefetched::DelegatedSession(Err(error)), _) => return Ok(StageOutcome::Refused(*error)),
        (Prefetched::DelegatedSession(Ok(lookup)), _) => {
            return threepid_delegated::attempt(context, stage, lookup).await;
        }
        (_, Some(pending)) => {
            if let Some(lookup) = pending.delegated_lookup() {
                return threepid_delegated::attempt(context, stage, &lookup).await;
            }
            found = context.app.store.find_validation(&pending.sid).await?;
            found.as_ref()
        }
        _ => return Ok(StageOutcome::Refused(MISSING)),
    };
    let is_usable = |row: &&ValidationRow| {
        Some(row.threepid.medium) == stage.medium()
            && Some(row.purpose) == purpose(context.scope)
            && threepid_validation::is_active(row, context.app.clock.now())
    };
    let Some(row) = row.filter(is_usable) else {
        return Ok(StageOutcome::Refused(NOT_YET));
    };
    Ok(match row.validated_threepid() {
        Some(validated) => StageOutcome::passed(StageResult::ThreePid(validated)),
        None => StageOutcome::Waiting {
            sid: row.sid.clone(),
            delegated: None,
            error: NOT_YET,
        },
    })
}
