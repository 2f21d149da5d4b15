//! The state of a UIA session: the sealed part of its row, and the transitions of its stages.
//!
//! The stored names of members and variants must never change, because a session outlives a deployment.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    SessionParameters, SessionScope,
    stages::{StageResult, StageType, threepid::PendingValidation},
};
use crate::{
    clock::Timestamp,
    config::{Config, Flow},
    secrets::{constant_time_eq, sha256_base64},
    threepid_validation::DelegatedSession,
};

/// The time for which a repeat of the request that completed a session receives the same response.
const REPLAY_FOR: Duration = Duration::from_mins(10);

/// A completed stage with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedStage {
    /// The stage.
    pub stage: StageType,
    /// Its result.
    #[serde(rename = "evidence")]
    pub result: StageResult,
}

/// The request that completed the session, and its response.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Finished {
    at: Timestamp,
    /// SHA-256 of the request's canonical form.
    request: String,
    answer: String,
}

/// The sealed state of a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The only operation and user for which the session is valid.
    #[serde(rename = "binding")]
    pub scope: SessionScope,
    /// The operation's parameters so far (UIA-19).
    pub parameters: SessionParameters,
    /// The completed stages in the order of their completion (UIA-05).
    pub completed: Vec<CompletedStage>,
    /// The policy versions that the last response showed (UIA-62).
    #[serde(rename = "shown")]
    pub shown_policies: BTreeMap<String, String>,
    /// The validation session that each 3PID stage waits for.
    #[serde(default, rename = "awaited")]
    pub(in crate::uia) pending: BTreeMap<StageType, PendingValidation>,
    finished: Option<Finished>,
}

/// The response of a session to a request that names it.
#[derive(PartialEq, Eq)]
pub enum Replay {
    /// The session is not completed.
    Open,
    /// This request has completed the session, so the response is repeated (UIA-15).
    Answer {
        /// The response.
        text: String,
        /// Its age.
        age: Duration,
    },
    /// Another request has completed the session, or this request completed it too long ago.
    Over,
}

crate::opaque_debug!(SessionState, Finished, Replay);

impl SessionState {
    /// The state of a new session.
    pub(super) fn new(scope: SessionScope) -> Self {
        Self {
            scope,
            parameters: SessionParameters::default(),
            completed: Vec::new(),
            shown_policies: BTreeMap::new(),
            pending: BTreeMap::new(),
            finished: None,
        }
    }

    /// The state after this request has completed the session with this response. The parameters,
    /// which may contain a password, are removed.
    pub(super) fn finished(&self, at: Timestamp, request: &str, answer: &str) -> Self {
        Self {
            parameters: SessionParameters::default(),
            finished: Some(Finished {
                at,
                request: sha256_base64(request.as_bytes()),
                answer: answer.to_owned(),
            }),
            ..self.clone()
        }
    }

    /// Whether the session's operation has been carried out.
    pub fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// The response to a request with this canonical form.
    pub(super) fn replay(&self, request: &str, now: Timestamp) -> Replay {
        match &self.finished {
            None => Replay::Open,
            Some(end)
                if constant_time_eq(&end.request, &sha256_base64(request.as_bytes()))
                    && now.since(end.at) < REPLAY_FOR =>
            {
                Replay::Answer {
                    text: end.answer.clone(),
                    age: now.since(end.at),
                }
            }
            Some(_) => Replay::Over,
        }
    }

    /// Whether the stage is completed.
    pub fn has_completed(&self, stage: StageType) -> bool {
        self.completed.iter().any(|done| done.stage == stage)
    }

    /// Records the result of a stage. The first result stays (UIA-17).
    pub(super) fn complete(&mut self, stage: StageType, result: StageResult) {
        if !self.has_completed(stage) {
            self.completed.push(CompletedStage { stage, result });
        }
    }

    /// Reopens a stage whose result is no longer valid.
    pub(super) fn reopen(&mut self, stage: StageType) {
        self.completed.retain(|done| done.stage != stage);
        self.pending.remove(&stage);
    }

    /// Records which validation session a stage waits for. Returns whether the state has changed.
    pub(super) fn wait_for(
        &mut self,
        stage: StageType,
        sid: String,
        delegated: Option<DelegatedSession>,
    ) -> bool {
        let known = self.pending.get(&stage);
        if known.is_some_and(|pending| pending.sid == sid && pending.delegated == delegated) {
            return false;
        }
        let pending = PendingValidation {
            sid,
            page: None,
            asks_again: false,
            delegated,
        };
        self.pending.insert(stage, pending);
        true
    }

    /// Records which policy versions the next response shows, unless they are accepted already
    /// (UIA-62). Returns whether these versions differ from the versions in the last response.
    pub(super) fn show_policies(&mut self, config: &Config) -> bool {
        let versions = config.policies.as_ref().map(|policies| &policies.versions);
        let current = versions.cloned().unwrap_or_default();
        let differ = !self.has_completed(StageType::Terms) && self.shown_policies != current;
        if differ {
            self.shown_policies = current;
        }
        differ
    }

    /// Adds the completed stages and the pending validations of `other` to this state, and copies its
    /// shown policies. The parameters do not change.
    pub(super) fn merge(&mut self, other: &Self) {
        for done in &other.completed {
            self.complete(done.stage, done.result.clone());
        }
        self.shown_policies.clone_from(&other.shown_policies);
        self.pending.extend(other.pending.clone());
    }

    /// The first stage of the flow that is not completed.
    pub(super) fn next_stage(&self, flow: &Flow) -> Option<StageType> {
        flow.iter()
            .copied()
            .find(|stage| !self.has_completed(*stage))
    }

    /// The stages that can be completed now, in the order of the flows. Empty if a flow is completed.
    pub fn next_stages(&self, flows: &[Flow]) -> Vec<StageType> {
        let mut stages = Vec::new();
        for flow in flows {
            match self.next_stage(flow) {
                None => return Vec::new(),
                Some(stage) if stages.contains(&stage) => {}
                Some(stage) => stages.push(stage),
            }
        }
        stages
    }

    /// Whether the stage is the first uncompleted one of some flow (UIA-16).
    pub(super) fn is_next(&self, flows: &[Flow], stage: StageType) -> bool {
        flows
            .iter()
            .any(|flow| self.next_stage(flow) == Some(stage))
    }

    /// The first flow whose stages are all completed.
    pub(super) fn completed_flow<'a>(&self, flows: &'a [Flow]) -> Option<&'a Flow> {
        flows.iter().find(|flow| self.next_stage(flow).is_none())
    }
}

#[cfg(test)]
mod tests;
