use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{config::AuthApis, oauth::clients::ClientId};

fn web() -> Value {
    json!({ "client_uri": "https://example.com", "redirect_uris": ["https://example.com/callback"] })
}

fn with(member: &str, value: Value) -> Value {
    let mut metadata = web();
    metadata[member] = value;
    metadata
}

fn accept(value: &Value) -> Result<ClientMetadata, MetadataError> {
    accept_with(value, true)
}

fn accept_with(value: &Value, has_device_grant: bool) -> Result<ClientMetadata, MetadataError> {
    let config = OAuthConfig {
        apis: AuthApis::Both,
        token_lifetime: Duration::from_mins(15),
        accepts_loopback_ports: true,
        has_device_grant,
    };
    ClientMetadata::accept(value, &config)
}

#[test]
fn oa_22_unknown_grants_are_dropped_and_defaults_filled_in() {
    use GrantType::{AuthorizationCode, RefreshToken};
    for (grants, expected) in [
        (Value::Null, &[AuthorizationCode, RefreshToken][..]),
        (
            json!(["refresh_token", "authorization_code", "implicit"]),
            &[AuthorizationCode, RefreshToken],
        ),
        (
            json!(["authorization_code"]),
            &[AuthorizationCode, RefreshToken],
        ),
        (
            json!(["urn:ietf:params:oauth:grant-type:token-exchange"]),
            &[RefreshToken],
        ),
        (json!([]), &[RefreshToken]),
    ] {
        let accepted = accept(&with("grant_types", grants)).unwrap();
        assert_eq!(accepted.grant_types, expected);
        assert_eq!(accepted.application_type, ApplicationType::Web);
    }
    for types in [json!(["code", "id_token"]), json!([]), json!(["token"])] {
        assert_eq!(accept(&with("response_types", types)), accept(&web()));
    }
}

#[test]
fn oa_112_the_device_grant_is_dropped_while_it_is_off() {
    use GrantType::{AuthorizationCode, DeviceCode, RefreshToken};
    let device = GrantType::DEVICE_CODE;
    for (grants, on, off) in [
        (
            json!([device, "authorization_code"]),
            &[AuthorizationCode, RefreshToken, DeviceCode][..],
            &[AuthorizationCode, RefreshToken][..],
        ),
        // OA-14: this client needs no redirect URI.
        (
            json!([device]),
            &[RefreshToken, DeviceCode],
            &[RefreshToken],
        ),
    ] {
        let mut metadata = with("grant_types", grants);
        if !on.contains(&AuthorizationCode) {
            metadata.as_object_mut().unwrap().remove("redirect_uris");
        }
        let accepted = |has_device_grant| accept_with(&metadata, has_device_grant).unwrap();
        assert_eq!(accepted(true).grant_types, on);
        assert_eq!(accepted(false).grant_types, off);
    }
    // A client that names no grant gets the default of the specification.
    assert!(!accept(&web()).unwrap().has_grant(DeviceCode));
}

#[test]
fn oa_14_the_code_grant_needs_one_to_ten_redirect_uris() {
    let uris = |count: usize| {
        let all = (0..count).map(|number| format!("https://example.com/{number}"));
        json!(all.collect::<Vec<_>>())
    };
    for count in [1, 10] {
        let accepted = accept(&with("redirect_uris", uris(count))).unwrap();
        assert_eq!(accepted.redirect_uris.len(), count);
    }
    for count in [0, 11] {
        let result = accept(&with("redirect_uris", uris(count)));
        assert_eq!(result, Err(MetadataError::RedirectUriCount), "{count}");
    }
    let absent = accept(&with("redirect_uris", Value::Null));
    assert_eq!(absent, Err(MetadataError::RedirectUriCount));
    let device = json!({
        "client_uri": "https://example.com",
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"],
    });
    assert_eq!(accept(&device).unwrap().redirect_uris, [""; 0]);
}

#[test]
fn oa_23_the_only_authentication_is_none() {
    assert_eq!(
        accept(&with("token_endpoint_auth_method", json!("none"))),
        accept(&web())
    );
    for other in [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "None",
        "",
    ] {
        let result = accept(&with("token_endpoint_auth_method", json!(other)));
        assert_eq!(result, Err(MetadataError::AuthMethod), "{other}");
    }
}

#[test]
fn oa_24_a_wrong_type_names_its_member() {
    for value in [json!([]), json!("x"), json!(1), Value::Null] {
        assert_eq!(accept(&value), Err(MetadataError::NotAnObject));
    }
    for member in [
        "client_uri",
        "client_name",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "application_type",
        "token_endpoint_auth_method",
        "grant_types",
        "response_types",
        "redirect_uris",
    ] {
        for wrong in [json!(1), json!({}), json!([1]), json!([["x"]]), json!(true)] {
            let result = accept(&with(member, wrong.clone()));
            let error = MetadataError::WrongType(member);
            assert_eq!(result, Err(error), "{member}: {wrong}");
            assert!(error.to_string().contains(member));
        }
    }
    let desktop = accept(&with("application_type", json!("desktop")));
    assert_eq!(desktop, Err(MetadataError::ApplicationType));
}

/// OA-25: the order of members and lists, duplicates and dropped values change nothing. Every other change does.
#[test]
fn oa_25_equal_metadata_has_one_id() {
    let id = |text: &str| ClientId::of(&accept(&serde_json::from_str(text).unwrap()).unwrap());
    let first = id(r#"{"client_uri":"https://example.com","client_name":"App",
        "redirect_uris":["https://example.com/a","https://example.com/b"]}"#);
    assert_eq!(first.as_str(), "ghc_X7i3spJFP838U6YJq-KyyM");
    assert_eq!(ClientId::parse(first.as_str()), Some(first.clone()));
    let same = id(
        r#"{"contacts":["a@example.com"],"client_name#fr":"Appli","application_type":"web",
        "redirect_uris":["https://example.com/b","https://example.com/a","https://example.com/b"],
        "grant_types":["refresh_token","authorization_code","authorization_code","implicit"],
        "response_types":["code","token"],"client_name":" App ","logo_uri":null,
        "token_endpoint_auth_method":"none","client_uri":"https://example.com"}"#,
    );
    assert_eq!(same, first);
    for (member, value) in [
        ("client_name", json!("Other")),
        ("client_uri", json!("https://example.com/")),
        ("logo_uri", json!("https://example.com/logo")),
        ("application_type", json!("native")),
        ("redirect_uris", json!(["https://example.com/a"])),
        ("grant_types", json!([])),
    ] {
        let mut other = json!({
            "client_uri": "https://example.com", "client_name": "App",
            "redirect_uris": ["https://example.com/a", "https://example.com/b"],
        });
        other[member] = value;
        assert_ne!(id(&other.to_string()), first, "{member}");
    }
}

#[test]
fn oa_28_names_are_short_and_show_no_tricks() {
    let name = |name: &str| accept(&with("client_name", json!(name))).map(|it| it.client_name);
    let longest = "\u{e9}".repeat(64);
    for good in ["Element X", "\u{5d0}\u{5d1}", "\u{1f408}", &longest] {
        assert_eq!(name(good), Ok(Some(good.to_owned())));
    }
    assert_eq!(name("  "), Ok(None));
    for bad in [
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{200f}b",
        "a\u{61c}b",
        "a\nb",
        "a\u{0}b",
        "a\u{85}b",
        "a\u{2028}b",
        &"a".repeat(65),
    ] {
        assert_eq!(name(bad), Err(MetadataError::Name), "{bad:?}");
    }
}

#[test]
fn oa_28_the_accepted_metadata_has_at_most_4_kib() {
    let page = |length: usize| format!("https://example.com/{}", "a".repeat(length));
    let metadata = |length: usize| {
        let mut metadata = web();
        metadata["tos_uri"] = page(1800).into();
        metadata["policy_uri"] = page(1800).into();
        metadata["logo_uri"] = page(length).into();
        accept(&metadata)
    };
    let used = metadata(0).unwrap().canonical().len();
    assert!(metadata(4096 - used).is_ok());
    assert_eq!(metadata(4097 - used), Err(MetadataError::TooLong));
    // Dropped members do not count.
    assert!(accept(&with("contacts", json!(["x".repeat(9000)]))).is_ok());
}

/// Characters that have a meaning in URIs, and values of the members.
fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z.:/?#@%\\[\\]\\\\0-9 ]{0,30}",
        "(https?|com\\.example|javascript)(://|:/|:)[a-z.:/?#@%\\[\\]0-9]{0,20}",
        any::<String>(),
    ]
}

proptest! {
    /// OA-14 to OA-20: no accepted redirect URI leads to another host, however it is written.
    #[test]
    fn an_accepted_redirect_uri_is_of_the_client(uri in uri(), is_native: bool) {
        let kind = if is_native { "native" } else { "web" };
        let metadata = json!({
            "client_uri": "https://example.com", "application_type": kind, "redirect_uris": [uri],
        });
        if accept(&metadata).is_ok() {
            let lower = uri.to_lowercase();
            let rest = lower.strip_prefix("https://").map(|rest| rest.split(['/', '?', ':']).next().unwrap());
            let is_own = rest.is_some_and(|host| host == "example.com" || host.ends_with(".example.com"));
            let is_local = ["http://localhost", "http://127.0.0.1", "http://[::1]", "com.example"]
                .iter()
                .any(|start| lower.starts_with(start));
            prop_assert!(is_own || (is_native && is_local), "{uri}");
        }
    }

    #[test]
    fn any_text_is_accepted_or_rejected(name: String, uri in uri(), page in uri()) {
        let metadata = json!({ "client_name": name, "client_uri": uri, "tos_uri": page, "redirect_uris": [page] });
        let _ = accept(&metadata);
    }
}
