//! What the tests of messages have in common: asking for them, reading them, and the rows behind
//! them.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use gatehouse_local::outbox::Message;
use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

/// Where a mail is asked for.
pub(crate) const EMAIL: &str = "/_matrix/client/v3/register/email/requestToken";
/// Where a text message is asked for.
pub(crate) const MSISDN: &str = "/_matrix/client/v3/register/msisdn/requestToken";
/// Where the page behind a link posts to.
pub(crate) const CONFIRM: &str = "/_matrix/client/v3/validate/email/confirm";
/// Where a code is submitted.
pub(crate) const CODE: &str = "/_matrix/client/v3/validate/msisdn/submitToken";

/// The stages that addresses are proven in.
pub(crate) const MAIL_STAGE: &str = "m.login.email.identity";
pub(crate) const SMS_STAGE: &str = "m.login.msisdn";

/// Mail is sent, texts too, and there is a use for both; without either there is still a flow.
pub(crate) const MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "Accounts <no-reply@example.org>");
pub(crate) const SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "GB US");
pub(crate) const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn m.login.dummy",
);
pub(crate) const LIMITED: (&str, &str) = ("GATEHOUSE_LIMITS", "on");

/// A house that sends mails and texts, with these settings besides.
pub(crate) async fn test_server(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&[MAIL, SMS, FLOWS], settings].concat()).await
}

/// What is asked for a mail to `address`.
pub(crate) fn mail_to(address: &str, secret: &str, attempt: i64) -> Value {
    json!({ "email": address, "client_secret": secret, "send_attempt": attempt })
}

/// What is asked for a text message to a number with its country's code.
pub(crate) fn text_to(digits: &str, secret: &str, attempt: i64) -> Value {
    json!({
        "country": "GB", "phone_number": format!("+{digits}"),
        "client_secret": secret, "send_attempt": attempt,
    })
}

/// Asks for a message, of the medium that the body speaks of.
pub(crate) async fn request_message(server: &TestServer, body: &Value) -> Reply {
    server.post(request_token_path(body), body).await
}

/// The same, from another network; which, its number says.
pub(crate) async fn request_message_from(server: &TestServer, network: u32, body: &Value) -> Reply {
    let request =
        Request::post(request_token_path(body)).header("content-type", "application/json");
    let request = request.body(body.to_string().into_bytes()).unwrap();
    server.send_from(peer(network), request).await
}

/// The purposes other than signing up, by where they are asked for.
pub(crate) const RESET: &str = "account/password";
pub(crate) const ADD: &str = "account/3pid";

/// Asks for a message of the medium that the body speaks of, for this purpose.
pub(crate) async fn request_token_for(server: &TestServer, purpose: &str, body: &Value) -> Reply {
    let medium = if body.get("email").is_some() {
        "email"
    } else {
        "msisdn"
    };
    let path = format!("/_matrix/client/v3/{purpose}/{medium}/requestToken");
    server.post(&path, body).await
}

/// The session that an accepted request of this purpose belongs to.
pub(crate) async fn session_for(server: &TestServer, purpose: &str, body: &Value) -> String {
    let answer = request_token_for(server, purpose, body).await.ok();
    answer["sid"].as_str().unwrap().to_owned()
}

/// An address in the network of this number.
pub(crate) fn peer(network: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + network).into()
}

fn request_token_path(body: &Value) -> &'static str {
    if body.get("email").is_some() {
        EMAIL
    } else {
        MSISDN
    }
}

/// The session that an accepted request belongs to.
pub(crate) async fn session(server: &TestServer, body: &Value) -> String {
    let answer = request_message(server, body).await.ok();
    answer["sid"].as_str().unwrap().to_owned()
}

/// The link in a mail: `sid=…&token=…`, which is also what its page posts.
pub(crate) fn link(message: &Message) -> String {
    let links: Vec<_> = message.links().collect();
    let [link] = links[..] else {
        panic!("not one link: {message:?}");
    };
    link.split_once('?').unwrap().1.to_owned()
}

/// The code in a text message, from the line that phones read.
pub(crate) fn code(message: &Message) -> String {
    let (_, code) = message.text.trim_end().rsplit_once(" #").unwrap();
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
    code.to_owned()
}

/// Presses the button of the page behind a link.
pub(crate) async fn confirm(server: &TestServer, link: &str) -> Reply {
    super::submit(server, CONFIRM, link).await
}

/// Submits a code, as clients do.
pub(crate) async fn submit_code(server: &TestServer, sid: &str, secret: &str, code: &str) -> Reply {
    let body = json!({ "sid": sid, "client_secret": secret, "token": code });
    server.post(CODE, &body).await
}

/// A registration by a validated address.
pub(crate) fn with_proof(name: &str, stage: &str, sid: &str, secret: &str) -> Value {
    json!({
        "username": name, "password": PASSWORD,
        "auth": { "type": stage, "threepid_creds": { "sid": sid, "client_secret": secret } },
    })
}

/// Makes an account that has the address which this request is about, as people do.
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
    let body = with_proof(name, stage, &sid, secret);
    server.register(&body).await.ok();
    server.local.outbox().clear();
}

/// How many rows of the outbox have each status.
pub(crate) fn statuses(server: &TestServer) -> BTreeMap<String, usize> {
    let mut statuses = BTreeMap::new();
    for row in server.local.engine().table("Outbox").unwrap() {
        let status = row["status"]["S"].as_str().unwrap().to_owned();
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

/// Statuses that are expected.
pub(crate) fn expected_statuses(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let pairs = expected.iter();
    pairs
        .map(|(status, count)| ((*status).to_owned(), *count))
        .collect()
}

/// Puts a row into a table, past the functions; `suffix` is how the table's name ends.
pub(crate) fn put(server: &TestServer, suffix: &str, item: &Value) {
    let table = format!("{}-{suffix}", server.local.config().tables);
    let item = json!({ "TableName": table, "Item": item });
    server.raw_dynamodb("PutItem", &item);
}

/// The row with this partition key.
pub(crate) fn row(server: &TestServer, table: &str, pk: &str) -> Value {
    let rows = server.local.engine().table(table).unwrap();
    let mut own = rows.into_iter().filter(|row| row["pk"]["S"] == pk);
    own.next().unwrap()
}

/// Lets the schedule ring this often, so long after one another.
pub(crate) async fn run_schedules(server: &TestServer, times: u32, pause: std::time::Duration) {
    for _ in 0..times {
        server.advance(pause);
        server.run_schedule().await;
    }
}
