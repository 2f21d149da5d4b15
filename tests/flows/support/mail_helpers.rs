//! Helpers for messages: requests, the contents of messages, and their rows.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::{Value, json};
use shared::{secrets::Secret, threepid_validation};
pub(crate) use test_support::mail_to;
use test_support::{PASSWORD, Reply, TestServer};

/// The path of the links in e-mails.
pub(crate) const LINK: &str = "/_matrix/client/v3/validate/email/submitToken";
/// The path to which the page of a link posts its form.
pub(crate) const CONFIRM: &str = "/_matrix/client/v3/validate/email/confirm";
/// The path for the submission of a code.
pub(crate) const CODE: &str = "/_matrix/client/v3/validate/msisdn/submitToken";

/// The stages of addresses.
pub(crate) const MAIL_STAGE: &str = "m.login.email.identity";
pub(crate) const SMS_STAGE: &str = "m.login.msisdn";

/// Settings that enable e-mails and text messages, with a flow for each medium and a flow without one.
pub(crate) const MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "Accounts <no-reply@example.org>");
pub(crate) const SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "GB US");
pub(crate) const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn m.login.dummy",
);
pub(crate) const LIMITED: (&str, &str) = ("GATEHOUSE_LIMITS", "on");

/// Starts a server that sends e-mails and text messages, with these further settings.
pub(crate) async fn test_server(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&[MAIL, SMS, FLOWS], settings].concat()).await
}

/// The body of a request for a text message to a number with its country code.
pub(crate) fn text_to(digits: &str, secret: &str, attempt: i64) -> Value {
    test_support::text_to(&format!("+{digits}"), secret, attempt)
}

/// Requests a message; the body determines the medium.
pub(crate) async fn request_message(server: &TestServer, body: &Value) -> Reply {
    request_token_for(server, REGISTER, body).await
}

/// Requests a message from the network with this number.
pub(crate) async fn request_message_from(server: &TestServer, network: u32, body: &Value) -> Reply {
    request_token_from(server, peer(network), REGISTER, body).await
}

/// The addresses of the requests of [`by_mail`] and [`by_text`].
pub(crate) const ADDRESS: &str = "alice@example.org";
pub(crate) const NUMBER: &str = "447400123456";

/// A request for an e-mail to [`ADDRESS`].
pub(crate) fn by_mail(secret: &str) -> Value {
    mail_to(ADDRESS, secret, 1)
}

/// A request for a text message to [`NUMBER`].
pub(crate) fn by_text(secret: &str) -> Value {
    text_to(NUMBER, secret, 1)
}

/// Both media, each with a request about the same address.
pub(crate) const MEDIA: [fn(&str) -> Value; 2] = [by_mail, by_text];

/// A server with an account that has the address. Its owner used the network of the test client.
pub(crate) async fn with_owner(
    request: fn(&str) -> Value,
    settings: &[(&str, &str)],
) -> TestServer {
    let server = test_server(settings).await;
    create_owner(&server, "alice", &request("the-owner")).await;
    server.advance(Duration::from_hours(2));
    server
}

/// The purposes of a validation, by the paths of their requests.
pub(crate) const REGISTER: &str = "register";
pub(crate) const RESET: &str = "account/password";
pub(crate) const ADD: &str = "account/3pid";

/// Requests a message for this purpose; the body determines the medium.
pub(crate) async fn request_token_for(server: &TestServer, purpose: &str, body: &Value) -> Reply {
    server.post(&request_token_path(purpose, body), body).await
}

/// Like [`request_token_for`], from this address.
pub(crate) async fn request_token_from(
    server: &TestServer,
    from: IpAddr,
    purpose: &str,
    body: &Value,
) -> Reply {
    server
        .post_from(from, &request_token_path(purpose, body), body)
        .await
}

/// The session ID of an accepted request for this purpose.
pub(crate) async fn session_for(server: &TestServer, purpose: &str, body: &Value) -> String {
    let answer = request_token_for(server, purpose, body).await.ok();
    answer["sid"].as_str().unwrap().to_owned()
}

/// An IP address in the network with this number.
pub(crate) fn peer(network: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + network).into()
}

fn request_token_path(purpose: &str, body: &Value) -> String {
    let medium = if body.get("email").is_some() {
        "email"
    } else {
        "msisdn"
    };
    format!("/_matrix/client/v3/{purpose}/{medium}/requestToken")
}

/// The session ID of an accepted request.
pub(crate) async fn session(server: &TestServer, body: &Value) -> String {
    session_for(server, REGISTER, body).await
}

/// The query of the link in an e-mail: `sid=…&token=…`. The page of the link posts the same fields.
pub(crate) fn link(message: &Message) -> String {
    let links: Vec<_> = message.links().collect();
    let [link] = links[..] else {
        panic!("not one link: {message:?}");
    };
    link.split_once('?').unwrap().1.to_owned()
}

/// The code in a text message, from the line for autofill.
pub(crate) fn code(message: &Message) -> String {
    let (_, code) = message.text.trim_end().rsplit_once(" #").unwrap();
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
    code.to_owned()
}

/// Presses the button of the page of a link.
pub(crate) async fn confirm(server: &TestServer, link: &str) -> Reply {
    super::submit(server, CONFIRM, link).await
}

/// Submits a code with `POST`, as clients do.
pub(crate) async fn submit_code(server: &TestServer, sid: &str, secret: &str, code: &str) -> Reply {
    let body = json!({ "sid": sid, "client_secret": secret, "token": code });
    server.post(CODE, &body).await
}

/// The body of a registration with a validated address.
pub(crate) fn registration_with(name: &str, stage: &str, sid: &str, secret: &str) -> Value {
    json!({
        "username": name, "password": PASSWORD,
        "auth": { "type": stage, "threepid_creds": { "sid": sid, "client_secret": secret } },
    })
}

/// Creates an account with the address of this request.
pub(crate) async fn create_owner(server: &TestServer, name: &str, body: &Value) {
    let secret = body["client_secret"].as_str().unwrap();
    let sid = session(server, body).await;
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    let stage = if body.get("email").is_some() {
        assert_eq!(confirm(server, &link(&message)).await.status, 200);
        MAIL_STAGE
    } else {
        submit_code(server, &sid, secret, &code(&message))
            .await
            .ok();
        SMS_STAGE
    };
    let body = registration_with(name, stage, &sid, secret);
    server.register(&body).await.ok();
    server.local.outbox().clear();
}

/// The number of outbox rows with each status.
pub(crate) fn statuses(server: &TestServer) -> BTreeMap<String, usize> {
    let mut statuses = BTreeMap::new();
    for row in server.local.dynamodb().table("Outbox").unwrap() {
        let status = row["status"]["S"].as_str().unwrap().to_owned();
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

/// The expected result of [`statuses`].
pub(crate) fn expected_statuses(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let pairs = expected.iter();
    pairs
        .map(|(status, count)| ((*status).to_owned(), *count))
        .collect()
}

/// Writes a row directly into a table; `suffix` is the end of the table's name.
pub(crate) fn put(server: &TestServer, suffix: &str, item: &Value) {
    let table = format!("{}-{suffix}", server.local.config().tables);
    let item = json!({ "TableName": table, "Item": item });
    server.raw_dynamodb("PutItem", &item);
}

/// The row with this partition key.
pub(crate) fn row(server: &TestServer, table: &str, pk: &str) -> Value {
    let rows = server.local.dynamodb().table(table).unwrap();
    let mut own = rows.into_iter().filter(|row| row["pk"]["S"] == pk);
    own.next().unwrap()
}

/// Runs the schedule this many times, with this pause before each run.
pub(crate) async fn run_schedules(server: &TestServer, times: u32, pause: Duration) {
    for _ in 0..times {
        server.advance(pause);
        server.run_schedule().await;
    }
}

/// The state of a validation session.
pub(crate) fn state(server: &TestServer, sid: &str) -> String {
    let row = row(server, "Proofs", sid);
    row["state"]["S"].as_str().unwrap().to_owned()
}

/// The right link token or code of a validation session, derived from its row.
pub(crate) fn valid_secret(server: &TestServer, sid: &str) -> Secret {
    let row = row(server, "Proofs", sid);
    let keys = &server.local.config().keys;
    let generation = row["generation"]["S"].as_str().unwrap();
    if row["medium"]["S"] == "email" {
        threepid_validation::link_token(keys, sid, generation)
    } else {
        let sends = row["sends"]["N"].as_str().unwrap().parse().unwrap();
        threepid_validation::code(keys, sid, generation, sends)
    }
}
