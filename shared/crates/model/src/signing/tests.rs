use super::*;

/// The seed of the examples in the specification.
const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

fn key() -> SigningKey {
    SigningKey::parse(&format!("ed25519 1 {SEED}")).unwrap()
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn ids_18_signatures_match_the_specification() {
    for (text, signature) in [
        (
            "{}",
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        ),
        (
            r#"{"two":"Two","one":1}"#,
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
        (
            r#"{"one":1,"two":"Two","signatures":{"x":{}},"unsigned":{"age":5}}"#,
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
        ),
    ] {
        assert_eq!(key().sign(&object(text)).unwrap(), signature, "{text}");
    }
    let server = ServerName::parse("domain").unwrap();
    let signed = Value::Object(signed(object("{}"), &server, &key()));
    let found = &signed["signatures"]["domain"]["ed25519:1"];
    assert!(found.as_str().unwrap().starts_with("K8280/U9"));
}

#[test]
fn ids_18_canonical_json_matches_the_specification() {
    for (text, expected) in [
        ("{}", "{}"),
        (
            "{ \"one\": 1,\n \"two\": \"Two\" }",
            r#"{"one":1,"two":"Two"}"#,
        ),
        (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe",
                "three_pids":[{"medium":"email","address":"john.doe@example.org"},
                {"medium":"msisdn","address":"123456789"}]}}}"#,
            r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
        ),
        (r#"{"a":"日本語"}"#, r#"{"a":"日本語"}"#),
        (r#"{"本":2,"日":1}"#, r#"{"日":1,"本":2}"#),
        (r#"{"a":"\u65E5"}"#, r#"{"a":"日"}"#),
        (r#"{"a":null}"#, r#"{"a":null}"#),
        (r#"{"a":-0,"b":1e10}"#, r#"{"a":0,"b":10000000000}"#),
        // Order of code points, not of UTF-16 code units.
        (
            r#"{"\uD83D\uDE00":1,"\uFFFD":2}"#,
            "{\"\u{fffd}\":2,\"😀\":1}",
        ),
        (
            r#"["\"\\\/\b\f\n\r\t\u0001\u001f\u007f"]"#,
            "[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}\"]",
        ),
        (
            "[9007199254740991,-9007199254740991]",
            "[9007199254740991,-9007199254740991]",
        ),
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(canonical(&value).as_deref(), Some(expected));
    }
    for number in ["1.5", "9007199254740992", "-9007199254740992", "1e300"] {
        let value: Value = serde_json::from_str(number).unwrap();
        assert_eq!(canonical(&value), None, "{number}");
        assert_eq!(key().sign(&object(&format!("{{\"a\":{number}}}"))), None);
    }
}

#[test]
fn ids_15_the_header_has_one_space_and_quotes_every_value() {
    let content = json!({ "mxid": "@alice:example.org" });
    let origin = ServerName::parse("example.org").unwrap();
    let request = SignedRequest {
        method: "POST",
        uri: "/_matrix/identity/v2/3pid/unbind",
        origin: &origin,
        destination: "id.example.org:8090",
        content: &content,
    };
    for form in [DestinationForm::DestinationIs, DestinationForm::Destination] {
        let header = request.authorization(&key(), form).unwrap();
        let (before, signature) = header.split_once(",sig=").unwrap();
        assert_eq!(
            before,
            r#"X-Matrix origin="example.org",destination="id.example.org:8090",key="ed25519:1""#
        );
        let name = match form {
            DestinationForm::DestinationIs => "destination_is",
            DestinationForm::Destination => "destination",
        };
        let signed = json!({
            "method": "POST", "uri": request.uri, "origin": "example.org",
            name: "id.example.org:8090", "content": content,
        });
        let expected = key().sign(signed.as_object().unwrap()).unwrap();
        assert_eq!(signature, format!("\"{expected}\""), "IDS-16, IDS-17");
        assert!(!header.contains('\\') && header.matches(' ').count() == 1);
    }
}

#[test]
fn a_signing_key_in_homeserver_format_is_parsed() {
    assert_eq!(key().id(), "ed25519:1");
    assert_eq!(
        key().public(),
        "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
    );
    for wrong in [
        "",
        "ed25519 1",
        SEED,
        &format!("rsa 1 {SEED}"),
        &format!("ed25519 a-1 {SEED}"),
        &format!("ed25519 1 {SEED}=="),
        &format!("ed25519 1 {SEED} more"),
        "ed25519 1 c2hvcnQ",
    ] {
        assert!(SigningKey::parse(wrong).is_none(), "{wrong}");
    }
    assert_eq!(format!("{:?}", key()), "SigningKey(ed25519:1)");
}

#[test]
fn a_signing_key_is_derived_from_the_key_ring_by_default() {
    let root = |byte: u8| crate::secrets::Secret::new(vec![byte; 32]);
    let old = SigningKeys::derived(&KeyRing::new(root(1), None)).unwrap();
    let new = SigningKeys::derived(&KeyRing::new(root(2), Some(root(1)))).unwrap();
    assert!(old.old.is_none() && old.next.is_none());
    assert_ne!(old.current.id(), new.current.id());
    assert_ne!(old.current.public(), new.current.public());
    let kept: Vec<_> = new.old.iter().map(|key| (key.id(), key.public())).collect();
    assert_eq!(kept, [(old.current.id(), old.current.public())]);
    let early = KeyRing::new(root(1), None).with_next(Some(root(2)));
    let early = SigningKeys::derived(&early).unwrap();
    assert_eq!(early.current.id(), old.current.id());
    assert_eq!(
        early.next.map(|key| key.public()),
        Some(new.current.public())
    );
}
