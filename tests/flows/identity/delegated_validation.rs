//! Messages that an identity server sends in place of this server, if the operator has configured
//! delegation.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use shared::limits::Limit;
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::support::{
    account_helpers::{PASSWORD_PATH, sign_up_with},
    identity_server::{IdServer, TOKEN},
    mail_helpers::peer,
    threepid_helpers::{ALICE, EMAIL, MAIL, NUMBER, SMS},
    with,
};

const DELEGATED: (&str, &str) = ("GATEHOUSE_THREEPID_VALIDATION", "delegated");
const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.dummy m.login.email.identity m.login.msisdn",
);
const SECRET: &str = "monkeys_are_GREAT";

/// A server that delegates validation to an identity server and sends no messages itself.
async fn test_server(id_server: &IdServer, settings: &[(&str, &str)]) -> TestServer {
    let own = [
        DELEGATED,
        FLOWS,
        ("GATEHOUSE_MAIL_FROM", ""),
        ("GATEHOUSE_SMS_COUNTRIES", ""),
        ("GATEHOUSE_NEXT_LINK_HOSTS", "app.example.org"),
    ];
    IdServer::test_server(&[id_server], &[&own[..], settings].concat()).await
}

/// The paths of the six endpoints: operation and medium, without the prefix and `requestToken`.
const PLACES: [&str; 6] = [
    "register/email",
    "register/msisdn",
    "account/password/email",
    "account/password/msisdn",
    "account/3pid/email",
    "account/3pid/msisdn",
];

fn token_request(place: &str, id_server: &IdServer) -> Value {
    let common = json!({
        "client_secret": SECRET, "send_attempt": 1,
        "id_server": id_server.name, "id_access_token": TOKEN,
    });
    if place.ends_with("email") {
        with(common, &json!({ "email": "Alice@Example.org" }))
    } else {
        with(
            common,
            &json!({ "country": "GB", "phone_number": NUMBER.0 }),
        )
    }
}

async fn ask(server: &TestServer, place: &str, body: &Value) -> Reply {
    let path = format!("{}/{place}/requestToken", PREFIXES[1]);
    server.post(&path, body).await
}

/// The number of rows of this server's validation sessions and of messages.
fn rows(server: &TestServer) -> usize {
    ["Proofs", "Outbox"]
        .map(|table| server.local.dynamodb().table(table).unwrap().len())
        .iter()
        .sum()
}

#[tokio::test]
async fn ids_01_a_server_that_validates_itself_calls_no_id_server() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[FLOWS, MAIL, SMS]).await;
    for place in PLACES {
        let answer = ask(&server, place, &token_request(place, &id_server))
            .await
            .ok();
        assert!(!answer["sid"].as_str().unwrap().starts_with("fake."));
    }
    assert!(id_server.requests().is_empty());
}

/// IDS-04, 3PID-09: the identity server receives only the members of the validation and the access
/// token that the client has for it.
#[tokio::test]
async fn ids_05_the_id_server_gets_the_clients_token_and_members() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&id_server, &[]).await;
    let further = json!({ "next_link": "https://app.example.org/#/done", "zzz": 5 });
    let common = json!({
        "client_secret": SECRET, "send_attempt": 1, "next_link": "https://app.example.org/#/done",
    });
    for prefix in PREFIXES {
        for (medium, told) in [
            ("email", json!({ "email": ALICE })),
            (
                "msisdn",
                json!({ "country": "GB", "phone_number": format!("+{}", NUMBER.1) }),
            ),
        ] {
            id_server.clear_requests();
            let path = format!("{prefix}/register/{medium}/requestToken");
            let body = with(token_request(medium, &id_server), &further);
            let answer = server.post(&path, &body).await.ok();
            assert!(answer["sid"].as_str().unwrap().starts_with("fake."));
            assert!(answer.get("submit_url").is_none());
            let msisdn = (medium == "msisdn").then_some(NUMBER.1);
            assert_eq!(answer["msisdn"].as_str(), msisdn);
            let line = format!("POST /_matrix/identity/v2/validate/{medium}/requestToken");
            assert_eq!(id_server.lines(), [line]);
            let seen = &id_server.requests()[0];
            assert_eq!(seen.headers["authorization"], format!("Bearer {TOKEN}"));
            assert_eq!(seen.body, with(told, &common));
        }
    }
    assert_eq!(rows(&server), 0);
}

/// A `next_link` that this server would not accept is not passed on.
#[tokio::test]
async fn ids_04_the_r0_form_has_no_token_and_no_foreign_link() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&id_server, &[("GATEHOUSE_ID_SERVER_API", "v1")]).await;
    let further = json!({ "id_access_token": null, "next_link": "https://elsewhere.example/" });
    let body = with(token_request("email", &id_server), &further);
    ask(&server, "register/email", &body).await.ok();
    let line = "POST /_matrix/identity/api/v1/validate/email/requestToken";
    assert_eq!(id_server.lines(), [line]);
    let seen = &id_server.requests()[0];
    assert!(!seen.headers.contains_key("authorization"));
    let expected = json!({ "client_secret": SECRET, "send_attempt": 1, "email": ALICE });
    assert_eq!(seen.body, expected);
}

/// 3PID-05, 3PID-06: with delegation, the response discloses whether the address has an account,
/// independent of the privacy setting.
#[tokio::test]
async fn ids_06_ownership_is_checked_before_delegation() {
    let id_server = IdServer::start("id.example.org");
    for privacy in ["quiet", "tell"] {
        let settings = [MAIL, SMS, ("GATEHOUSE_THREEPID_PRIVACY", privacy)];
        let server = test_server(&id_server, &settings).await;
        sign_up_with(&server, "alice", EMAIL, ALICE).await;
        let body = token_request("email", &id_server);
        ask(&server, "register/email", &body)
            .await
            .error(400, "M_THREEPID_IN_USE");
        let number = token_request("msisdn", &id_server);
        ask(&server, "account/password/msisdn", &number)
            .await
            .error(400, "M_THREEPID_NOT_FOUND");
        assert!(id_server.requests().is_empty());
        ask(&server, "account/password/email", &body).await.ok();
        ask(&server, "register/msisdn", &number).await.ok();
        assert_eq!(id_server.requests().len(), 2);
        id_server.clear_requests();
    }
}

#[tokio::test]
async fn ids_06_errors_are_reported_before_delegation() {
    let id_server = IdServer::start("id.example.org");
    let denied = ("GATEHOUSE_EMAIL_DENIED", ".*@spam[.]example");
    let server = test_server(&id_server, &[denied]).await;
    let [mail, text] = ["register/email", "register/msisdn"];
    for (place, change, status, errcode) in [
        (
            mail,
            json!({ "email": "x@spam.example" }),
            403,
            "M_THREEPID_DENIED",
        ),
        (
            mail,
            json!({ "email": "me@evil.com@b.c" }),
            400,
            "M_INVALID_PARAM",
        ),
        (mail, json!({ "email": null }), 400, "M_MISSING_PARAM"),
        (
            mail,
            json!({ "client_secret": "a b" }),
            400,
            "M_INVALID_PARAM",
        ),
        (
            mail,
            json!({ "client_secret": null }),
            400,
            "M_MISSING_PARAM",
        ),
        (mail, json!({ "send_attempt": -1 }), 400, "M_INVALID_PARAM"),
        (
            mail,
            json!({ "next_link": "ftp://x" }),
            400,
            "M_INVALID_PARAM",
        ),
        (
            mail,
            json!({ "id_access_token": null }),
            400,
            "M_MISSING_PARAM",
        ),
        (
            mail,
            json!({ "id_access_token": "a\r\nb" }),
            400,
            "M_INVALID_PARAM",
        ),
        (mail, json!({ "id_access_token": 5 }), 400, "M_BAD_JSON"),
        (mail, json!({ "id_server": 5 }), 400, "M_BAD_JSON"),
        (
            text,
            json!({ "phone_number": "12" }),
            400,
            "M_INVALID_PARAM",
        ),
        (text, json!({ "country": "XX" }), 400, "M_INVALID_PARAM"),
    ] {
        let body = with(token_request(place, &id_server), &change);
        ask(&server, place, &body).await.error(status, errcode);
    }
    assert!(id_server.requests().is_empty());
}

/// IDS-03, 3PID-09
#[tokio::test]
async fn ids_02_no_message_is_requested_from_an_untrusted_server() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&id_server, &[]).await;
    for (name, errcode) in [
        ("vector.im", "M_SERVER_NOT_TRUSTED"),
        ("id.example.org:8448", "M_SERVER_NOT_TRUSTED"),
        ("https://id.example.org", "M_INVALID_PARAM"),
        ("169.254.169.254", "M_INVALID_PARAM"),
        ("", "M_INVALID_PARAM"),
    ] {
        for place in &PLACES[..4] {
            let body = with(
                token_request(place, &id_server),
                &json!({ "id_server": name }),
            );
            ask(&server, place, &body).await.error(400, errcode);
        }
    }
    assert!(id_server.requests().is_empty());
}

#[tokio::test]
async fn ids_07_an_error_of_the_identity_server_is_passed_on() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&id_server, &[]).await;
    let ask = async || {
        ask(
            &server,
            "register/email",
            &token_request("email", &id_server),
        )
        .await
    };
    for (line, status, errcode) in [
        ("403 Forbidden", 403, "M_TERMS_NOT_SIGNED"),
        ("400 Bad Request", 400, "M_INVALID_EMAIL"),
        ("400 Bad Request", 400, "M_EMAIL_SEND_ERROR"),
        ("429 Too Many Requests", 429, "M_LIMIT_EXCEEDED"),
    ] {
        id_server.respond_with(line, &json!({ "errcode": errcode, "error": "No" }));
        ask().await.error(status, errcode);
    }
    server.expect_faults();
    for sid in [
        json!(null),
        json!(""),
        json!("a b"),
        json!("x".repeat(256)),
        json!(5),
    ] {
        id_server.respond_with("200 OK", &json!({ "sid": sid }));
        ask().await.error(502, "M_UNKNOWN");
    }
}

/// The validation for an address to be added is never delegated, because the request names no
/// identity server.
#[tokio::test]
async fn threepid_12_without_an_id_server_this_server_validates() {
    let id_server = IdServer::start("id.example.org");
    let without_sender = test_server(&id_server, &[]).await;
    let with_sender = test_server(&id_server, &[MAIL, SMS]).await;
    for place in PLACES {
        let mut body = token_request(place, &id_server);
        if !place.contains("account/3pid") {
            body["id_server"] = Value::Null;
        }
        let errcode = if place.contains("account/3pid") {
            "M_SERVER_NOT_TRUSTED"
        } else {
            "M_THREEPID_MEDIUM_NOT_SUPPORTED"
        };
        ask(&without_sender, place, &body).await.error(400, errcode);
        let answer = ask(&with_sender, place, &body).await.ok();
        assert!(!answer["sid"].as_str().unwrap().starts_with("fake."));
    }
    assert!(id_server.requests().is_empty());
}

/// Incident 29: a server with closed registration, or without a flow that uses the address,
/// delegates nothing either.
#[tokio::test]
async fn incident_29_nothing_is_delegated_that_no_flow_needs() {
    let id_server = IdServer::start("id.example.org");
    let closed = test_server(&id_server, &[("GATEHOUSE_REGISTRATION", "closed")]).await;
    let dummy = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy");
    let useless = test_server(&id_server, &[dummy]).await;
    for place in &PLACES[..2] {
        let body = token_request(place, &id_server);
        ask(&closed, place, &body).await.error(403, "M_FORBIDDEN");
        ask(&useless, place, &body)
            .await
            .error(400, "M_SERVER_NOT_TRUSTED");
    }
    assert!(id_server.requests().is_empty());
}

#[tokio::test]
async fn threepid_16_delegated_messages_use_the_same_quotas() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&id_server, &[("GATEHOUSE_LIMITS", "on")]).await;
    let mut sent = 0;
    for attempt in 1..20 {
        let secret = format!("secret-{attempt}");
        let body = with(
            token_request("email", &id_server),
            &json!({ "client_secret": secret }),
        );
        let reply = ask(&server, "register/email", &body).await;
        if reply.status != 200 {
            reply.error(429, "M_LIMIT_EXCEEDED");
            break;
        }
        sent += 1;
    }
    assert_eq!(sent, 5, "from one network to one address");
    assert_eq!(id_server.requests().len(), sent);
}

/// As for messages of this server, attackers cannot use up the resets of an owner who uses a known network.
#[tokio::test]
async fn threepid_16_a_known_network_has_its_own_quotas_of_resets() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&id_server, &[MAIL, SMS, ("GATEHOUSE_LIMITS", "on")]).await;
    // The sign-up makes the network of the test client known.
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let request = |secret: String| {
        with(
            token_request("email", &id_server),
            &json!({ "client_secret": secret }),
        )
    };
    let path = format!("{PASSWORD_PATH}/email/requestToken");
    let burst = Limit::ResetMailAddress.quota().burst;
    for number in 0..=burst {
        let body = request(format!("attack-{number}"));
        let reply = server.post_from(peer(number), &path, &body).await;
        assert_eq!(reply.status == 429, number == burst, "{}", reply.text());
    }
    for number in 0..3 {
        let body = request(format!("owner-{number}"));
        server.post(&path, &body).await.ok();
    }
}
