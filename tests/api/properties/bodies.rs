//! Bodies of `POST /register`.

use http::HeaderValue;
use proptest::{
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy, any},
    prop_oneof,
    sample::subsequence,
};
use serde_json::{Map, Value, json};
use test_support::{PASSWORD, PREFIXES};

use super::{CASES, check, one_of};
use crate::api::{
    rows::uia_sessions,
    support::{for_all, request},
};

fn path_of_register() -> impl Strategy<Value = String> {
    let kinds = ["", "?kind=guest", "?kind=user"];
    (one_of(&PREFIXES), one_of(&kinds))
        .prop_map(|(prefix, kind)| format!("{prefix}/register{kind}"))
}

fn number() -> BoxedStrategy<Value> {
    let odd = [
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-0.0),
        json!(5e-324),
    ];
    prop_oneof![
        one_of(&odd),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from)
    ]
    .boxed()
}

fn json_value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            vec((member(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
    .boxed()
}

const MEMBERS: [&str; 14] = [
    "username",
    "password",
    "device_id",
    "initial_device_display_name",
    "inhibit_login",
    "refresh_token",
    "guest_access_token",
    "bind_email",
    "bind_msisdn",
    "type",
    "auth",
    "session",
    "token",
    "zzz",
];

fn member() -> BoxedStrategy<String> {
    prop_oneof![
        3 => one_of(&MEMBERS).prop_map(str::to_owned),
        1 => any::<String>()
    ]
    .boxed()
}

/// A value that is valid for some member, or any value.
fn likely_value() -> BoxedStrategy<Value> {
    let likely = [
        json!("alice"),
        json!("m.login.dummy"),
        json!("m.login.application_service"),
        json!(true),
        json!(PASSWORD),
        json!({ "type": "m.login.dummy" }),
        json!({ "session": "x" }),
        json!({}),
        json!({ "type": "m.login.registration_token", "token": "x" }),
        json!(null),
        json!(""),
        json!("gha_YWxpY2U.RA.x_y"),
        json!("a".repeat(300)),
        json!("\u{0}"),
    ];
    prop_oneof![2 => one_of(&likely), 1 => json_value()].boxed()
}

#[test]
fn http_06_any_bytes_are_answered() {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        any::<String>().prop_map(String::into_bytes)
    ];
    let case = (path_of_register(), bytes);
    for_all(
        CASES,
        &[("GATEHOUSE_GUESTS", "true")],
        &case,
        &async |server, (path, bytes)| {
            let reply = server.send(request("POST", &path, &[], &bytes)).await;
            check(&reply);
            if serde_json::from_slice::<Value>(&bytes).is_err() {
                reply.error(400, "M_NOT_JSON");
            }
        },
    );
}

#[test]
fn http_06_json_cut_or_changed_anywhere_is_answered() {
    let valid = json!({
        "username": "alice", "password": PASSWORD, "device_id": "D", "inhibit_login": true,
        "auth": { "type": "m.login.dummy", "session": "x" },
    })
    .to_string()
    .into_bytes();
    let length = valid.len();
    let case = (path_of_register(), 0..length, any::<u8>(), any::<bool>());
    for_all(
        CASES,
        &[("GATEHOUSE_GUESTS", "true")],
        &case,
        &async |server, (path, at, byte, cut)| {
            let mut bytes = valid.clone();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            check(&server.send(request("POST", &path, &[], &bytes)).await);
        },
    );
}

#[test]
fn http_06_any_json_is_answered() {
    let case = (path_of_register(), json_value());
    for_all(
        CASES,
        &[("GATEHOUSE_GUESTS", "true")],
        &case,
        &async |server, (path, body)| {
            check(&server.post(&path, &body).await);
        },
    );
}

/// HTTP-06, HTTP-16, incidents 18 and 24: the test sends any subset of token, `auth` and the other members.
#[test]
fn http_16_any_subset_of_members_of_any_type_is_answered() {
    let members = subsequence(MEMBERS.to_vec(), 0..=MEMBERS.len());
    let tokens = [
        "",
        "Bearer x",
        "Bearer gha_x",
        "Basic x",
        "Bearer irc-as-token",
        "\u{7f}",
    ];
    let case = (
        path_of_register(),
        members,
        vec(likely_value(), MEMBERS.len()),
        option::of(one_of(&tokens)),
    );
    for_all(
        CASES,
        &[("GATEHOUSE_GUESTS", "true")],
        &case,
        &async |server, (path, members, values, token)| {
            let body: Map<String, Value> =
                members.into_iter().map(str::to_owned).zip(values).collect();
            let token = token.filter(|token| HeaderValue::try_from(*token).is_ok());
            let headers: Vec<(&str, &str)> = token
                .map(|token| ("authorization", token))
                .into_iter()
                .collect();
            let body = Value::Object(body).to_string();
            let reply = server
                .send(request("POST", &path, &headers, body.as_bytes()))
                .await;
            check(&reply);
            let completed = reply.json()["completed"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            assert!(
                completed.iter().all(|stage| stage == "m.login.dummy"),
                "{completed:?}"
            );
        },
    );
}

/// Bodies as deep and as wide as the size limit allows, with the errcode of each body that gets no challenge.
fn huge_and_deep() -> Vec<(String, Option<&'static str>)> {
    let deep = |open: &str, close: &str, times: usize| {
        format!(
            r#"{{"zzz":{}0{}}}"#,
            open.repeat(times),
            close.repeat(times)
        )
    };
    let wide: Map<String, Value> = (0..5000)
        .map(|index| (format!("m{index}"), json!(1)))
        .collect();
    let digits = "9".repeat(50_000);
    let long = "a".repeat(60_000);
    vec![
        (deep("[", "]", 100), None),
        (deep("[", "]", 30_000), Some("M_NOT_JSON")),
        (deep(r#"{"a":"#, "}", 10_000), Some("M_NOT_JSON")),
        ("[".repeat(60_000), Some("M_NOT_JSON")),
        (Value::Object(wide).to_string(), None),
        (format!(r#"{{"zzz":{digits}}}"#), Some("M_NOT_JSON")),
        (r#"{"zzz":1e400}"#.to_owned(), Some("M_NOT_JSON")),
        (r#"{"zzz":-1e-400}"#.to_owned(), None),
        (format!(r#"{{"zzz":0.{digits}}}"#), None),
        (
            r#"{"a":1,"a":2,"username":"x","username":5}"#.to_owned(),
            Some("M_BAD_JSON"),
        ),
        (
            json!({ "username": long }).to_string(),
            Some("M_INVALID_USERNAME"),
        ),
        (
            json!({ "password": long }).to_string(),
            Some("M_INVALID_PARAM"),
        ),
        (
            json!({ "device_id": long }).to_string(),
            Some("M_INVALID_PARAM"),
        ),
        (
            json!({ "initial_device_display_name": long }).to_string(),
            Some("M_INVALID_PARAM"),
        ),
        (
            json!({ "guest_access_token": long }).to_string(),
            Some("M_INVALID_PARAM"),
        ),
        (json!({ "auth": { "session": long } }).to_string(), None),
        (json!({ "auth": { "type": long } }).to_string(), None),
    ]
}

/// HTTP-02, HTTP-18, incident 8: the bodies are as deep and as wide as the size limit allows.
#[tokio::test]
async fn http_16_huge_and_deep_json_is_answered() {
    let server = test_support::TestServer::new().await;
    let table = huge_and_deep();
    for prefix in PREFIXES {
        for (body, errcode) in &table {
            let reply = server.post_text(&format!("{prefix}/register"), body).await;
            check(&reply);
            match errcode {
                Some(errcode) => drop(reply.error(400, errcode)),
                None => drop(reply.challenge()),
            }
        }
    }
    let sizes = uia_sessions(&server).into_iter().map(|row| row.len());
    let largest = sizes.max().unwrap_or_default();
    assert!(largest < 8000, "a session of {largest} bytes is stored");
}
