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
use crate::{
    app::App,
    config::Config,
    error::{MatrixError, Rejection},
    http::{Body, ClientNetwork, Query},
    limits::Limit,
    passwords::PasswordHash,
    store::{RegistrationTokenRow, ValidationRow},
    threepids::{
        Medium,
        proofs::{DelegatedSession, ValidatedThreePid},
    },
};

/// A stage that this server can offer. The removed ones of r0, `m.login.token` and
/// `m.login.oauth2`, are none (UIA-30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StageType {
    /// `m.login.dummy`
    #[serde(rename = "m.login.dummy")]
    Dummy,
    /// `m.login.email.identity`
    #[serde(rename = "m.login.email.identity")]
    Email,
    /// `m.login.msisdn`
    #[serde(rename = "m.login.msisdn")]
    Msisdn,
    /// `m.login.password`
    #[serde(rename = "m.login.password")]
    Password,
    /// `m.login.recaptcha`
    #[serde(rename = "m.login.recaptcha")]
    Recaptcha,
    /// `m.login.registration_token`
    #[serde(rename = "m.login.registration_token")]
    RegistrationToken,
    /// `m.login.terms`
    #[serde(rename = "m.login.terms")]
    Terms,
}

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

impl StageType {
    const ALL: [Self; 7] = [
        Self::Dummy,
        Self::Email,
        Self::Msisdn,
        Self::Password,
        Self::Recaptcha,
        Self::RegistrationToken,
        Self::Terms,
    ];

    /// The stage of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// The stage that proves an address of this medium.
    pub const fn of_medium(medium: Medium) -> Self {
        match medium {
            Medium::Email => Self::Email,
            Medium::Msisdn => Self::Msisdn,
        }
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::Email => "m.login.email.identity",
            Self::Msisdn => "m.login.msisdn",
            Self::Password => "m.login.password",
            Self::Recaptcha => "m.login.recaptcha",
            Self::RegistrationToken => "m.login.registration_token",
            Self::Terms => "m.login.terms",
        }
    }

    /// Whether it keeps machines from making accounts in any number.
    pub const fn verifies(self) -> bool {
        match self {
            Self::Email | Self::Msisdn | Self::Recaptcha | Self::RegistrationToken => true,
            Self::Dummy | Self::Password | Self::Terms => false,
        }
    }

    /// Whether clients ask again and again until it is done.
    pub const fn waits(self) -> bool {
        threepid::medium(self).is_some()
    }

    /// Whether what completes it can be used only once, by the rules of somebody else.
    pub(super) const fn is_single_use(self) -> bool {
        match self {
            Self::Recaptcha => true,
            Self::Dummy
            | Self::Email
            | Self::Msisdn
            | Self::Password
            | Self::RegistrationToken
            | Self::Terms => false,
        }
    }

    /// Whether a twin of a request can be the reason why its own attempt is refused.
    pub(super) const fn is_spent_by_a_twin(self) -> bool {
        match self {
            Self::Email | Self::Msisdn | Self::Recaptcha | Self::RegistrationToken => true,
            Self::Dummy | Self::Password | Self::Terms => false,
        }
    }

    /// What clients need to know beforehand (UIA-03).
    pub(super) fn params(self, config: &Config) -> Option<Value> {
        match self {
            Self::Dummy | Self::Email | Self::Msisdn | Self::Password | Self::RegistrationToken => {
                None
            }
            Self::Recaptcha => recaptcha::params(config),
            Self::Terms => terms::params(config),
        }
    }

    pub(super) async fn prepare(
        self,
        app: &App,
        members: &Body,
        network: ClientNetwork,
    ) -> Result<Prefetched, MatrixError> {
        match self {
            Self::RegistrationToken => registration_token::prepare(app, members, network).await,
            Self::Email | Self::Msisdn => threepid::prepare(app, members).await,
            Self::Dummy | Self::Password | Self::Recaptcha | Self::Terms => Ok(Prefetched::Nothing),
        }
    }

    pub(super) async fn attempt(
        self,
        context: StageContext<'_>,
        prepared: &Prefetched,
    ) -> Result<StageOutcome, Rejection> {
        match self {
            Self::Dummy => Ok(dummy::attempt()),
            Self::Email | Self::Msisdn => {
                Box::pin(threepid::attempt(context, self, prepared)).await
            }
            Self::Password => password::attempt(context, prepared).await,
            Self::Recaptcha => recaptcha::attempt(context).await,
            Self::RegistrationToken => Ok(registration_token::attempt(context, prepared)),
            Self::Terms => Ok(terms::attempt(context)),
        }
    }

    /// Its fallback page's form.
    pub(super) fn form(self, config: &Config, state: &SessionState) -> Form {
        match self {
            Self::Dummy => dummy::form(),
            Self::Email | Self::Msisdn => threepid_page::form(self, config, state),
            Self::Password => password::form(state),
            Self::Recaptcha => recaptcha::form(config),
            Self::RegistrationToken => registration_token::form(),
            Self::Terms => terms::form(config, &state.shown),
        }
    }

    /// What that form says, in the words of an `auth` member.
    pub(super) fn members_of_form(
        self,
        form: &Query,
        state: &SessionState,
    ) -> Vec<(&'static str, String)> {
        match self {
            Self::Dummy | Self::Email | Self::Msisdn | Self::Terms => Vec::new(),
            Self::Password => password::members_of_form(form, state),
            Self::Recaptcha => recaptcha::members_of_form(form),
            Self::RegistrationToken => registration_token::members_of_form(form),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_known_by_its_name() {
        // A new variant does not compile here until it is counted, and fails until it is listed.
        let count = |stage: StageType| match stage {
            StageType::Dummy
            | StageType::Email
            | StageType::Msisdn
            | StageType::Password
            | StageType::Recaptcha
            | StageType::RegistrationToken
            | StageType::Terms => 7,
        };
        assert_eq!(StageType::ALL.len(), count(StageType::Dummy));
        for stage in StageType::ALL {
            assert_eq!(StageType::parse(stage.as_str()), Some(stage));
        }
    }

    #[test]
    fn uia_30_the_removed_stages_of_r0_are_none() {
        for name in ["m.login.token", "m.login.oauth2", ""] {
            assert_eq!(StageType::parse(name), None, "{name}");
        }
    }
}
