//! A UIA session: what it remembers, sealed so that neither the table nor a log that holds the
//! session string is enough to read it.
//!
//! The row's key is the SHA-256 of the session string. Everything else, the parameters with their
//! password included, is one sealed value whose key needs both the session string and the server's
//! secret, and which opens only in its own row at its own version.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Operation, SessionScope,
    stages::{StageResult, StageType, threepid::PendingValidation},
};
use crate::{
    app::App,
    clock::Timestamp,
    config::Config,
    secrets::{KeyPurpose, Secret, constant_time_eq, sha256_base64},
    store::{SaveSessionError, SessionCommit, SessionRow, StoreError},
    threepids::proofs::DelegatedSession,
};

/// How long a session lives from its beginning, whatever happens in it.
const LIFETIME: Duration = Duration::from_hours(48);
/// How long the answer of a finished session is given again.
const REPLAY_FOR: Duration = Duration::from_mins(10);

/// How often a session that others write to at the same moment is read again.
const SAVE_TRIES: u32 = 12;

const ID_BYTES: usize = 24;
/// No session string of ours is longer; a longer one need not be looked up.
const MAX_ID_CHARS: usize = 255;

/// A stage that is done, and what it was worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The stage.
    pub stage: StageType,
    /// What it proved.
    pub evidence: StageResult,
}

/// How a session ended.
#[derive(Clone, Serialize, Deserialize)]
struct Finished {
    at: Timestamp,
    request: String,
    answer: String,
}

/// All that a session remembers.
#[derive(Clone, Serialize, Deserialize)]
pub struct SessionState {
    /// What it is for.
    pub binding: SessionScope,
    /// The operation's parameters so far (UIA-19).
    pub parameters: Value,
    /// The stages that are done, in the order in which they were (UIA-05).
    pub completed: Vec<Completed>,
    /// The policy versions that were shown last (UIA-62).
    pub shown: BTreeMap<String, String>,
    /// The validation session that each stage waits for.
    #[serde(default)]
    pub(in crate::uia) awaited: BTreeMap<StageType, PendingValidation>,
    finished: Option<Finished>,
}

/// A session whose string the client knows.
#[derive(Debug, Clone)]
pub struct OpenSession {
    id: Secret,
    key: String,
    /// The version of the row as it was read; 0 for one that is not stored yet.
    version: i64,
    expires: Timestamp,
    /// What it remembers.
    pub state: SessionState,
}

/// Whose parameters count when two requests have changed one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameters {
    /// This request's: it has brought some.
    Ours,
    /// The stored ones: this request, a fallback page's, knows of none.
    Stored,
}

/// What a session says to a request that came back to it.
#[derive(PartialEq, Eq)]
pub enum Replay {
    /// It is not finished.
    Open,
    /// It is, by this very request; here is its answer again (UIA-15).
    Answer {
        /// The answer.
        text: String,
        /// How long ago it was given first.
        age: Duration,
    },
    /// It is, and this is another request, or too late.
    Over,
}

crate::opaque_debug!(SessionState, Finished, Replay);

/// The key of the row of the session with this string; `None` if no session of ours can have it.
pub fn session_key(id: &Secret) -> Option<String> {
    let lawful = (1..=MAX_ID_CHARS).contains(&id.reveal().len());
    lawful.then(|| sha256_base64(id.reveal().as_bytes()))
}

impl OpenSession {
    /// A new session, not stored yet.
    pub fn begin(app: &App, binding: SessionScope, parameters: Value) -> Self {
        let id = Secret::new(app.rng.base64::<ID_BYTES>());
        let key = sha256_base64(id.reveal().as_bytes());
        let state = SessionState {
            binding,
            parameters,
            completed: Vec::new(),
            shown: BTreeMap::new(),
            awaited: BTreeMap::new(),
            finished: None,
        };
        let expires = app.clock.now().plus(LIFETIME);
        let mut session = Self {
            id,
            key,
            version: 0,
            expires,
            state,
        };
        session.show_policies(&app.config);
        session
    }

    /// Opens a stored session. `None` if it has expired (UIA-32: whatever TTL has done so far) or
    /// its keys are gone; a finished one opens as long as its row is there.
    pub fn open(app: &App, id: &Secret, row: SessionRow) -> Option<Self> {
        let place = place(&row.key, row.version);
        let plain = app
            .config
            .keys
            .open(
                KeyPurpose::UiaSession,
                id.reveal().as_bytes(),
                &place,
                &row.sealed,
            )
            .ok()?;
        let plain = Secret::new(plain);
        let state: SessionState = serde_json::from_slice(plain.reveal()).ok()?;
        let alive = state.finished.is_some() || app.clock.now() < row.expires;
        alive.then(|| Self {
            id: id.clone(),
            key: row.key,
            version: row.version,
            expires: row.expires,
            state,
        })
    }

    /// Reads and opens a session.
    pub async fn find(app: &App, id: &Secret) -> Result<Option<Self>, StoreError> {
        let Some(key) = session_key(id) else {
            return Ok(None);
        };
        let row = app.store.find_uia_session(&key).await?;
        Ok(row.and_then(|row| Self::open(app, id, row)))
    }

    /// The session string, for the client.
    pub fn id(&self) -> &str {
        self.id.reveal()
    }

    /// The same, to find the row again.
    pub fn secret_id(&self) -> &Secret {
        &self.id
    }

    /// Whether it is stored already.
    pub fn is_stored(&self) -> bool {
        self.version > 0
    }

    /// Whether it is to make an account.
    pub fn is_sign_up(&self) -> bool {
        self.state.binding.operation == Operation::Register
    }

    /// Remembers which policy versions the next answer shows, until they are accepted (UIA-62).
    /// Returns whether they are others than the last one showed.
    pub fn show_policies(&mut self, config: &Config) -> bool {
        let versions = config.policies.as_ref().map(|policies| &policies.versions);
        let current = versions.cloned().unwrap_or_default();
        let news = !self.has_completed(StageType::Terms) && self.state.shown != current;
        if news {
            self.state.shown = current;
        }
        news
    }

    /// Whether its operation has been done.
    pub fn is_finished(&self) -> bool {
        self.state.finished.is_some()
    }

    /// Whether this stage is done.
    pub fn has_completed(&self, stage: StageType) -> bool {
        self.state.completed.iter().any(|done| done.stage == stage)
    }

    /// Records a stage that is done, once.
    pub fn complete(&mut self, stage: StageType, evidence: StageResult) {
        if !self.has_completed(stage) {
            self.state.completed.push(Completed { stage, evidence });
        }
    }

    /// Remembers which validation session a stage waits for; returns whether that is news.
    pub fn wait_for(
        &mut self,
        stage: StageType,
        sid: String,
        elsewhere: Option<DelegatedSession>,
    ) -> bool {
        let known = self.state.awaited.get(&stage);
        if known.is_some_and(|awaited| awaited.sid == sid && awaited.elsewhere == elsewhere) {
            return false;
        }
        let awaited = PendingValidation {
            sid,
            asked: None,
            asks_again: false,
            elsewhere,
        };
        self.state.awaited.insert(stage, awaited);
        true
    }

    /// Takes a stage back whose evidence is worth nothing any more.
    pub fn uncomplete(&mut self, stage: StageType) {
        self.state.completed.retain(|done| done.stage != stage);
        self.state.awaited.remove(&stage);
    }

    /// What it says to a request whose canonical form is `request`.
    pub fn replay(&self, request: &str, now: Timestamp) -> Replay {
        match &self.state.finished {
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

    /// Saves it on top of the version that was read.
    pub async fn save(&mut self, app: &App) -> Result<(), SaveSessionError> {
        let row = self.next_row(app, &self.state);
        app.store.save_uia_session(&row).await?;
        self.version = row.version;
        Ok(())
    }

    /// Saves it; if somebody else was quicker, adds what is new here to what is stored there.
    /// `withdrawn` is a stage that no longer counts, here or there. Returns whether there was
    /// anything to add to.
    pub async fn save_merged(
        &mut self,
        app: &App,
        parameters: Parameters,
        withdrawn: Option<StageType>,
    ) -> Result<bool, SaveSessionError> {
        let mut merged = false;
        for attempt in 0..SAVE_TRIES {
            match self.save(app).await {
                Ok(()) => return Ok(merged),
                Err(SaveSessionError::Conflict) => {
                    app.store.wait(attempt).await;
                    self.merge(app, parameters).await?;
                    if let Some(stage) = withdrawn {
                        self.uncomplete(stage);
                    }
                    merged = true;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Takes over what is stored and adds what is new here; `Moved` if that session is finished
    /// or gone.
    pub async fn merge(
        &mut self,
        app: &App,
        parameters: Parameters,
    ) -> Result<(), SaveSessionError> {
        let fresh = Self::find(app, &self.id)
            .await?
            .filter(|fresh| !fresh.is_finished());
        let mut fresh = fresh.ok_or(SaveSessionError::Conflict)?;
        for done in &self.state.completed {
            fresh.complete(done.stage, done.evidence.clone());
        }
        fresh.state.shown.clone_from(&self.state.shown);
        fresh.state.awaited.extend(self.state.awaited.clone());
        if parameters == Parameters::Ours {
            fresh.state.parameters = self.state.parameters.clone();
        }
        *self = fresh;
        Ok(())
    }

    /// The row that finishes it with this answer to this request. Its parameters, and with them
    /// any password, are gone then.
    pub fn commit(&self, app: &App, request: &str, answer: &str) -> SessionCommit {
        let finished = Finished {
            at: app.clock.now(),
            request: sha256_base64(request.as_bytes()),
            answer: answer.to_owned(),
        };
        let state = SessionState {
            parameters: Value::Null,
            finished: Some(finished),
            ..self.state.clone()
        };
        SessionCommit {
            row: self.next_row(app, &state),
        }
    }

    fn next_row(&self, app: &App, state: &SessionState) -> SessionRow {
        let version = self.version + 1;
        // Every member is a string, a number or a list: nothing that serde_json refuses.
        let plain = Secret::new(serde_json::to_vec(state).unwrap_or_default());
        let place = place(&self.key, version);
        let salt = self.id.reveal().as_bytes();
        let sealed = app.config.keys.seal(
            KeyPurpose::UiaSession,
            salt,
            &place,
            plain.reveal(),
            &*app.rng,
        );
        SessionRow {
            key: self.key.clone(),
            version,
            expires: self.expires,
            finished: state.finished.is_some(),
            sealed,
        }
    }
}

/// Where a sealed state belongs: it opens in no other row and at no other version.
fn place(key: &str, version: i64) -> Vec<u8> {
    format!("{key}/state/{version}").into_bytes()
}
