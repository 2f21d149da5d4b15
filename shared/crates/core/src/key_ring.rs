//! The key ring in Secrets Manager: the only file that knows its SDK.
//!
//! `GATEHOUSE_SECRET_ARN` names a secret whose text is a JSON object; its members are the settings that
//! are secrets. It is read once, when a process starts, and stands in the place of those settings from
//! there on: who reads settings need not know where they come from. Nothing of it is logged.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use crate::{aws::AwsCallError, rng::Rng, secrets::Secret};

/// The setting that names the secret.
pub const ARN: &str = "GATEHOUSE_SECRET_ARN";
/// Its value for a function that uses no key.
const NONE: &str = "none";
/// What the root of the keys is called among the settings.
const ROOT: &str = "GATEHOUSE_SECRET";
const CAPTCHA_KEY: &str = "GATEHOUSE_CAPTCHA_SECRET_KEY";

/// The secret's members, and which settings they are.
pub const MEMBERS: [(&str, &str); 8] = [
    ("current", ROOT),
    ("next", "GATEHOUSE_SECRET_NEXT"),
    ("previous", "GATEHOUSE_SECRET_PREVIOUS"),
    ("pepper", "GATEHOUSE_PASSWORD_PEPPER"),
    ("pepper_previous", "GATEHOUSE_PASSWORD_PEPPER_PREVIOUS"),
    ("imported_pepper", "GATEHOUSE_IMPORTED_PEPPER"),
    ("captcha_secret_key", CAPTCHA_KEY),
    ("signing_key", "GATEHOUSE_SIGNING_KEY"),
];

/// The settings that came from the secret.
#[derive(Debug, Clone, Default)]
pub struct KeySettings(BTreeMap<&'static str, Secret>);

/// Why there are none: it names the setting, and nothing that is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GATEHOUSE_SECRET_ARN: {0}")]
pub struct KeyRingError(String);

impl KeySettings {
    /// Reads the secret that `lookup` names, if it names one.
    pub async fn fetch(
        aws: &SdkConfig,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyRingError> {
        match given(&lookup, ARN) {
            Some(id) => Self::parse(&get(aws, &id).await?)?.beside(lookup),
            None => Ok(Self::default()),
        }
    }

    /// The same for a function, which may be one that uses no key.
    pub async fn fetch_if_used(
        aws: &SdkConfig,
        lookup: impl Fn(&str) -> Option<String>,
        rng: &dyn Rng,
    ) -> Result<Self, KeyRingError> {
        if given(&lookup, ARN).as_deref() == Some(NONE) {
            return Self::random(rng).beside(lookup);
        }
        Self::fetch(aws, lookup).await
    }

    /// These settings, unless one of them is given beside them: nobody could tell which of both holds.
    fn beside(self, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, KeyRingError> {
        let twice = self.0.keys().find(|name| given(&lookup, name).is_some());
        match twice {
            Some(name) => {
                let why = format!("the secret and {name} are the same setting");
                Err(KeyRingError(why))
            }
            None => Ok(self),
        }
    }

    /// `lookup`, with these settings in the place of the name of the secret.
    pub fn over(&self, lookup: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let own = self.0.get(name).map(|value| value.reveal().clone());
            own.or_else(|| lookup(name).filter(|_| name != ARN))
        }
    }

    /// For a function that uses no key: what it made with these nobody else would recognise.
    fn random(rng: &dyn Rng) -> Self {
        let random_member = |name| {
            let bytes = BASE64_STANDARD.encode(rng.bytes::<32>());
            (name, Secret::new(bytes))
        };
        // The latter is demanded where a captcha is set up.
        Self(BTreeMap::from([ROOT, CAPTCHA_KEY].map(random_member)))
    }

    fn parse(text: &Secret) -> Result<Self, KeyRingError> {
        let fault = |why: &str| KeyRingError(format!("the secret {why}"));
        let members: Map<String, Value> =
            serde_json::from_str(text.reveal()).map_err(|_| fault("is no JSON object"))?;
        let mut settings = BTreeMap::new();
        for (member, value) in members {
            let known = MEMBERS.iter().find(|(name, _)| *name == member);
            let (_, setting) = known.ok_or_else(|| fault("has a member that is not known"))?;
            let Value::String(value) = value else {
                return Err(fault(&format!("has a `{member}` that is no text")));
            };
            if !value.is_empty() {
                settings.insert(*setting, Secret::new(value));
            }
        }
        if settings.contains_key(ROOT) {
            Ok(Self(settings))
        } else {
            Err(fault("has no `current`"))
        }
    }
}

fn given(lookup: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).filter(|value| !value.is_empty())
}

async fn get(aws: &SdkConfig, id: &str) -> Result<Secret, KeyRingError> {
    let call = Client::new(aws).get_secret_value().secret_id(id).send();
    let answer = call.await.map_err(|error| {
        KeyRingError(match AwsCallError::from(&error) {
            AwsCallError::Refused(code) => format!("Secrets Manager refuses it: {code}"),
            AwsCallError::Unreached | AwsCallError::Unsure => {
                "Secrets Manager does not answer".to_owned()
            }
        })
    })?;
    let text = answer.secret_string;
    text.map(Secret::new)
        .ok_or_else(|| KeyRingError("the secret is no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    fn parse(text: &str) -> Result<KeySettings, String> {
        KeySettings::parse(&Secret::new(text.to_owned())).map_err(|fault| fault.to_string())
    }

    #[test]
    fn members_are_settings_and_an_empty_one_is_none() {
        let text = r#"{ "current": "new", "previous": "old", "pepper": "" }"#;
        let lookup = |name: &str| match name {
            ARN => Some("arn".to_owned()),
            "GATEHOUSE_TABLES" => Some("house".to_owned()),
            _ => None,
        };
        let settings = parse(text).unwrap();
        let found = settings.over(lookup);
        assert_eq!(found(ROOT).as_deref(), Some("new"));
        assert_eq!(found("GATEHOUSE_SECRET_PREVIOUS").as_deref(), Some("old"));
        assert_eq!(found("GATEHOUSE_PASSWORD_PEPPER"), None);
        assert_eq!(found("GATEHOUSE_TABLES").as_deref(), Some("house"));
        assert_eq!(found(ARN), None);
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_and_the_secret_is_not() {
        for (text, why) in [
            ("canary", "is no JSON object"),
            (r#""canary""#, "is no JSON object"),
            (
                r#"{ "canary": "x", "current": "y" }"#,
                "has a member that is not known",
            ),
            (r#"{ "previous": "canary" }"#, "has no `current`"),
            (r#"{ "current": "", "next": "canary" }"#, "has no `current`"),
            (
                r#"{ "current": ["canary"] }"#,
                "has a `current` that is no text",
            ),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault, format!("{ARN}: the secret {why}"));
        }
        assert!(!format!("{:?}", parse(r#"{ "current": "canary" }"#)).contains("canary"));
    }

    #[test]
    fn a_ring_of_nobodys_is_another_each_time() {
        let root = || KeySettings::random(&SystemRng).over(|_| None)(ROOT);
        assert!(root().is_some_and(|root| root.len() > 32));
        assert_ne!(root(), root());
    }
}
