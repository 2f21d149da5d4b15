//! Bodies of the endpoints that request messages, and of submissions.

use proptest::{
    collection::vec,
    prelude::{BoxedStrategy, Just, Strategy, any},
    prop_oneof,
    sample::subsequence,
};
use serde_json::{Map, Value, json};

use super::{CASES, check, one_of};
use crate::api::{
    rows::validations,
    support::{for_all, request},
    threepids::{CODE, CONFIRM, DIRECT, EMAIL, FLOWS, LINK, MAIL, MSISDN, SMS, form},
};

const MEMBERS: [&str; 11] = [
    "client_secret",
    "email",
    "country",
    "phone_number",
    "send_attempt",
    "next_link",
    "id_server",
    "id_access_token",
    "sid",
    "token",
    "zzz",
];

/// A string that is valid or nearly valid for some member, or any string.
fn text() -> BoxedStrategy<String> {
    let likely = [
        "secret",
        "alice@example.org",
        "a@b@c.org",
        "GB",
        "ZZ",
        "US",
        "07400 123456",
        "+447400123456",
        "+1 520 878 2491",
        "https://app.example.org/",
        "javascript:x",
        "123456",
        "",
        "\u{0}",
        "sid",
        "=",
    ];
    prop_oneof![
        4 => one_of(&likely).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[+0-9 ()./-]{0,20}",
        1 => "[a-zA-Z@.\u{212a}\u{df}]{1,20}@[a-z.]{1,12}",
        1 => Just("a".repeat(5_000)),
    ]
    .boxed()
}

fn value() -> BoxedStrategy<Value> {
    let odd = [
        json!(null),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(true),
        json!([]),
        json!({}),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(["a", { "b": null }]),
    ];
    prop_oneof![2 => text().prop_map(Value::from), 1 => one_of(&odd)].boxed()
}

/// HTTP-06, HTTP-16, 3PID-13: no session has an invalid 3PID.
#[test]
fn http_06_any_members_of_address_endpoints_are_answered() {
    let members = subsequence(MEMBERS.to_vec(), 0..=MEMBERS.len());
    let paths = one_of(&[EMAIL, MSISDN, LINK, CODE]);
    let case = (paths, members, vec(value(), MEMBERS.len()));
    let settings = [MAIL, SMS, FLOWS];
    for_all(
        CASES,
        &settings,
        &case,
        &async |server, (path, members, values)| {
            let body: Map<String, Value> =
                members.into_iter().map(str::to_owned).zip(values).collect();
            let reply = server.post(path, &Value::Object(body)).await;
            check(&reply);
            assert!(reply.json().is_object());
            for row in validations(server) {
                let address = row.address;
                let plain = address
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
                let ats = usize::from(row.medium == "email");
                assert!(plain && address.matches('@').count() == ats, "{address:?}");
            }
        },
    );
}

/// 3PID-20: the requests are nearly valid, so that most responses have a session.
#[test]
fn http_06_nearly_valid_requests_are_answered() {
    let case = (one_of(&[EMAIL, MSISDN]), one_of(&MEMBERS), value());
    let settings = [MAIL, SMS, FLOWS];
    for_all(
        CASES,
        &settings,
        &case,
        &async |server, (path, name, value)| {
            let mut body = json!({
                "client_secret": "secret", "email": "alice@example.org", "country": "GB",
                "phone_number": "07400 123456", "send_attempt": 1,
            });
            let needed = body.get(name).is_some();
            body[name] = value.clone();
            let reply = server.post(path, &body).await;
            check(&reply);
            if !needed && (name.starts_with("id_") || name == "next_link") {
                let status = if value.is_string() || value.is_null() {
                    200
                } else {
                    400
                };
                // A link is validated in addition.
                assert!(reply.status == status || name == "next_link", "{body}");
            } else if !needed {
                assert_eq!(reply.status, 200, "{body}");
            }
        },
    );
}

/// HTTP-25, HTTP-28, incident 5: any fields get a page that repeats none of them.
#[test]
fn http_28_any_fields_of_links_and_buttons_get_a_page() {
    let names = [
        "sid",
        "token",
        "client_secret",
        "action",
        "next_link",
        "zzz",
    ];
    let case = (
        one_of(&[LINK, CODE, CONFIRM]),
        vec((one_of(&names), text()), 0..6),
        any::<bool>(),
    );
    for_all(CASES, &[MAIL, SMS, FLOWS, DIRECT], &case, &async |server,
                                                               (
        path,
        fields,
        raw,
    )| {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let encoded = form(&fields);
        let reply = if path == CONFIRM {
            let body = if raw { format!("{fields:?}") } else { encoded };
            server
                .send(request("POST", path, &[], body.as_bytes()))
                .await
        } else {
            server.get(&format!("{path}?{encoded}")).await
        };
        check(&reply);
        assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(reply.status, 400, "there is no session: {fields:?}");
    });
}
