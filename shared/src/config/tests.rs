use std::collections::HashMap;

use super::*;

const MINIMAL: [(&str, &str); 3] = [
    ("GATEHOUSE_SERVER_NAME", "example.org"),
    ("GATEHOUSE_SECRET", "0123456789abcdef0123456789abcdef"),
    ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.registration_token"),
];

fn read(changes: &[(&str, &str)]) -> Result<Config, String> {
    let values: HashMap<&str, &str> = MINIMAL.iter().chain(changes).copied().collect();
    Config::from_lookup(|name| values.get(name).map(|value| (*value).to_owned()))
        .map_err(|faults| faults.to_string())
}

#[test]
fn all_faults_are_told_at_once_and_by_name() {
    let faults = read(&[
        ("GATEHOUSE_SERVER_NAME", "not a name"),
        ("GATEHOUSE_SECRET", "short"),
        (
            "GATEHOUSE_REGISTRATION_FLOWS",
            "m.login.magic m.login.recaptcha",
        ),
        ("GATEHOUSE_ARGON2", "m=1"),
        ("GATEHOUSE_GUESTS", "perhaps"),
        ("GATEHOUSE_TOKEN_LIFETIME", "5"),
    ])
    .unwrap_err();
    for name in [
        "SERVER_NAME",
        "SECRET",
        "REGISTRATION_FLOWS",
        "ARGON2",
        "GUESTS",
        "TOKEN_LIFETIME",
    ] {
        assert!(
            faults.contains(&format!("GATEHOUSE_{name}: ")),
            "{name} is missing in:\n{faults}"
        );
    }
    assert!(
        faults.contains("m.login.magic") && faults.contains("GATEHOUSE_CAPTCHA_PROVIDER"),
        "{faults}"
    );
}

#[test]
fn cve_2019_5885_a_server_without_a_proper_secret_does_not_start() {
    for secret in [
        "",
        "0123456789abcdef0123456789abcde",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        assert!(
            read(&[("GATEHOUSE_SECRET", secret)])
                .unwrap_err()
                .contains("GATEHOUSE_SECRET: ")
        );
    }
}

#[test]
fn uia_21_a_flow_that_another_begins_with_is_refused() {
    let prefix = "m.login.registration_token m.login.registration_token+m.login.dummy";
    assert!(
        read(&[("GATEHOUSE_REGISTRATION_FLOWS", prefix)])
            .unwrap_err()
            .contains("begin with")
    );
    let twice = "m.login.registration_token m.login.registration_token";
    assert!(read(&[("GATEHOUSE_REGISTRATION_FLOWS", twice)]).is_err());
}

#[test]
fn uia_31_a_stage_that_cannot_be_completed_is_not_offered() {
    for stage in [
        "m.login.recaptcha",
        "m.login.terms+m.login.registration_token",
        "m.login.email.identity",
    ] {
        assert!(
            read(&[("GATEHOUSE_REGISTRATION_FLOWS", stage)]).is_err(),
            "{stage}"
        );
    }
}

#[test]
fn open_registration_without_a_verifying_stage_must_be_meant() {
    let dummy = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy");
    assert!(read(&[dummy]).is_err());
    assert!(read(&[dummy, ("GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION", "true")]).is_ok());
    assert!(read(&[dummy, ("GATEHOUSE_REGISTRATION", "closed")]).is_ok());
}

#[test]
fn captcha_keys_without_a_provider_are_a_fault() {
    assert!(read(&[("GATEHOUSE_CAPTCHA_SITE_KEY", "x")]).is_err());
}

#[test]
fn terms_must_have_lawful_ids_versions_and_urls() {
    let terms = |json: &str| {
        read(&[("GATEHOUSE_TERMS", json)]).map(|config| config.policies.unwrap().versions.len())
    };
    assert_eq!(
        terms(
            r#"{"p":{"version":"1","en":{"name":"P","url":"https://x/"},"de":{"name":"D","url":"https://x/"}}}"#
        ),
        Ok(1)
    );
    for wrong in [
        "{}",
        "[]",
        r#"{"p":{"version":"1"}}"#,
        r#"{"p q":{"version":"1","en":{"name":"P","url":"https://x/"}}}"#,
        r#"{"p":{"version":"1","en":{"name":"P","url":"javascript:alert(1)"}}}"#,
    ] {
        assert!(terms(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn wk_01_an_identity_server_is_told_only_beside_a_homeserver() {
    let homeserver = ("GATEHOUSE_WELL_KNOWN_HOMESERVER", "https://m.example.org/");
    let identity = (
        "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
        "https://is.example.org",
    );
    assert!(read(&[]).unwrap().well_known.is_none());
    assert!(read(&[identity]).is_err());
    assert!(read(&[("GATEHOUSE_WELL_KNOWN_HOMESERVER", "m.example.org")]).is_err());
    let told = read(&[homeserver, identity]).unwrap().well_known.unwrap();
    assert_eq!(told.homeserver, "https://m.example.org");
    assert_eq!(told.identity_server.unwrap(), "https://is.example.org");
}

#[test]
fn misspelt_settings_are_named() {
    let faults =
        Config::unknown_settings(["GATEHOUSE_GUEST".to_owned(), "PATH".to_owned()].into_iter())
            .unwrap_err();
    assert_eq!(
        faults.to_string(),
        "GATEHOUSE_GUEST: there is no such setting"
    );
    assert!(Config::unknown_settings(SETTINGS.iter().map(|row| row.name.to_owned())).is_ok());
}

#[test]
fn secrets_do_not_show_in_a_printed_config() {
    let pepper = ("GATEHOUSE_PASSWORD_PEPPER", "a-pepper-of-some-length");
    let printed = format!("{:?}", read(&[pepper]).unwrap());
    assert!(
        !printed.contains("0123456789abcdef") && !printed.contains("a-pepper"),
        "{printed}"
    );
}
