//! User-Interactive Authentication: sessions, stages and their order, and the life cycle of the
//! requests that it protects.
//!
//! [`authenticate`] returns a [`UiaCompletion`] or a challenge. Every function that requires a completed
//! flow takes the `UiaCompletion` as an argument, so it cannot be called before a flow is completed. Each
//! stage is one file under `stages/`. A session is one sealed row (`session`, `state`). `request` is the
//! life cycle from the first read of a request to its final transaction. No file here depends on the
//! rules of an endpoint.

mod auth;
mod completion;
mod engine;
pub mod fallback;
mod login;
mod operations;
mod parameters;
pub mod request;
mod session;
pub mod stage_page;
mod stages;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use crate::{
    error::{Challenge, StageError},
    store::SessionCommit,
};
pub use auth::Auth;
pub use completion::UiaCompletion;
pub use engine::{AuthenticateError, UiaAttempt, authenticate, prefetch};
pub use login::{Login, SessionDevice};
pub use operations::{FlowSet, Operation, SessionScope};
pub use parameters::{
    NoParameters, ParametersChangedError, RequestParameters, RequestedName, SessionParameters,
    merge_unchanged, sealed_secret,
};
pub use session::{OpenSession, session_key};
pub use stages::{DelegatedLookup, Prefetched, StageResult, StageType, registration_token};
pub use state::{Replay, SessionState};

use crate::{
    clock::Timestamp,
    config::{Config, Flow},
    ids::Localpart,
    store::TokenUse,
    threepid_validation::ValidatedThreePid,
};

impl Challenge {
    fn new(
        config: &Config,
        flows: &[Flow],
        session: &OpenSession,
        error: Option<StageError>,
    ) -> Self {
        let stages = |flow: &Flow| json!({ "stages": flow.iter().map(|stage| stage.as_str()).collect::<Vec<_>>() });
        let offered: BTreeSet<StageType> = flows.iter().flatten().copied().collect();
        let params: Map<String, Value> = offered
            .into_iter()
            .filter_map(|stage| Some((stage.as_str().to_owned(), stages::params(stage, config)?)))
            .collect();
        let state = &session.state;
        let next = flows.iter().filter_map(|flow| state.next_stage(flow));
        let completed = state.completed.iter().map(|done| done.stage.as_str());
        Self {
            flows: flows.iter().map(stages).collect(),
            params: params.into(),
            session: session.id().reveal().clone(),
            next: next.map(StageType::as_str).collect(),
            completed: completed.collect(),
            error,
        }
    }
}

/// The results of the stages of a completed flow, for the operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthResult {
    /// The accepted version of each policy.
    pub terms: BTreeMap<String, String>,
    /// The use of a limited registration token that the operation spends.
    pub registration_token: Option<TokenUse>,
    /// The validated 3PIDs. The operation attaches them and spends their validation sessions.
    pub threepids: Vec<ValidatedThreePid>,
    /// The account whose password was verified.
    pub password: Option<VerifiedPassword>,
}

/// The verified password of an account, in the version that was stored at the time of the verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedPassword {
    /// The user.
    pub user: Localpart,
    /// The account's token epoch at the time of the verification.
    pub epoch: i64,
    /// The time of the last password change before the verification. If the stored time differs, the password has
    /// been changed since.
    #[serde(rename = "set")]
    pub password_changed_at: Timestamp,
}
