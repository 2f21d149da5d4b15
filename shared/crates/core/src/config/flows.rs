//! The settings of registration: the flows, and the settings that their stages need.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Registration,
    messages::Media,
    parse::{Raw, is_http_url},
};
use crate::{secrets::Secret, stage_type::StageType};

/// The maximum number of policies: each is an item of the transaction that creates an account, and a DynamoDB
/// transaction has a limited number of items.
const MAX_POLICIES: usize = 16;

/// The stages of a registration, in order.
pub type Flow = Vec<StageType>;

/// The policies of `m.login.terms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    /// The `params` for clients: policy ID to `{version, language: {name, url}}` (UIA-61).
    pub params: Value,
    /// The version of each policy, by policy ID.
    pub versions: BTreeMap<String, String>,
}

/// A captcha provider. All providers have the same protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptchaProvider {
    /// Google reCAPTCHA v2
    Recaptcha,
    /// hCaptcha
    Hcaptcha,
    /// Cloudflare Turnstile
    Turnstile,
}

/// The captcha provider, and the keys of the operator's account at the provider.
#[derive(Debug, Clone)]
pub struct CaptchaConfig {
    /// The provider.
    pub provider: CaptchaProvider,
    /// The public key for the widget.
    pub site_key: String,
    /// The secret key for verification.
    pub secret_key: Secret,
    /// The URL for verification.
    pub verify_url: String,
    /// The URL of the script of the widget.
    pub script_url: String,
}

impl CaptchaProvider {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "recaptcha" => Some(Self::Recaptcha),
            "hcaptcha" => Some(Self::Hcaptcha),
            "turnstile" => Some(Self::Turnstile),
            _ => None,
        }
    }

    fn verify_url(self) -> &'static str {
        match self {
            Self::Recaptcha => "https://www.google.com/recaptcha/api/siteverify",
            Self::Hcaptcha => "https://api.hcaptcha.com/siteverify",
            Self::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/siteverify",
        }
    }

    fn script_url(self) -> &'static str {
        match self {
            Self::Recaptcha => "https://www.google.com/recaptcha/api.js",
            Self::Hcaptcha => "https://js.hcaptcha.com/1/api.js",
            Self::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/api.js",
        }
    }
}

pub(super) fn read_captcha(raw: &mut Raw<'_>) -> Option<CaptchaConfig> {
    const PROVIDER: &str = "GATEHOUSE_CAPTCHA_PROVIDER";
    let dependents =
        ["SITE_KEY", "VERIFY_URL", "SCRIPT_URL"].map(|end| format!("GATEHOUSE_CAPTCHA_{end}"));
    // The secret key is not checked here: it may be in Secrets Manager before the operator chooses a provider.
    let Some(provider) = raw.get(PROVIDER) else {
        for name in dependents
            .iter()
            .filter(|name| raw.get(name).is_some())
            .collect::<Vec<_>>()
        {
            raw.add_error(name, format!("requires {PROVIDER}"));
        }
        return None;
    };
    let [site_key, verify_url, script_url] = &dependents;
    let provider = CaptchaProvider::parse(&provider);
    if provider.is_none() {
        raw.add_error(PROVIDER, "must be `recaptcha`, `hcaptcha` or `turnstile`");
    }
    let mut url = |name: &str, default: Option<&'static str>| {
        let url = raw.get(name).or_else(|| default.map(str::to_owned))?;
        if !is_http_url(&url) {
            raw.add_error(name, "must be an `https://` or `http://` URL");
        }
        Some(url)
    };
    let verify_url = url(verify_url, provider.map(CaptchaProvider::verify_url));
    let script_url = url(script_url, provider.map(CaptchaProvider::script_url));
    let (site_key, secret_key) = (
        raw.provider_key(site_key),
        raw.provider_key("GATEHOUSE_CAPTCHA_SECRET_KEY"),
    );
    Some(CaptchaConfig {
        provider: provider?,
        site_key: site_key?,
        secret_key: Secret::new(secret_key?),
        verify_url: verify_url?,
        script_url: script_url?,
    })
}

pub(super) fn read_policies(raw: &mut Raw<'_>) -> Option<Policies> {
    const NAME: &str = "GATEHOUSE_TERMS";
    let text = raw.get(NAME)?;
    // The long value is given only to the functions that show the policies.
    if text == "none" {
        return Some(Policies {
            params: json!({}),
            versions: BTreeMap::new(),
        });
    }
    let policies = serde_json::from_str(&text).ok().and_then(policies);
    if policies.is_none() {
        raw.add_error(
            NAME,
            "must be a JSON object of 1 to 16 policies, each with a `version` and, for at least one language, \
             a `name` and an http(s) `url`; IDs and versions have 1 to 255 characters of a-z, A-Z, 0-9, `.`, `_`, `~`, `-`",
        );
    }
    policies
}

fn policies(params: Value) -> Option<Policies> {
    let opaque = |text: &str| {
        (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
    };
    let mut versions = BTreeMap::new();
    for (id, policy) in params.as_object()? {
        let policy = policy.as_object()?;
        let version = policy.get("version")?.as_str()?;
        let languages: Vec<_> = policy.iter().filter(|(key, _)| *key != "version").collect();
        let is_valid = languages.iter().all(|(_, text)| {
            text["name"].as_str().is_some_and(|name| !name.is_empty())
                && text["url"].as_str().is_some_and(is_http_url)
        });
        if !opaque(id) || !opaque(version) || languages.is_empty() || !is_valid {
            return None;
        }
        versions.insert(id.clone(), version.to_owned());
    }
    (1..=MAX_POLICIES)
        .contains(&versions.len())
        .then_some(Policies { params, versions })
}

pub(super) fn read_registration(
    raw: &mut Raw<'_>,
    has_captcha: bool,
    has_policies: bool,
    media: Option<Media>,
) -> Option<Registration> {
    const NAME: &str = "GATEHOUSE_REGISTRATION";
    let unverified = raw.flag("GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION");
    match raw.get(NAME).as_deref() {
        Some("open") => {
            let flows = read_flows(raw, has_captcha, has_policies)?;
            let flows = retain_sendable(raw, flows, media?)?;
            check_verified(raw, &flows, unverified?);
            Some(Registration::Open(flows))
        }
        Some("closed") => Some(Registration::Closed),
        _ => {
            raw.add_error(NAME, "must be `open` or `closed`");
            None
        }
    }
}

const FLOWS: &str = "GATEHOUSE_REGISTRATION_FLOWS";

fn read_flows(raw: &mut Raw<'_>, has_captcha: bool, has_policies: bool) -> Option<Vec<Flow>> {
    let text = raw.required(FLOWS)?;
    let mut flows: Vec<Flow> = Vec::new();
    for stages in text.split_whitespace() {
        let mut flow = Flow::new();
        for stage_name in stages.split('+') {
            match StageType::parse(stage_name) {
                // The password stage verifies the password of an existing account, so registration cannot offer it.
                None | Some(StageType::Password) => raw.add_error(
                    FLOWS,
                    format!("this server cannot offer the stage `{stage_name}`"),
                ),
                Some(stage) if flow.contains(&stage) => {
                    raw.add_error(
                        FLOWS,
                        format!("a flow contains the stage `{stage_name}` twice"),
                    );
                }
                Some(stage) => flow.push(stage),
            }
        }
        flows.push(flow);
    }
    let offers = |stage| flows.iter().flatten().any(|own| *own == stage);
    if flows.is_empty() {
        raw.add_error(FLOWS, "must name at least one flow");
    }
    // UIA-31: a stage that cannot be completed must not be offered.
    if offers(StageType::Recaptcha) && !has_captcha {
        raw.add_error(
            FLOWS,
            "`m.login.recaptcha` requires GATEHOUSE_CAPTCHA_PROVIDER and its keys",
        );
    }
    if offers(StageType::Terms) && !has_policies {
        raw.add_error(FLOWS, "`m.login.terms` requires GATEHOUSE_TERMS");
    }
    // UIA-21: registration succeeds at the end of the shorter flow, so a client could never complete the longer
    // one.
    for (index, flow) in flows.iter().enumerate() {
        if flows
            .iter()
            .enumerate()
            .any(|(other, longer)| other != index && longer.starts_with(flow))
        {
            raw.add_error(
                FLOWS,
                "a flow must not begin with all stages of another flow: append `m.login.dummy` to the shorter one",
            );
            break;
        }
    }
    Some(flows)
}

/// Removes the flows that require messages that cannot be sent (UIA-31).
fn retain_sendable(raw: &mut Raw<'_>, mut flows: Vec<Flow>, media: Media) -> Option<Vec<Flow>> {
    let can = |stage: &StageType| match stage {
        StageType::Email => media.mail,
        StageType::Msisdn => media.sms,
        StageType::Dummy
        | StageType::Password
        | StageType::Recaptcha
        | StageType::RegistrationToken
        | StageType::Terms => true,
    };
    flows.retain(|flow| flow.iter().all(can));
    if flows.is_empty() {
        raw.add_error(
            FLOWS,
            "every flow requires messages that cannot be sent: set GATEHOUSE_MAIL_FROM or GATEHOUSE_SMS_COUNTRIES",
        );
        return None;
    }
    Some(flows)
}

fn check_verified(raw: &mut Raw<'_>, flows: &[Flow], allow_unverified: bool) {
    let verified = |flow: &Flow| flow.iter().any(|stage| stage.verifies());
    if !allow_unverified && !flows.iter().all(verified) {
        raw.add_error(
            FLOWS,
            "a flow has no captcha, registration token, e-mail or phone stage, so that a client could create any number of accounts; \
             to allow this, set GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION=true",
        );
    }
}
