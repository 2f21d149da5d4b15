//! The UIA session and its sealed row. Neither the table nor a log that contains the session string is
//! sufficient to read it.
//!
//! The row's key is the SHA-256 of the session string. All other data, including the parameters with
//! their password, is one sealed value. The encryption key is derived from both the session string and
//! the server's secret, and the value can be opened only in the same row at the same version.

use std::time::Duration;

use super::{
    Login, Operation, Replay, SessionScope, SessionState,
    stages::{StageResult, StageType},
};
use crate::{
    app::App,
    clock::Timestamp,
    config::Config,
    secrets::{KeyPurpose, Secret, sha256_base64},
    store::{
        Attempt, CallerFacts, SaveSessionError, SessionCommit, SessionRow, StoreError,
        retry_on_conflict,
    },
};

/// The lifetime of a session from its start. Later requests do not extend it (UIA-32).
const LIFETIME: Duration = Duration::from_hours(48);
/// The maximum number of attempts to save a session while concurrent requests write to it.
const SAVE_TRIES: u32 = 12;

const ID_BYTES: usize = 24;
/// The maximum length of a session string. Longer strings are not looked up, because this server does not
/// generate them.
const MAX_ID_CHARS: usize = 255;

/// An unsealed session with its session string.
#[derive(Debug, Clone)]
pub struct OpenSession {
    id: Secret,
    key: String,
    /// The version of the row as it was read; 0 for a session that is not stored yet.
    version: i64,
    expires: Timestamp,
    /// Whether the session string is derived from the form of a page, so that the same form names the same session.
    is_derived: bool,
    /// The sealed state.
    pub state: SessionState,
}

/// The parameters that stay if a concurrent request has changed the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterSource {
    /// The parameters of this request.
    Request,
    /// The stored parameters. A request of a fallback page has no parameters.
    Stored,
}

/// The key of the row of the session with this string. Returns `None` if this server generates no such
/// string.
pub fn session_key(id: &Secret) -> Option<String> {
    let is_valid = (1..=MAX_ID_CHARS).contains(&id.reveal().len());
    is_valid.then(|| sha256_base64(id.reveal().as_bytes()))
}

impl OpenSession {
    /// A new session, not stored yet. It has shown no policies, because no response has contained it.
    pub fn start(app: &App, scope: SessionScope) -> Self {
        Self::new(app, scope, Secret::new(app.rng.base64::<ID_BYTES>()))
    }

    /// Like [`start`](Self::start), with a session string that is derived from the form of a page. The caller is
    /// responsible for a string that no other person can derive.
    pub fn start_derived(app: &App, scope: SessionScope, id: Secret) -> Self {
        Self {
            is_derived: true,
            ..Self::new(app, scope, id)
        }
    }

    fn new(app: &App, scope: SessionScope, id: Secret) -> Self {
        Self {
            key: sha256_base64(id.reveal().as_bytes()),
            id,
            version: 0,
            expires: app.clock.now().plus(LIFETIME),
            is_derived: false,
            state: SessionState::new(scope),
        }
    }

    /// Opens a stored session. Returns `None` if it has expired, even if DynamoDB has not deleted it yet
    /// (UIA-32), or if its key is no longer in the ring. A completed session opens as long as its
    /// row exists.
    pub fn open(app: &App, id: &Secret, row: SessionRow) -> Option<Self> {
        let plain = app
            .config
            .keys
            .open(
                KeyPurpose::UiaSession,
                id.reveal().as_bytes(),
                &place(&row.key, row.version),
                &row.sealed,
            )
            .ok()?;
        let plain = Secret::new(plain);
        let state: SessionState = serde_json::from_slice(plain.reveal()).ok()?;
        let is_usable = state.is_finished() || app.clock.now() < row.expires;
        is_usable.then(|| Self {
            id: id.clone(),
            key: row.key,
            version: row.version,
            expires: row.expires,
            is_derived: false,
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

    /// The login that started the session, if it is the session of a user.
    pub fn login(&self) -> Option<Login> {
        let scope = &self.state.scope;
        let (user, _) = scope.user.as_ref()?;
        Some(Login {
            user: user.clone(),
            device: scope.device.as_ref().map(|device| device.id.clone()),
        })
    }

    /// Whether the session may be used with this login, whose rows are `facts`.
    pub fn is_valid_for(&self, app: &App, login: Option<&Login>, facts: &CallerFacts) -> bool {
        self.state.is_valid_for(login, facts, app.clock.now())
    }

    /// The session string.
    pub fn id(&self) -> &Secret {
        &self.id
    }

    /// Whether the session is stored already.
    pub fn is_stored(&self) -> bool {
        self.version > 0
    }

    /// Whether a repeated request can name the session, so that its response must be stored.
    pub fn can_be_repeated(&self) -> bool {
        self.is_stored() || self.is_derived
    }

    /// Whether the session is for a registration.
    pub fn is_registration(&self) -> bool {
        self.state.scope.operation == Operation::Register
    }

    /// Records which policy versions the next response shows (UIA-62). Returns whether these versions
    /// differ from the versions in the last response.
    pub fn show_policies(&mut self, config: &Config) -> bool {
        self.state.show_policies(config)
    }

    /// Whether the session's operation has been carried out.
    pub fn is_finished(&self) -> bool {
        self.state.is_finished()
    }

    /// Whether the stage is completed.
    pub fn has_completed(&self, stage: StageType) -> bool {
        self.state.has_completed(stage)
    }

    /// Records the result of a stage.
    pub fn complete(&mut self, stage: StageType, result: StageResult) {
        self.state.complete(stage, result);
    }

    /// The response to a request with this canonical form.
    pub fn replay(&self, request: &str, now: Timestamp) -> Replay {
        self.state.replay(request, now)
    }

    /// Saves the session with a conditional write, which requires the version that was read.
    pub async fn save(&mut self, app: &App) -> Result<(), SaveSessionError> {
        let row = self.next_row(app, &self.state);
        app.store.save_uia_session(&row).await?;
        self.version = row.version;
        Ok(())
    }

    /// Saves the session. If a concurrent request has changed the row, merges both states first.
    /// `reopened` is a stage that is reopened in the merged state too. Returns whether a merge was
    /// necessary.
    pub async fn save_merged(
        &mut self,
        app: &App,
        parameters: ParameterSource,
        reopened: Option<StageType>,
    ) -> Result<bool, SaveSessionError> {
        retry_on_conflict(SAVE_TRIES, self, |session, attempt| async move {
            match session.save(app).await {
                Ok(()) => return Ok(Attempt::Done(attempt > 0)),
                Err(SaveSessionError::Conflict) => {}
                Err(error) => return Err(error),
            }
            app.store.wait(attempt).await;
            session.merge(app, parameters).await?;
            if let Some(stage) = reopened {
                session.state.reopen(stage);
            }
            Ok(Attempt::Retry(session))
        })
        .await
    }

    /// Reads the stored session and adds the changes of this one. Fails with [`SaveSessionError::Conflict`]
    /// if the stored session is completed or no longer exists.
    pub async fn merge(
        &mut self,
        app: &App,
        parameters: ParameterSource,
    ) -> Result<(), SaveSessionError> {
        let stored = Self::find(app, &self.id).await?;
        let stored = stored.filter(|stored| !stored.is_finished());
        let mut merged = stored.ok_or(SaveSessionError::Conflict)?;
        merged.state.merge(&self.state);
        if parameters == ParameterSource::Request {
            merged.state.parameters = self.state.parameters.clone();
        }
        *self = merged;
        Ok(())
    }

    /// The row that completes the session with this response to this request.
    pub fn commit(&self, app: &App, request: &str, answer: &str) -> SessionCommit {
        let state = self.state.finished(app.clock.now(), request, answer);
        SessionCommit {
            row: self.next_row(app, &state),
        }
    }

    fn next_row(&self, app: &App, state: &SessionState) -> SessionRow {
        let version = self.version + 1;
        // Serialisation cannot fail: every member is a string, a number or a list.
        let plain = Secret::new(serde_json::to_vec(state).unwrap_or_default());
        let sealed = app.config.keys.seal(
            KeyPurpose::UiaSession,
            self.id.reveal().as_bytes(),
            &place(&self.key, version),
            plain.reveal(),
            &*app.rng,
        );
        SessionRow {
            key: self.key.clone(),
            version,
            expires: self.expires,
            finished: state.is_finished(),
            sealed,
        }
    }
}

/// The associated data of a sealed state. The state can be opened only in this row and at this version.
fn place(key: &str, version: i64) -> Vec<u8> {
    format!("{key}/state/{version}").into_bytes()
}
