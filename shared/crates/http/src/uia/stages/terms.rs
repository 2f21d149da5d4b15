//! `m.login.terms`: the user accepts the policies that the session has shown (UIA-61, UIA-62).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{StageContext, StageOutcome, StageResult};
use crate::{
    config::Config,
    error::ErrorCode,
    uia::{
        StageError,
        stage_page::{Form, Link},
    },
};

pub(super) fn params(config: &Config) -> Option<Value> {
    config
        .policies
        .as_ref()
        .map(|policies| json!({ "policies": policies.params }))
}

const NOTHING_SHOWN: StageError = StageError {
    code: ErrorCode::Unauthorized,
    message: "The policies have not been shown yet. Please read them first",
};

/// The request does not contain policy versions. The user accepts the versions that the last response
/// showed, even if the operator has published others since. A session that no response has shown yet has shown no
/// policies, so a request without a session cannot accept any.
pub(super) fn attempt(context: StageContext<'_>) -> StageOutcome {
    if context.shown_policies.is_empty() {
        return StageOutcome::Refused(NOTHING_SHOWN);
    }
    StageOutcome::passed(StageResult::Terms(context.shown_policies.clone()))
}

/// One link for each policy in each language.
pub(super) fn form(config: &Config, shown: &BTreeMap<String, String>) -> Form {
    let policies = config
        .policies
        .as_ref()
        .and_then(|policies| policies.params.as_object());
    let links = policies
        .into_iter()
        .flatten()
        .filter(|(id, _)| shown.contains_key(*id))
        .filter_map(|(_, policy)| policy.as_object())
        .flatten()
        .filter_map(|(language, text)| {
            Some(Link {
                language: language.clone(),
                name: text.get("name")?.as_str()?.to_owned(),
                url: text.get("url")?.as_str()?.to_owned(),
            })
        })
        .collect();
    Form {
        text: "Please read and accept:".into(),
        links,
        button: "Accept",
        ..Form::default()
    }
}
