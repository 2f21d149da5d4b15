//! The stages. Each file contains the parameters for clients (`params`), the check (`attempt`), and the
//! form of the fallback page (`form`). A new stage needs a file, a variant of [`StageType`], and an arm in
//! each match.

mod dummy;
mod password;
mod recaptcha;
pub mod registration_token;
mod terms;
pub(super) mod threepid;
mod threepid_delegated;
pub(super) mod threepid_page;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use registration_token::REFUSED as TOKEN_REFUSED;

use threepid::PendingValidation;
pub use threepid_delegated::DelegatedLookup;

use super::{
    AuthResult, SessionScope, SessionState, StageError, VerifiedPassword, stage_page::Form,
};
pub use crate::stage_type::StageType;
use crate::{
    app::App,
    config::Config,
    error::{MatrixError, Rejection},
    http::{Body, ClientNetwork, Query},
    limits::Limit,
    passwords::PasswordHash,
    store::{RegistrationTokenRow, ValidationRow},
    threepid_validation::{DelegatedSession, ValidatedThreePid},
};

/// The result of a completed stage, as the session stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageResult {
    /// The completion alone, without a further result.
    Presence,
    /// The password of an account.
    Password(VerifiedPassword),
    /// A registration token.
    RegistrationToken {
        /// Its keyed hash.
        hash: String,
    },
    /// A validated 3PID.
    ThreePid(ValidatedThreePid),
    /// The accepted version of each policy.
    Terms(BTreeMap<String, String>),
}

/// The rows that a stage reads concurrently with the first read of its request.
#[derive(Debug, Default)]
pub enum Prefetched {
    /// The stage has read no rows.
    #[default]
    Nothing,
    /// The stored password hash of the token's user, if there is one.
    Password(Option<PasswordHash>),
    /// The validation session that the client named, if it exists and the client secret is correct.
    Validation(Option<Box<ValidationRow>>),
    /// The session at an identity server that the client named, or the reason why that server is not called.
    DelegatedSession(Result<Box<DelegatedLookup>, StageError>),
    /// The registration token that the client gave, if it exists.
    RegistrationToken(Option<RegistrationTokenRow>),
}

/// The input of a stage's check.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageContext<'a> {
    pub(super) app: &'a App,
    /// The members of `auth`.
    pub(super) members: &'a Body,
    /// The policy versions that the session has shown.
    pub(super) shown_policies: &'a BTreeMap<String, String>,
    pub(super) network: ClientNetwork,
    /// The scope of the session.
    pub(super) scope: &'a SessionScope,
    /// The validation session that this stage waits for.
    pub(super) pending: Option<&'a PendingValidation>,
}

/// The outcome of a stage's check.
#[derive(Debug)]
pub(super) enum StageOutcome {
    Passed {
        result: StageResult,
        /// The charge to refund, because the password or token was correct.
        refund: Option<(Limit, String)>,
    },
    Refused(StageError),
    /// The stage is not accepted until a validation session is validated. The UIA session stores the `sid` of the
    /// validation session.
    Waiting {
        sid: String,
        delegated: Option<DelegatedSession>,
        error: StageError,
    },
}

impl StageOutcome {
    fn passed(result: StageResult) -> Self {
        Self::Passed {
            result,
            refund: None,
        }
    }
}

/// The parameters that clients need before they attempt the stage (UIA-03).
pub(super) fn params(stage: StageType, config: &Config) -> Option<Value> {
    match stage {
        StageType::Dummy
        | StageType::Email
        | StageType::Msisdn
        | StageType::Password
        | StageType::RegistrationToken => None,
        StageType::Recaptcha => recaptcha::params(config),
        StageType::Terms => terms::params(config),
    }
}

/// Reads the rows that the stage needs and charges its rate limit, concurrently with the read of the session.
pub(super) async fn prefetch(
    stage: StageType,
    app: &App,
    members: &Body,
    network: ClientNetwork,
) -> Result<Prefetched, MatrixError> {
    match stage {
        StageType::RegistrationToken => registration_token::prefetch(app, members, network).await,
        StageType::Email | StageType::Msisdn => threepid::prefetch(app, members).await,
        StageType::Dummy | StageType::Password | StageType::Recaptcha | StageType::Terms => {
            Ok(Prefetched::Nothing)
        }
    }
}

/// Checks the members of `auth` that the client has sent for the stage.
pub(super) async fn attempt(
    stage: StageType,
    context: StageContext<'_>,
    prefetched: &Prefetched,
) -> Result<StageOutcome, Rejection> {
    match stage {
        StageType::Dummy => Ok(dummy::attempt()),
        StageType::Email | StageType::Msisdn => {
            Box::pin(threepid::attempt(context, stage, prefetched)).await
        }
        StageType::Password => password::attempt(context, prefetched).await,
        StageType::Recaptcha => recaptcha::attempt(context).await,
        StageType::RegistrationToken => Ok(registration_token::attempt(context, prefetched)),
        StageType::Terms => Ok(terms::attempt(context)),
    }
}

/// The form of the stage's fallback page.
pub(super) fn form(stage_type: StageType, config: &Config, session: &SessionState) -> Form {
    match stage_type {
        StageType::Dummy => dummy::form(),
        StageType::Email | StageType::Msisdn => threepid_page::form(stage_type, config, session),
        StageType::Password => password::form(session),
        StageType::Recaptcha => recaptcha::form(config),
        StageType::RegistrationToken => registration_token::form(),
        StageType::Terms => terms::form(config, &session.shown_policies),
    }
}

/// The members of `auth` that correspond to the submitted form.
pub(super) fn members_of_form(
    stage_type: StageType,
    form: &Query,
    session: &SessionState,
) -> Vec<(&'static str, String)> {
    match stage_type {
        StageType::Dummy | StageType::Email | StageType::Msisdn | StageType::Terms => Vec::new(),
        StageType::Password => password::members_of_form(form, session),
        StageType::Recaptcha => recaptcha::members_of_form(form),
        StageType::RegistrationToken => registration_token::members_of_form(form),
    }
}

impl StageResult {
    /// Adds this result to the results of the flow, or returns the reason why it is no longer valid.
    pub(super) async fn resolve(
        &self,
        app: &App,
        prefetched: &Prefetched,
        results: &mut AuthResult,
    ) -> Result<Result<(), StageError>, MatrixError> {
        match self {
            Self::Presence => {}
            Self::Password(verified) => results.password = Some(verified.clone()),
            Self::ThreePid(validated) => results.threepids.push(validated.clone()),
            Self::Terms(versions) => results.terms.clone_from(versions),
            Self::RegistrationToken { hash } => {
                match registration_token::resolve(app, hash, prefetched).await? {
                    Ok(token_use) => results.registration_token = token_use,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        Ok(Ok(()))
    }
}
