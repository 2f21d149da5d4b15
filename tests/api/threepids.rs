//! Helpers for the tests of 3PIDs: requests for messages, and the content of messages.
//!
//! Links and codes are computed from the row of the session, as `deliver` computes them. These
//! tests are about the use of links and codes, so no message has to arrive.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use shared::threepid_validation;
use test_support::{PASSWORD, Reply, TestServer};

use super::{
    rows::validation,
    support::{request, text},
};

/// The path that requests an e-mail.
pub(crate) const EMAIL: &str = "/_matrix/client/v3/register/email/requestToken";
/// The path that requests a text message.
pub(crate) const MSISDN: &str = "/_matrix/client/v3/register/msisdn/requestToken";
/// The path of the link in an e-mail.
pub(crate) const LINK: &str = "/_matrix/client/v3/validate/email/submitToken";
/// The path that receives the form of the page of this link.
pub(crate) const CONFIRM: &str = "/_matrix/client/v3/validate/email/confirm";
/// The path that receives the code of a text message.
pub(crate) const CODE: &str = "/_matrix/client/v3/validate/msisdn/submitToken";

/// Enables e-mail.
pub(crate) const MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "Gatehouse <no-reply@example.org>");
/// Enables text messages to two countries.
pub(crate) const SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "GB US");
/// Flows that use both media.
pub(crate) const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn",
);
/// Makes links validate when they are opened.
pub(crate) const DIRECT: (&str, &str) = ("GATEHOUSE_EMAIL_LINK", "direct");
/// Hosts that `next_link` may name.
pub(crate) const HOSTS: (&str, &str) = (
    "GATEHOUSE_NEXT_LINK_HOSTS",
    "app.example.org localhost:8080",
);

/// Both media, each with the endpoint that requests a message for registration.
pub(crate) const MEDIA: [(&str, &str); 2] = [("email", EMAIL), ("msisdn", MSISDN)];

/// Every endpoint that requests a message, with its medium. Their sessions are independent of each
/// other.
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

/// A server that sends e-mails and text messages, with these settings.
pub(crate) async fn server_with(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&[MAIL, SMS, FLOWS], settings].concat()).await
}

/// The body of a request for an e-mail.
pub(crate) fn mail_to(address: &str, secret: &str, attempt: i64) -> Value {
    json!({ "client_secret": secret, "email": address, "send_attempt": attempt })
}

/// The body of a request for a text message to a number dialled in Great Britain.
pub(crate) fn text_to(number: &str, secret: &str, attempt: i64) -> Value {
    json!({
        "client_secret": secret, "country": "GB", "phone_number": number, "send_attempt": attempt,
    })
}

/// A valid body for this medium. `user` selects the 3PID.
pub(crate) fn message_request(medium: &str, user: u32, secret: &str, attempt: i64) -> Value {
    match medium {
        "email" => mail_to(&format!("user{user}@example.org"), secret, attempt),
        _ => text_to(&format!("07400 {:06}", 123_456 + user), secret, attempt),
    }
}

/// The canonical form of the 3PID in [`message_request`].
pub(crate) fn address(medium: &str, user: u32) -> String {
    match medium {
        "email" => format!("user{user}@example.org"),
        _ => format!("447400{:06}", 123_456 + user),
    }
}

/// The endpoint that requests a message of this medium for registration.
pub(crate) fn path_of(medium: &str) -> &'static str {
    if medium == "email" { EMAIL } else { MSISDN }
}

/// Requests a message and returns the session ID.
pub(crate) async fn request_session(server: &TestServer, path: &str, body: &Value) -> String {
    text(&server.post(path, body).await.ok(), "sid").to_owned()
}

/// The state of a validation session.
#[track_caller]
pub(crate) fn state(server: &TestServer, sid: &str) -> String {
    validation(server, sid).state
}

/// The token in the link of a session's e-mails.
#[track_caller]
pub(crate) fn link_token(server: &TestServer, sid: &str) -> String {
    let generation = validation(server, sid).generation;
    let token = threepid_validation::link_token(&server.local.config().keys, sid, &generation);
    token.reveal().clone()
}

/// The code in text message number `send` of a session.
#[track_caller]
pub(crate) fn code(server: &TestServer, sid: &str, send: i64) -> String {
    let generation = validation(server, sid).generation;
    let code = threepid_validation::code(&server.local.config().keys, sid, &generation, send);
    code.reveal().clone()
}

/// The token or code of the last message of a session.
#[track_caller]
pub(crate) fn token(server: &TestServer, medium: &str, sid: &str) -> String {
    match medium {
        "email" => link_token(server, sid),
        _ => code(server, sid, validation(server, sid).sends),
    }
}

/// Registers an account with the 3PID of a validated session.
pub(crate) async fn register_with(
    server: &TestServer,
    medium: &str,
    name: &str,
    (sid, secret): (&str, &str),
) -> Reply {
    let stage = match medium {
        "email" => "m.login.email.identity",
        _ => "m.login.msisdn",
    };
    let creds = json!({ "sid": sid, "client_secret": secret });
    let auth = json!({ "type": stage, "threepid_creds": creds });
    let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
    server.register(&body).await
}

/// Signs up an account with this 3PID.
pub(crate) async fn sign_up_with(server: &TestServer, medium: &str, user: u32, name: &str) {
    let request = message_request(medium, user, "owner", 1);
    let sid = request_session(server, path_of(medium), &request).await;
    let token = token(server, medium, &sid);
    submit(server, medium, &sid, "owner", &token).await.ok();
    register_with(server, medium, name, (&sid, "owner"))
        .await
        .ok();
}

/// A code that is not in `codes`.
pub(crate) fn other_code(codes: &[String]) -> String {
    let mut all = (0..1_000_000).map(|number: u32| format!("{number:06}"));
    all.find(|code| !codes.contains(code)).unwrap()
}

/// Submits a token as a client does.
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
pub(crate) async fn open_link(server: &TestServer, path: &str, fields: &[(&str, &str)]) -> Reply {
    server.get(&format!("{path}?{}", form(fields))).await
}

/// Submits the form of a page.
pub(crate) async fn submit_form(server: &TestServer, fields: &[(&str, &str)]) -> Reply {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    server
        .send(request("POST", CONFIRM, &headers, form(fields).as_bytes()))
        .await
}

/// Encodes a form. All characters except letters, digits and `-` are percent-encoded.
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

/// Asserts that a submission failed, with `success: false` for clients that read only this member.
#[track_caller]
pub(crate) fn assert_not_submitted(reply: &Reply, errcode: &str) {
    assert_eq!(reply.error(400, errcode)["success"], false);
}
