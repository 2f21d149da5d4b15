//! What the tests of addresses have in common: requests for messages, and what the messages bring.
//!
//! Links and codes are made here as `deliver` makes them, from the row of the session: these tests
//! are about who may do what with them, and need no message to arrive.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use serde_json::{Value, json};
use shared::threepids::proofs;
use test_support::{PASSWORD, Reply, TestServer};

use super::support::{request, text};

/// Where a mail is asked for.
pub(crate) const EMAIL: &str = "/_matrix/client/v3/register/email/requestToken";
/// Where a text message is asked for.
pub(crate) const MSISDN: &str = "/_matrix/client/v3/register/msisdn/requestToken";
/// Where the link of a mail leads.
pub(crate) const LINK: &str = "/_matrix/client/v3/validate/email/submitToken";
/// Where its page's button posts to.
pub(crate) const CONFIRM: &str = "/_matrix/client/v3/validate/email/confirm";
/// Where a code is submitted.
pub(crate) const CODE: &str = "/_matrix/client/v3/validate/msisdn/submitToken";

/// Mail is sent.
pub(crate) const MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "Gatehouse <no-reply@example.org>");
/// Text messages are sent, to two countries.
pub(crate) const SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "GB US");
/// There is a use for both.
pub(crate) const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn",
);
/// Links validate when they are opened.
pub(crate) const DIRECT: (&str, &str) = ("GATEHOUSE_EMAIL_LINK", "direct");
/// Some links may be gone on to.
pub(crate) const HOSTS: (&str, &str) = (
    "GATEHOUSE_NEXT_LINK_HOSTS",
    "app.example.org localhost:8080",
);

/// The two kinds of address, each with where messages to it are asked for.
pub(crate) const MEDIA: [(&str, &str); 2] = [("email", EMAIL), ("msisdn", MSISDN)];

/// Every endpoint at which a message can be asked for, with the medium of its address. What is asked
/// at one of them is nothing to the others.
pub(crate) const REQUESTS: [(&str, &str); 6] = [
    ("email", EMAIL),
    ("msisdn", MSISDN),
    (
        "email",
        "/_matrix/client/v3/account/password/email/requestToken",
    ),
    (
        "msisdn",
        "/_matrix/client/v3/account/password/msisdn/requestToken",
    ),
    (
        "email",
        "/_matrix/client/v3/account/3pid/email/requestToken",
    ),
    (
        "msisdn",
        "/_matrix/client/v3/account/3pid/msisdn/requestToken",
    ),
];

/// A house that sends both kinds of message, with these settings besides.
pub(crate) async fn server_with(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&[MAIL, SMS, FLOWS], settings].concat()).await
}

/// What is asked for a mail to `address`.
pub(crate) fn mail_to(address: &str, secret: &str, attempt: i64) -> Value {
    json!({ "client_secret": secret, "email": address, "send_attempt": attempt })
}

/// What is asked for a text message to `number`, as dialled in Great Britain.
pub(crate) fn text_to(number: &str, secret: &str, attempt: i64) -> Value {
    json!({
        "client_secret": secret, "country": "GB", "phone_number": number, "send_attempt": attempt,
    })
}

/// A lawful request of this medium; `who` tells its addresses apart.
pub(crate) fn wish(medium: &str, who: u32, secret: &str, attempt: i64) -> Value {
    match medium {
        "email" => mail_to(&format!("user{who}@example.org"), secret, attempt),
        _ => text_to(&format!("07400 {:06}", 123_456 + who), secret, attempt),
    }
}

/// The canonical address that [`wish`] is about.
pub(crate) fn address(medium: &str, who: u32) -> String {
    match medium {
        "email" => format!("user{who}@example.org"),
        _ => format!("447400{:06}", 123_456 + who),
    }
}

/// Where messages of this medium are asked for.
pub(crate) fn path_of(medium: &str) -> &'static str {
    if medium == "email" { EMAIL } else { MSISDN }
}

/// `a` with the members of `b`; `null` takes one away.
pub(crate) fn with(mut a: Value, b: &Value) -> Value {
    for (name, value) in b.as_object().unwrap() {
        a[name] = value.clone();
    }
    a
}

/// Asks, and returns the session.
pub(crate) async fn sid(server: &TestServer, path: &str, body: &Value) -> String {
    text(&server.post(path, body).await.ok(), "sid").to_owned()
}

/// How many messages have been called for.
pub(crate) fn queued(server: &TestServer) -> usize {
    server.local.dynamodb().table("Outbox").unwrap().len()
}

/// The rows of all validation sessions.
pub(crate) fn rows(server: &TestServer) -> Vec<Value> {
    server.local.dynamodb().table("Proofs").unwrap()
}

/// The row of a validation session.
#[track_caller]
pub(crate) fn row(server: &TestServer, sid: &str) -> Value {
    let mut rows = rows(server).into_iter();
    rows.find(|row| row["pk"]["S"] == sid).unwrap()
}

/// The state of a validation session.
#[track_caller]
pub(crate) fn state(server: &TestServer, sid: &str) -> String {
    text(&row(server, sid)["state"], "S").to_owned()
}

/// The token of the link in the mails of a session.
#[track_caller]
pub(crate) fn link_token(server: &TestServer, sid: &str) -> String {
    let row = row(server, sid);
    let generation = text(&row["generation"], "S");
    let token = proofs::link_token(&server.local.config().keys, sid, generation);
    token.reveal().clone()
}

/// The code in text message number `send` of a session.
#[track_caller]
pub(crate) fn code(server: &TestServer, sid: &str, send: i64) -> String {
    let row = row(server, sid);
    let generation = text(&row["generation"], "S");
    let code = proofs::code(&server.local.config().keys, sid, generation, send);
    code.reveal().clone()
}

/// What shows that the last message of a session has arrived.
#[track_caller]
pub(crate) fn token(server: &TestServer, medium: &str, sid: &str) -> String {
    let sends = row(server, sid)["sends"]["N"].clone();
    match medium {
        "email" => link_token(server, sid),
        _ => code(server, sid, sends.as_str().unwrap().parse().unwrap()),
    }
}

/// Makes an account that has this address.
pub(crate) async fn sign_up_with(server: &TestServer, medium: &str, who: u32, name: &str) {
    let sid = sid(server, path_of(medium), &wish(medium, who, "owner", 1)).await;
    let token = token(server, medium, &sid);
    submit(server, medium, &sid, "owner", &token).await.ok();
    let stage = if medium == "email" {
        "m.login.email.identity"
    } else {
        "m.login.msisdn"
    };
    let creds = json!({ "sid": sid, "client_secret": "owner" });
    let auth = json!({ "type": stage, "threepid_creds": creds });
    let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
    server.register(&body).await.ok();
}

/// A code that none of these is.
pub(crate) fn no_code(codes: &[String]) -> String {
    let mut all = (0..1_000_000).map(|number: u32| format!("{number:06}"));
    all.find(|code| !codes.contains(code)).unwrap()
}

/// `POST` as a client submits.
pub(crate) async fn submit(
    server: &TestServer,
    medium: &str,
    sid: &str,
    secret: &str,
    token: &str,
) -> Reply {
    let body = json!({ "sid": sid, "client_secret": secret, "token": token });
    let path = format!("/_matrix/client/v3/validate/{medium}/submitToken");
    server.post(&path, &body).await
}

/// Opens a link as a browser does.
pub(crate) async fn open(server: &TestServer, path: &str, fields: &[(&str, &str)]) -> Reply {
    server.get(&format!("{path}?{}", form(fields))).await
}

/// Submits a page's form.
pub(crate) async fn press(server: &TestServer, fields: &[(&str, &str)]) -> Reply {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    server
        .send(request("POST", CONFIRM, &headers, form(fields).as_bytes()))
        .await
}

/// Fields as a form sends them: everything but letters, digits and `-` is encoded.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String {
        let byte = |b: u8| match b {
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

/// Asserts that a submission by a client failed, and that it says so to those who read `success`.
#[track_caller]
pub(crate) fn not_submitted(reply: &Reply, errcode: &str) {
    assert_eq!(reply.error(400, errcode)["success"], false);
}
