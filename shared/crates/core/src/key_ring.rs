//! The key ring in Secrets Manager. This is the only file that uses the SDK of Secrets Manager.
//!
//! `GATEHOUSE_SECRET_ARN` names a secret with a JSON object; its members are the settings with secret values.
//! The secret is read once, when a process starts. Its members then replace those settings, so that the code that
//! reads settings does not depend on their source. No part of the secret is logged.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use crate::{aws::AwsCallError, rng::Rng, secrets::Secret};

/// The setting with the ARN of the secret.
pub const ARN: &str = "GATEHOUSE_SECRET_ARN";
/// The value of [`ARN`] for a function that uses no key.
const NONE: &str = "none";
/// The setting with the root secret of the keys.
const ROOT: &str = "GATEHOUSE_SECRET";
const CAPTCHA_KEY: &str = "GATEHOUSE_CAPTCHA_SECRET_KEY";
const HOMESERVER_SECRET: &str = "GATEHOUSE_HOMESERVER_SECRET";

/// The members of the secret and their settings.
pub const MEMBERS: [(&str, &str); 9] = [
    ("current", ROOT),
    ("next", "GATEHOUSE_SECRET_NEXT"),
    ("previous", "GATEHOUSE_SECRET_PREVIOUS"),
    ("pepper", "GATEHOUSE_PASSWORD_PEPPER"),
    ("pepper_previous", "GATEHOUSE_PASSWORD_PEPPER_PREVIOUS"),
    ("imported_pepper", "GATEHOUSE_IMPORTED_PEPPER"),
    ("captcha_secret_key", CAPTCHA_KEY),
    ("signing_key", "GATEHOUSE_SIGNING_KEY"),
    ("homeserver_secret", HOMESERVER_SECRET),
];

/// The settings from the secret.
#[derive(Debug, Clone, Default)]
pub struct KeySettings(BTreeMap<&'static str, Secret>);

/// The reason why the secret could not be read. It names the setting and contains no secret value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GATEHOUSE_SECRET_ARN: {0}")]
pub struct KeyRingError(String);

impl KeySettings {
    /// Reads the secret with the ARN in [`ARN`]. Returns no settings if [`ARN`] is unset.
    pub async fn fetch(
        aws: &SdkConfig,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyRingError> {
        match given(&lookup, ARN) {
            Some(id) => Self::parse(&get(aws, &id).await?)?.beside(lookup),
            None => Ok(Self::default()),
        }
    }

    /// Like [`fetch`](Self::fetch), for a function. A function that uses no key has `none` in [`ARN`] and gets
    /// random keys.
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

    /// Fails if a setting of the secret is also set directly, because it would be unclear which of the two
    /// applies.
    fn beside(self, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, KeyRingError> {
        let twice = self.0.keys().find(|name| given(&lookup, name).is_some());
        match twice {
            Some(name) => {
                let reason = format!("the secret also contains {name}; remove one of the two");
                Err(KeyRingError(reason))
            }
            None => Ok(self),
        }
    }

    /// A lookup that finds these settings first and hides [`ARN`].
    pub fn over(&self, lookup: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let own = self.0.get(name).map(|value| value.reveal().clone());
            own.or_else(|| lookup(name).filter(|_| name != ARN))
        }
    }

    /// Random keys for a function that uses no key: no other process could verify the values that it makes.
    fn random(rng: &dyn Rng) -> Self {
        let random_member = |name| {
            let bytes = BASE64_STANDARD.encode(rng.bytes::<32>());
            (name, Secret::new(bytes))
        };
        // The captcha key is required if a captcha provider is configured, and so is the secret of a homeserver.
        Self(BTreeMap::from(
            [ROOT, CAPTCHA_KEY, HOMESERVER_SECRET].map(random_member),
        ))
    }

    fn parse(text: &Secret) -> Result<Self, KeyRingError> {
        let error = |reason: &str| KeyRingError(format!("the secret {reason}"));
        let members: Map<String, Value> =
            serde_json::from_str(text.reveal()).map_err(|_| error("is not a JSON object"))?;
        let mut settings = BTreeMap::new();
        for (member, value) in members {
            let known = MEMBERS.iter().find(|(name, _)| *name == member);
            let (_, setting) = known.ok_or_else(|| error("has an unknown member"))?;
            let Value::String(value) = value else {
                return Err(error(&format!("has a `{member}` that is not a string")));
            };
            if !value.is_empty() {
                settings.insert(*setting, Secret::new(value));
            }
        }
        if settings.contains_key(ROOT) {
            Ok(Self(settings))
        } else {
            Err(error("has no `current`"))
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
            AwsCallError::Refused(code) => {
                let advice = refusal_advice(&code);
                format!("Secrets Manager rejected the request: {code}{advice}")
            }
            AwsCallError::Unreached | AwsCallError::Unsure => {
                "Secrets Manager does not respond".to_owned()
            }
        })
    })?;
    let text = answer.secret_string;
    text.map(Secret::new)
        .ok_or_else(|| KeyRingError("the secret is not a string".to_owned()))
}

/// The cause that an error code has most often.
fn refusal_advice(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => "; the permission `secretsmanager:GetSecretValue` is missing",
        "ResourceNotFoundException" => "; there is no such secret in this region",
        // A response without an error code.
        "unknown" => "; another server may answer at the endpoint, see AWS_ENDPOINT_URL",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    fn parse(text: &str) -> Result<KeySettings, String> {
        KeySettings::parse(&Secret::new(text.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_settings_and_empty_members_are_unset() {
        let text = r#"{ "current": "new", "previous": "old", "pepper": "" }"#;
        let lookup = |name: &str| match name {
            ARN => Some("arn".to_owned()),
            "GATEHOUSE_TABLES" => Some("gatehouse".to_owned()),
            _ => None,
        };
        let settings = parse(text).unwrap();
        let found = settings.over(lookup);
        assert_eq!(found(ROOT).as_deref(), Some("new"));
        assert_eq!(found("GATEHOUSE_SECRET_PREVIOUS").as_deref(), Some("old"));
        assert_eq!(found("GATEHOUSE_PASSWORD_PEPPER"), None);
        assert_eq!(found("GATEHOUSE_TABLES").as_deref(), Some("gatehouse"));
        assert_eq!(found(ARN), None);
    }

    #[test]
    fn the_error_contains_the_reason_but_not_the_secret() {
        for (text, reason) in [
            ("s3cret", "is not a JSON object"),
            (r#""s3cret""#, "is not a JSON object"),
            (
                r#"{ "s3cret": "x", "current": "y" }"#,
                "has an unknown member",
            ),
            (r#"{ "previous": "s3cret" }"#, "has no `current`"),
            (r#"{ "current": "", "next": "s3cret" }"#, "has no `current`"),
            (
                r#"{ "current": ["s3cret"] }"#,
                "has a `current` that is not a string",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, format!("{ARN}: the secret {reason}"));
        }
        assert!(!format!("{:?}", parse(r#"{ "current": "s3cret" }"#)).contains("s3cret"));
    }

    #[test]
    fn random_keys_differ_each_time() {
        let root = || KeySettings::random(&SystemRng).over(|_| None)(ROOT);
        assert!(root().is_some_and(|root| root.len() > 32));
        assert_ne!(root(), root());
    }
}
