//! Checks the values of the settings that the template passes to the functions, and the block that generates the key
//! ring.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_yaml_ng::Value;
use shared::config::Config;

use super::{mapping, text, yaml};
use crate::contract::files;

/// CloudFormation generates a new secret when this block changes. That loses the pepper, without which no password can
/// be verified. The block must therefore stay as it is in every release.
#[test]
fn the_key_ring_is_never_generated_again() {
    let pinned = "
Type: AWS::SecretsManager::Secret
DeletionPolicy: RetainExceptOnCreate
UpdateReplacePolicy: Retain
Properties:
  Description: !Sub The keys of ${AWS::StackName}; every key is derived from `current`
  GenerateSecretString:
    SecretStringTemplate: '{}'
    GenerateStringKey: current
    PasswordLength: 64
    ExcludePunctuation: true
";
    let pinned: Value = serde_yaml_ng::from_str(pinned).expect("YAML");
    assert_eq!(yaml()["Resources"]["KeyRing"], pinned);
}

/// The examples of values that operators enter, by setting.
const EXAMPLES: [(&str, &[&str]); 16] = [
    (
        "GATEHOUSE_MAIL_FROM",
        &[
            "accounts@example.org",
            "Example <accounts@example.org>",
            "\"Example, Inc.\" <accounts@example.org>",
            "\"Accounts @ Example\" <accounts@example.org>",
            "Büro <accounts@example.org>",
            "accounts@mail.example.org",
        ],
    ),
    (
        "GATEHOUSE_SMS_COUNTRIES",
        &["DE", "DE AT CH", "de at", " DE  AT "],
    ),
    ("GATEHOUSE_SMS_MAX_PRICE", &["0.10", "1", "0.0725"]),
    ("GATEHOUSE_SMS_SENDER_ID", &["Example", "Example1"]),
    (
        "GATEHOUSE_PUBLIC_URL",
        &["https://matrix.example.org", "https://example.org/accounts"],
    ),
    (
        "GATEHOUSE_REGISTRATION_FLOWS",
        &[
            "m.login.registration_token+m.login.dummy",
            "m.login.email.identity m.login.msisdn+m.login.dummy",
        ],
    ),
    (
        "GATEHOUSE_TERMS",
        &[r#"{"privacy":{"version":"1","en":{"name":"Privacy","url":"https://example.org/"}}}"#],
    ),
    (
        "GATEHOUSE_TRUSTED_PROXIES",
        &["192.0.2.1", "192.0.2.0/24 2001:db8::/32"],
    ),
    (
        "GATEHOUSE_TRUSTED_ID_SERVERS",
        &["id.example.org", "id.example.org=https://id.internal:8090"],
    ),
    (
        "GATEHOUSE_NEXT_LINK_HOSTS",
        &["example.org", "app.example.org example.org"],
    ),
    (
        "GATEHOUSE_WELL_KNOWN_HOMESERVER",
        &["https://matrix.example.org"],
    ),
    ("GATEHOUSE_NAME_LENGTH", &["3-30", "1-255"]),
    (
        "GATEHOUSE_ARGON2",
        &["m=19456,t=2,p=1", "m=1048576,t=2,p=4"],
    ),
    ("GATEHOUSE_TOKEN_LIFETIME", &["never", "30d", "86400s"]),
    ("GATEHOUSE_RESERVED_NAMES", &["none", "admin root"]),
    ("GATEHOUSE_EMAIL_DENIED", &[r".*@spam[.]example"]),
];

/// The parameter that sets each setting, for all functions or for some.
fn parameters() -> BTreeMap<String, String> {
    let yaml = yaml();
    let global = mapping(&yaml, &["Globals", "Function", "Environment", "Variables"]);
    let resources = mapping(&yaml, &["Resources"]).expect("Resources");
    let own = resources
        .values()
        .filter_map(|resource| mapping(resource, &["Properties", "Environment", "Variables"]));
    let values = global.into_iter().chain(own).flatten();
    let names = values.filter_map(|(setting, value)| {
        let parameter = match value {
            Value::Tagged(tagged) if tagged.tag == "If" => tagged.value.get(2).map(text),
            Value::Tagged(tagged) if tagged.tag == "Ref" => Some(text(&tagged.value)),
            _ => None,
        };
        Some((setting.as_str()?.to_owned(), parameter?.to_owned()))
    });
    names.filter(|(_, name)| !name.is_empty()).collect()
}

fn accepts(setting: &str, value: &str) -> bool {
    let lookup = |name: &str| {
        let found = match name {
            _ if name == setting => value,
            "GATEHOUSE_SERVER_NAME" => "example.org",
            "GATEHOUSE_SECRET" => "an example that has more than 32 bytes",
            "GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION" => "true",
            "GATEHOUSE_REGISTRATION_FLOWS" => "m.login.dummy",
            "GATEHOUSE_MAIL_FROM" => "accounts@example.org",
            "GATEHOUSE_SMS_COUNTRIES" => "DE",
            _ => return None,
        };
        Some(found.to_owned())
    };
    Config::from_lookup(lookup).is_ok()
}

/// A value that the program accepts can be entered. The template may accept more: the program has the exact rules.
#[test]
fn the_template_accepts_the_values_that_the_program_accepts() {
    let yaml = yaml();
    let parameters = parameters();
    for (setting, values) in EXAMPLES {
        let name = &parameters[setting];
        let parameter = &yaml["Parameters"][name.as_str()];
        let pattern = parameter["AllowedPattern"].as_str().unwrap_or(".*");
        let pattern = Regex::new(&format!("^(?:{pattern})$")).expect(name);
        let longest = parameter["MaxLength"].as_u64().unwrap_or(4096);
        for value in values {
            assert!(accepts(setting, value), "{setting}: {value}");
            let fits = value.chars().count() as u64 <= longest;
            assert!(fits && pattern.is_match(value), "{name}: {value}");
        }
    }
}

/// Code that reads a setting, and the files in which it may be.
const USES: [(&str, &[&str]); 12] = [
    (
        "config.names",
        &["shared/crates/core/src/accounts/names.rs"],
    ),
    (
        "config.deactivation",
        &[
            "functions/account-deactivate/src/lib.rs",
            "functions/account/src/guide.rs",
            "shared/crates/core/src/oauth/account_actions.rs",
        ],
    ),
    (
        "config.next_link_hosts",
        &["shared/crates/core/src/threepids/link.rs"],
    ),
    (
        "link::check(",
        &[
            "shared/crates/core/src/threepid_validation/submit_token.rs",
            "shared/crates/http/src/request_token.rs",
        ],
    ),
    (
        "limits::consume_daily(",
        &["functions/deliver/src/charges.rs"],
    ),
    (
        "config.reset_phone_age",
        &["shared/crates/http/src/password_change/reset.rs"],
    ),
    (
        "config.well_known",
        &["functions/well-known-matrix-client/src/lib.rs"],
    ),
    ("config.policies", &["shared/crates/http/src/uia/state.rs"]),
    (
        "accounts::check_name(",
        &[
            "functions/register-available/src/lib.rs",
            "functions/register/src/appservice.rs",
            "shared/crates/http/src/registration/name.rs",
        ],
    ),
    (
        "config.tokens",
        &[
            "functions/login/src/lib.rs",
            "shared/crates/core/src/tokens/pairs.rs",
            "shared/crates/http/src/registration/transaction.rs",
        ],
    ),
    ("mail.configuration_set", &["functions/deliver/src/ses.rs"]),
    ("sms.sender_id", &["functions/deliver/src/sns.rs"]),
];

/// Only some functions get these settings, because the environment of a function is limited to 4 kB. A new use in
/// another file may need the setting in the `environment` of another `function.yaml`; then add the file here.
#[test]
fn settings_for_some_functions_are_read_only_by_their_code() {
    let sources: Vec<_> = ["functions", "shared"]
        .iter()
        .flat_map(|directory| files::below(directory))
        .filter(|file| {
            files::is_rust(&file.path)
                && !file.path.contains("/tests")
                && !file.path.starts_with("shared/crates/core/src/config")
        })
        .collect();
    for (code, expected) in USES {
        let found: BTreeSet<_> = sources
            .iter()
            .filter(|file| file.text.contains(code))
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(found, expected.iter().copied().collect(), "{code}");
    }
}

/// Functions do not start with a setting whose requirement is missing. CloudFormation refuses such parameters before it
/// changes anything.
#[test]
fn settings_that_require_others_are_checked_before_a_deployment() {
    let yaml = yaml();
    let parameters = parameters();
    let rules = mapping(&yaml, &["Rules"]).expect("Rules");
    let mut checked = BTreeSet::new();
    for rule in rules.values() {
        let Some(told) = rule["Assertions"][0]["AssertDescription"].as_str() else {
            continue;
        };
        let (name, required) = told.split_once(" requires ").expect(told);
        let name = name.split('=').next().unwrap_or_default();
        checked.insert((name, required));
        let condition = serde_yaml_ng::to_string(&rule["RuleCondition"]).expect("YAML");
        let assertion = serde_yaml_ng::to_string(&rule["Assertions"][0]["Assert"]).expect("YAML");
        assert!(
            condition.contains(name) && assertion.contains(required),
            "{told}"
        );
    }
    let alone = |setting: &str, value: &str| {
        let lookup = |name: &str| {
            let found = match name {
                _ if name == setting => value,
                "GATEHOUSE_SERVER_NAME" => "example.org",
                "GATEHOUSE_SECRET" => "an example that has more than 32 bytes",
                "GATEHOUSE_REGISTRATION" => "closed",
                _ => return None,
            };
            Some(found.to_owned())
        };
        Config::from_lookup(lookup).map(|_| ())
    };
    assert_eq!(alone("GATEHOUSE_REGISTRATION", "closed"), Ok(()));
    for (setting, value, required) in [
        ("GATEHOUSE_SES_CONFIGURATION_SET", "a", "MailFrom"),
        ("GATEHOUSE_SMS_SENDER_ID", "Example", "SmsCountries"),
        ("GATEHOUSE_SMS_MAX_PRICE", "0.10", "SmsCountries"),
        ("GATEHOUSE_CAPTCHA_PROVIDER", "hcaptcha", "CaptchaSiteKey"),
        ("GATEHOUSE_CAPTCHA_SITE_KEY", "a", "CaptchaProvider"),
        (
            "GATEHOUSE_CAPTCHA_VERIFY_URL",
            "https://example.org/",
            "CaptchaProvider",
        ),
        (
            "GATEHOUSE_CAPTCHA_SCRIPT_URL",
            "https://example.org/",
            "CaptchaProvider",
        ),
        ("GATEHOUSE_ID_SERVER_API", "v1", "TrustedIdServers"),
        (
            "GATEHOUSE_THREEPID_VALIDATION",
            "delegated",
            "TrustedIdServers",
        ),
        (
            "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
            "https://id.example.org",
            "WellKnownHomeserver",
        ),
    ] {
        assert!(alone(setting, value).is_err(), "{setting}");
        let name = parameters[setting].as_str();
        assert!(
            checked.contains(&(name, required)),
            "{name} requires {required}"
        );
    }
}
