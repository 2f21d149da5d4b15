//! User-Interactive Authentication: sessions, stages and their order.
//!
//! An endpoint reads the session along with its own first read, settles what comes before UIA, and
//! calls [`prove`], which returns a [`UiaCompletion`] or a challenge. What needs proof takes the `UiaCompletion`
//! as argument, so it cannot be called without one. A stage is one file under `stages/`; a session
//! is one sealed row (`session`). Knows nothing of what any endpoint does.

mod auth;
mod engine;
pub mod fallback;
mod operations;
mod proof;
mod session;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use crate::{
    error::{Challenge, StageError},
    store::SessionCommit,
};
pub use auth::Auth;
pub use engine::{UiaAttempt, prepare, prove};
pub use operations::{FlowSet, Operation, SessionScope};
pub use proof::UiaCompletion;
pub use session::{OpenSession, Replay, SessionState, session_key};
pub use stages::{DelegatedLookup, Prefetched, StageResult, StageType, registration_token};

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
        refusal: Option<StageError>,
    ) -> Self {
        let stages = |flow: &Flow| json!({ "stages": flow.iter().map(|stage| stage.as_str()).collect::<Vec<_>>() });
        let offered: BTreeSet<StageType> = flows.iter().flatten().copied().collect();
        let params: Map<String, Value> = offered
            .into_iter()
            .filter_map(|stage| Some((stage.as_str().to_owned(), stages::params(stage, config)?)))
            .collect();
        Self {
            flows: flows.iter().map(stages).collect(),
            params: params.into(),
            session: session.id().to_owned(),
            next: flows
                .iter()
                .filter_map(|flow| engine::next(flow, session))
                .map(StageType::as_str)
                .collect(),
            completed: session
                .state
                .completed
                .iter()
                .map(|done| done.stage.as_str())
                .collect(),
            refusal,
        }
    }
}

/// What the stages of the completed flow are worth to the operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthResult {
    /// Accepted version of each policy.
    pub terms: BTreeMap<String, String>,
    /// The use to be spent of a limited registration token.
    pub registration_token: Option<TokenUse>,
    /// Validated addresses, to be attached with their proofs spent.
    pub threepids: Vec<ValidatedThreePid>,
    /// Whose password was given.
    pub password: Option<VerifiedPassword>,
}

/// That somebody knows an account's password, as it was when they gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedPassword {
    /// Whose.
    pub user: Localpart,
    /// The account's epoch then.
    pub epoch: i64,
    /// When the password was set: one that was set later is another.
    pub set: Timestamp,
}
