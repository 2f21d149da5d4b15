//! Words for the addresses of an account: proving one for it, adding, listing and removing.
//!
//! As in `threepids`, what a message brings is made here from the row of its session.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::{
    support::{post_as, text},
    threepids::{MAIL, SMS, rows, submit, token},
};

/// Where addresses are listed, and added by the deprecated form.
pub(crate) const LIST: &str = "/_matrix/client/v3/account/3pid";
/// Where they are added with a password.
pub(crate) const ADD: &str = "/_matrix/client/v3/account/3pid/add";
/// Where they are removed.
pub(crate) const DELETE: &str = "/_matrix/client/v3/account/3pid/delete";

pub(crate) const ALICE: &str = "alice@example.org";
pub(crate) const BOB: &str = "bob@example.org";
pub(crate) const NUMBER: &str = "447400123456";

/// A house that writes to both kinds of address, with these settings besides.
pub(crate) async fn test_server(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&[MAIL, SMS], settings].concat()).await
}

/// A new user's access token.
pub(crate) async fn user(server: &TestServer, name: &str) -> String {
    text(&server.sign_up(name).await, "access_token").to_owned()
}

/// What kind of address it is.
pub(crate) fn medium(address: &str) -> &'static str {
    if address.contains('@') {
        "email"
    } else {
        "msisdn"
    }
}

/// What is asked for a message to this address, to add it.
pub(crate) fn wish(address: &str, secret: &str) -> (String, Value) {
    let kind = medium(address);
    let path = format!("/_matrix/client/v3/account/3pid/{kind}/requestToken");
    let common = json!({ "client_secret": secret, "send_attempt": 1 });
    let own = match kind {
        "email" => json!({ "email": address }),
        _ => json!({ "country": "GB", "phone_number": format!("+{address}") }),
    };
    (path, super::threepids::with(common, &own))
}

/// Asks for a message to an address, to add it, and gives the credentials of its session.
pub(crate) async fn ask(server: &TestServer, address: &str, secret: &str) -> Value {
    let (path, body) = wish(address, secret);
    let answer = server.post(&path, &body).await.ok();
    json!({ "sid": answer["sid"], "client_secret": secret })
}

/// Shows that the message has arrived.
pub(crate) async fn validate(server: &TestServer, address: &str, creds: &Value) {
    let (sid, secret) = (text(creds, "sid"), text(creds, "client_secret"));
    let token = token(server, medium(address), sid);
    submit(server, medium(address), sid, secret, &token)
        .await
        .ok();
}

/// The credentials of a session that proves an address, to add it.
pub(crate) async fn prove(server: &TestServer, address: &str, secret: &str) -> Value {
    let creds = ask(server, address, secret).await;
    validate(server, address, &creds).await;
    creds
}

/// Adds by the deprecated form.
pub(crate) async fn add(server: &TestServer, token: &str, creds: &Value) -> Reply {
    post_as(server, token, LIST, &json!({ "three_pid_creds": creds })).await
}

/// Somebody gets an address.
pub(crate) async fn give(server: &TestServer, token: &str, address: &str) {
    let creds = prove(server, address, "to-give").await;
    assert_eq!(add(server, token, &creds).await.ok(), json!({}));
}

/// What is said to add an address with a password in the same request.
pub(crate) fn with_password(name: &str, creds: &Value) -> Value {
    let who = json!({ "type": "m.id.user", "user": name });
    let auth = json!({ "type": "m.login.password", "identifier": who, "password": PASSWORD });
    super::threepids::with(creds.clone(), &json!({ "auth": auth }))
}

/// Removes an address.
pub(crate) async fn remove(server: &TestServer, token: &str, address: &str) -> Reply {
    let body = json!({ "medium": medium(address), "address": address });
    post_as(server, token, DELETE, &body).await
}

/// The addresses that somebody sees as theirs, in order.
pub(crate) async fn list(server: &TestServer, token: &str) -> Vec<String> {
    let answer = server.get_as(token, LIST).await.ok();
    let all = answer["threepids"].as_array().unwrap();
    let mut all: Vec<String> = all
        .iter()
        .map(|own| text(own, "address").to_owned())
        .collect();
    all.sort();
    all
}

/// Who has which address, by the tables: each is claimed by the one under whom it stands, and by
/// nobody else.
#[track_caller]
pub(crate) fn owners(server: &TestServer) -> BTreeMap<String, String> {
    let (mut claims, mut own) = (BTreeMap::new(), BTreeMap::new());
    for row in server.local.dynamodb().table("Accounts").unwrap() {
        let (pk, sk) = (text(&row["pk"], "S"), text(&row["sk"], "S"));
        let address = |key: &str| key.rsplit_once('#').unwrap().1.to_owned();
        if pk.starts_with("3PID#") {
            claims.insert(address(pk), text(&row["owner"], "S").to_owned());
        } else if sk.starts_with("3PID#") {
            let owner = pk.strip_prefix("USER#").unwrap().to_owned();
            let before = own.insert(address(sk), owner);
            assert_eq!(before, None, "two have {sk}");
        }
    }
    assert_eq!(claims, own);
    claims
}

/// How many validation sessions are in this state.
pub(crate) fn proofs_in(server: &TestServer, state: &str) -> usize {
    let rows = rows(server);
    rows.iter().filter(|row| row["state"]["S"] == state).count()
}

/// Sets a number on somebody's account, past the functions.
pub(crate) fn set_number(server: &TestServer, name: &str, attribute: &str, number: i64) {
    let update = json!({
        "TableName": format!("{}-accounts", server.local.config().tables),
        "Key": { "pk": { "S": format!("USER#{name}") }, "sk": { "S": "A" } },
        "UpdateExpression": format!("SET {attribute} = :number"),
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": { ":number": { "N": number.to_string() } },
    });
    server.raw_dynamodb("UpdateItem", &update);
}

/// Who was told of what, as far as mails were called for: the kinds of notice and the addresses.
pub(crate) fn notices(server: &TestServer) -> Vec<(String, String)> {
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    let own = rows.iter().filter(|row| row["content"]["S"] == "notice");
    let mut all: Vec<_> = own
        .map(|row| {
            let part = |name: &str| text(&row[name], "S").to_owned();
            (part("notice"), part("address"))
        })
        .collect();
    all.sort();
    all
}
