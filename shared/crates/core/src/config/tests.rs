use std::collections::HashMap;

use super::*;
use crate::id_server_name::TrustedServer;

const MINIMAL: [(&str, &str); 3] = [
    ("GATEHOUSE_SERVER_NAME", "example.org"),
    ("GATEHOUSE_SECRET", "0123456789abcdef0123456789abcdef"),
    ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.registration_token"),
];

fn read(changes: &[(&str, &str)]) -> Result<Config, String> {
    let values: HashMap<&str, &str> = MINIMAL.iter().chain(changes).copied().collect();
    Config::from_lookup(|name| values.get(name).map(|value| (*value).to_owned()))
        .map_err(|errors| errors.to_string())
}

#[test]
fn all_errors_are_reported_at_once_and_by_name() {
    let errors = read(&[
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
            errors.contains(&format!("GATEHOUSE_{name}: ")),
            "{name} is missing in:\n{errors}"
        );
    }
    assert!(
        errors.contains("m.login.magic") && errors.contains("GATEHOUSE_CAPTCHA_PROVIDER"),
        "{errors}"
    );
}

#[test]
fn cve_2019_5885_a_weak_or_missing_secret_is_rejected() {
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
fn the_secret_and_its_arn_are_mutually_exclusive() {
    assert!(
        read(&[(
            "GATEHOUSE_SECRET_ARN",
            "arn:aws:secretsmanager:eu-central-1:1:secret:keys"
        )])
        .unwrap_err()
        .contains("GATEHOUSE_SECRET_ARN: must not be set together with GATEHOUSE_SECRET")
    );
    for name in [
        "GATEHOUSE_SECRET_NEXT",
        "GATEHOUSE_PASSWORD_PEPPER_PREVIOUS",
    ] {
        assert!(read(&[(name, "short")]).unwrap_err().contains(name));
    }
}

#[test]
fn uia_21_a_flow_that_begins_another_flow_is_rejected() {
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
fn open_registration_needs_verification_or_an_explicit_setting() {
    let dummy = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy");
    assert!(read(&[dummy]).is_err());
    assert!(read(&[dummy, ("GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION", "true")]).is_ok());
    assert!(read(&[dummy, ("GATEHOUSE_REGISTRATION", "closed")]).is_ok());
}

#[test]
fn captcha_settings_without_a_provider_are_an_error() {
    assert!(read(&[("GATEHOUSE_CAPTCHA_SITE_KEY", "x")]).is_err());
}

#[test]
fn terms_need_valid_ids_versions_and_urls() {
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
fn wk_01_an_identity_server_needs_a_homeserver() {
    let homeserver = ("GATEHOUSE_WELL_KNOWN_HOMESERVER", "https://m.example.org/");
    let identity = (
        "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
        "https://is.example.org",
    );
    assert!(read(&[]).unwrap().well_known.is_none());
    assert!(read(&[identity]).is_err());
    assert!(read(&[("GATEHOUSE_WELL_KNOWN_HOMESERVER", "m.example.org")]).is_err());
    let well_known = read(&[homeserver, identity]).unwrap().well_known.unwrap();
    assert_eq!(well_known.homeserver, "https://m.example.org");
    assert_eq!(
        well_known.identity_server.unwrap(),
        "https://is.example.org"
    );
}

/// An own secret is not trimmed: without the white space it would be another secret.
#[test]
fn white_space_at_the_ends_of_settings_has_no_effect() {
    let captcha = |site_key: &str, secret_key: &str| {
        read(&[
            ("GATEHOUSE_CAPTCHA_PROVIDER", "turnstile"),
            ("GATEHOUSE_CAPTCHA_SITE_KEY", site_key),
            ("GATEHOUSE_CAPTCHA_SECRET_KEY", secret_key),
            ("GATEHOUSE_IMPORTED_PEPPER", "pepper\n"),
            ("GATEHOUSE_LIMITS", " off\r\n"),
        ])
    };
    let config = captcha("0xAAA\n", "\u{feff}0xBBB \u{200b}").unwrap();
    let keys = config.captcha.unwrap();
    assert_eq!(keys.site_key, "0xAAA");
    assert_eq!(keys.secret_key.reveal(), "0xBBB");
    let pepper = config.passwords.imported_pepper.unwrap();
    assert_eq!(pepper.secret.reveal(), b"pepper");
    assert!(!config.limits);
    let errors = captcha("0xA\u{200b}AA", "0xB BB").unwrap_err();
    for name in ["SITE_KEY", "SECRET_KEY"] {
        let line = format!("GATEHOUSE_CAPTCHA_{name}: must have only visible ASCII characters");
        assert!(errors.contains(&line), "{errors}");
    }
    for name in [
        "GATEHOUSE_SECRET",
        "GATEHOUSE_SECRET_NEXT",
        "GATEHOUSE_SECRET_PREVIOUS",
        "GATEHOUSE_PASSWORD_PEPPER",
        "GATEHOUSE_PASSWORD_PEPPER_PREVIOUS",
    ] {
        let errors = read(&[(name, "0123456789abcdef0123456789abcdef\n")]).unwrap_err();
        assert_eq!(
            errors,
            format!("{name}: must not begin or end with white space")
        );
    }
}

#[test]
fn settings_that_are_not_utf_8_are_reported_by_name() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    let pair = |name: &[u8], value: &[u8]| {
        (
            OsString::from_vec(name.to_vec()),
            OsString::from_vec(value.to_vec()),
        )
    };
    let errors = Config::check_environment(&[
        pair(b"GATEHOUSE_SERVER_NAME", b"ex\xff.org"),
        pair(b"GATEHOUSE_SECRET", b"\xff"),
        pair(b"GATEHOUSE_GUEST\xff", b"true"),
        pair(b"GATEHOUSE_LIMITS", b"on"),
        pair(b"OTHER", b"\xff"),
    ]);
    let lines = "GATEHOUSE_SERVER_NAME: is not valid UTF-8\nGATEHOUSE_SECRET: is not valid UTF-8\n\
                 GATEHOUSE_GUEST\u{fffd}: unknown setting; check its spelling";
    assert_eq!(errors.unwrap_err().to_string(), lines);
}

#[test]
fn unknown_settings_are_reported_by_name() {
    let errors =
        Config::unknown_settings(["GATEHOUSE_GUEST".to_owned(), "PATH".to_owned()].into_iter())
            .unwrap_err();
    assert_eq!(
        errors.to_string(),
        "GATEHOUSE_GUEST: unknown setting; check its spelling"
    );
    assert!(Config::unknown_settings(SETTINGS.iter().map(|row| row.name.to_owned())).is_ok());
}

#[test]
fn debug_output_of_the_config_contains_no_secret() {
    let pepper = ("GATEHOUSE_PASSWORD_PEPPER", "a-pepper-of-some-length");
    let imported = ("GATEHOUSE_IMPORTED_PEPPER", "another-pepper");
    let printed = format!("{:?}", read(&[pepper, imported]).unwrap());
    assert!(
        !printed.contains("0123456789abcdef") && !printed.contains("-pepper"),
        "{printed}"
    );
}

#[test]
fn ids_02_a_private_identity_server_needs_a_url() {
    const NAME: &str = "GATEHOUSE_TRUSTED_ID_SERVERS";
    let trusted = |text: &str| {
        let config = read(&[(NAME, text)])?;
        let servers = config.identity_servers.trusted.iter();
        Ok::<_, String>(servers.map(TrustedServer::base).collect::<Vec<_>>())
    };
    assert_eq!(trusted("").unwrap(), Vec::<String>::new());
    assert_eq!(
        trusted("vector.im ID.example.org:8090 10.0.0.1=https://id.internal/").unwrap(),
        [
            "https://vector.im",
            "https://id.example.org:8090",
            "https://id.internal"
        ]
    );
    let servers = trusted("id.test=http://127.0.0.1:8090").unwrap();
    assert!(servers[0].starts_with("http:"), "{servers:?}");
    for wrong in [
        "https://vector.im",
        "vector.im/path",
        "10.0.0.1",
        "localhost=",
        "id.test=ftp://id.internal",
        "id.test=https://id.internal/path",
        "id.test=https://user@id.internal",
    ] {
        assert!(trusted(wrong).unwrap_err().contains(NAME), "{wrong}");
    }
    for (name, value) in [
        ("GATEHOUSE_ID_SERVER_API", "v1"),
        ("GATEHOUSE_THREEPID_VALIDATION", "delegated"),
    ] {
        assert!(read(&[(name, value)]).unwrap_err().contains(NAME), "{name}");
        assert!(read(&[(name, value), (NAME, "vector.im")]).is_ok());
        assert!(read(&[(name, "v3"), (NAME, "vector.im")]).is_err());
    }
}

#[test]
fn a_signing_key_is_parsed_and_not_printed() {
    const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";
    let name = "GATEHOUSE_SIGNING_KEY";
    let line = format!("ed25519 a_1 {SEED}");
    let config = read(&[(name, &line)]).unwrap();
    assert_eq!(config.identity_servers.keys.current.id(), "ed25519:a_1");
    assert!(!format!("{config:?}").contains(SEED));
    assert!(read(&[(name, SEED)]).unwrap_err().contains(name));
}

#[test]
fn oa_07_the_oauth_api_needs_a_secure_public_url() {
    const URL: &str = "GATEHOUSE_PUBLIC_URL";
    const BOTH: (&str, &str) = ("GATEHOUSE_AUTH_APIS", "both");
    for secure in ["https://example.org/base", "http://127.0.0.1:8008"] {
        assert!(read(&[BOTH, (URL, secure)]).is_ok(), "{secure}");
    }
    assert!(read(&[BOTH]).is_ok(), "the default is https");
    let insecure = (URL, "http://example.org");
    assert!(read(&[BOTH, insecure]).unwrap_err().contains(URL));
    let legacy = ("GATEHOUSE_AUTH_APIS", "legacy");
    assert!(read(&[legacy, insecure]).is_ok(), "the API is off");
}

#[test]
fn hs_01_a_homeserver_needs_a_url_and_a_secret() {
    const SECRET: (&str, &str) = ("GATEHOUSE_HOMESERVER_SECRET", "0123456789abcdef");
    let url = |url| ("GATEHOUSE_HOMESERVER_URL", url);
    assert!(read(&[]).unwrap().homeserver.is_none());
    // The key ring may contain the secret before the URL is set.
    assert!(read(&[SECRET]).unwrap().homeserver.is_none());
    let config = read(&[url("https://10.0.0.1:8008/synapse/"), SECRET]).unwrap();
    let homeserver = config.homeserver.unwrap();
    assert_eq!(homeserver.url, "https://10.0.0.1:8008/synapse");
    assert_eq!(homeserver.secret.reveal(), SECRET.1);
    for (changes, wrong) in [
        (vec![url("https://hs")], "GATEHOUSE_HOMESERVER_URL"),
        (vec![url("hs:8008"), SECRET], "GATEHOUSE_HOMESERVER_URL"),
        (
            vec![url("https://hs"), (SECRET.0, "0123456789abcde")],
            SECRET.0,
        ),
        (
            vec![url("https://hs"), (SECRET.0, "0123456789 abcdef")],
            SECRET.0,
        ),
        (
            vec![url("https://hs"), SECRET, ("GATEHOUSE_GUESTS", "true")],
            "GATEHOUSE_GUESTS",
        ),
    ] {
        let errors = read(&changes).unwrap_err();
        assert!(errors.starts_with(&format!("{wrong}: ")), "{errors}");
    }
}
