//! The stages. Each is one file with three things: what clients are told (`params`), what counts
//! (`attempt`), and its fallback page's form. To add one: a file, a variant, an arm in each match.

mod dummy;
mod password;
mod recaptcha;
pub mod registration_token;
mod terms;
pub(super) mod threepid;
mod threepid_elsewhere;
pub(super) mod threepid_page;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use registration_token::REFUSED as TOKEN_REFUSED;

use threepid::PendingValidation;
pub use threepid_elsewhere::DelegatedLookup;

use super::{
    AuthResult, SessionScope, StageError, VerifiedPassword, fallback::Form, session::SessionState,
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

/// What a completed stage proved, as the session remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageResult {
    /// That somebody is there.
    Presence,
    /// That somebody knows the password of an account.
    Password(VerifiedPassword),
    /// That somebody knows the registration token with this hash.
    RegistrationToken {
        /// The keyed hash.
        hash: String,
    },
    /// That somebody receives what is sent to an address.
    ThreePid(ValidatedThreePid),
    /// That somebody accepted these versions of the policies.
    Terms(BTreeMap<String, String>),
}

/// What a stage reads beside the first read of its request.
#[derive(Debug, Default)]
pub enum Prefetched {
    /// Nothing.
    #[default]
    Nothing,
    /// The stored hash of the user whose token it is, if there is one.
    Password(Option<PasswordHash>),
    /// The validation session that was named, if it is the client's.
    UiaCompletion(Option<Box<ValidationRow>>),
    /// The session at an identity server that was named, or why that is not asked.
    DelegatedSession(Result<Box<DelegatedLookup>, StageError>),
    /// The registration token that was given, or that there is none.
    RegistrationToken(Option<RegistrationTokenRow>),
}

/// What a stage judges by.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageContext<'a> {
    pub(super) app: &'a App,
    /// The members of `auth`.
    pub(super) members: &'a Body,
    /// The policy versions that the session has shown.
    pub(super) shown: &'a BTreeMap<String, String>,
    pub(super) network: ClientNetwork,
    /// What the session is for.
    pub(super) binding: &'a SessionScope,
    /// The validation session that it waits for in this stage.
    pub(super) awaited: Option<&'a PendingValidation>,
}

/// A stage's judgement.
#[derive(Debug)]
pub(super) enum StageOutcome {
    Passed {
        evidence: StageResult,
        refund: Option<(Limit, String)>,
    },
    Refused(StageError),
    /// Refused until a validation session is validated, which is to be remembered.
    Waiting {
        sid: String,
        elsewhere: Option<DelegatedSession>,
        why: StageError,
    },
}

impl StageOutcome {
    fn passed(evidence: StageResult) -> Self {
        Self::Passed {
            evidence,
            refund: None,
        }
    }
}

/// What clients need to know beforehand (UIA-03).
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

pub(super) async fn prepare(
    stage: StageType,
    app: &App,
    members: &Body,
    network: ClientNetwork,
) -> Result<Prefetched, MatrixError> {
    match stage {
        StageType::RegistrationToken => registration_token::prepare(app, members, network).await,
        StageType::Email | StageType::Msisdn => threepid::prepare(app, members).await,
        StageType::Dummy | StageType::Password | StageType::Recaptcha | StageType::Terms => {
            Ok(Prefetched::Nothing)
        }
    }
}

pub(super) async fn attempt(
    stage: StageType,
    context: StageContext<'_>,
    prepared: &Prefetched,
) -> Result<StageOutcome, Rejection> {
    match stage {
        StageType::Dummy => Ok(dummy::attempt()),
        StageType::Email | StageType::Msisdn => {
            Box::pin(threepid::attempt(context, stage, prepared)).await
        }
        StageType::Password => password::attempt(context, prepared).await,
        StageType::Recaptcha => recaptcha::attempt(context).await,
        StageType::RegistrationToken => Ok(registration_token::attempt(context, prepared)),
        StageType::Terms => Ok(terms::attempt(context)),
    }
}

/// Its fallback page's form.
pub(super) fn form(stage_type: StageType, config: &Config, state: &SessionState) -> Form {
    match stage_type {
        StageType::Dummy => dummy::form(),
        StageType::Email | StageType::Msisdn => threepid_page::form(stage_type, config, state),
        StageType::Password => password::form(state),
        StageType::Recaptcha => recaptcha::form(config),
        StageType::RegistrationToken => registration_token::form(),
        StageType::Terms => terms::form(config, &state.shown),
    }
}

/// What that form says, in the words of an `auth` member.
pub(super) fn members_of_form(
    stage_type: StageType,
    form: &Query,
    state: &SessionState,
) -> Vec<(&'static str, String)> {
    match stage_type {
        StageType::Dummy | StageType::Email | StageType::Msisdn | StageType::Terms => Vec::new(),
        StageType::Password => password::members_of_form(form, state),
        StageType::Recaptcha => recaptcha::members_of_form(form),
        StageType::RegistrationToken => registration_token::members_of_form(form),
    }
}

impl StageResult {
    /// Adds what it is worth now to `gains`, or says why it is worth nothing any more.
    pub(super) async fn redeem(
        &self,
        app: &App,
        prepared: &Prefetched,
        gains: &mut AuthResult,
    ) -> Result<Result<(), StageError>, MatrixError> {
        match self {
            Self::Presence => {}
            Self::Password(known) => gains.password = Some(known.clone()),
            Self::ThreePid(proven) => gains.threepids.push(proven.clone()),
            Self::Terms(versions) => gains.terms.clone_from(versions),
            Self::RegistrationToken { hash } => {
                match registration_token::redeem(app, hash, prepared).await? {
                    Ok(token_use) => gains.registration_token = token_use,
                    Err(why) => return Ok(Err(why)),
                }
            }
        }
        Ok(Ok(()))
    }
}
