//! Table rows with named fields, so that only this file depends on the stored attribute names.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use test_support::TestServer;

use super::support::{rows_of, text};

/// A validation session.
pub(crate) struct Validation {
    pub(crate) sid: String,
    pub(crate) purpose: String,
    pub(crate) medium: String,
    pub(crate) address: String,
    pub(crate) state: String,
    /// The value from which links and codes are derived.
    pub(crate) generation: String,
    /// The number of messages.
    pub(crate) sends: i64,
    /// The number of wrong guesses at the current code.
    pub(crate) wrong: i64,
    pub(crate) has_next_link: bool,
    /// The whole row.
    pub(crate) json: String,
}

impl From<&Value> for Validation {
    fn from(row: &Value) -> Self {
        let string = |name: &str| text(&row[name], "S").to_owned();
        let number = |name: &str| text(&row[name], "N").parse().unwrap();
        Self {
            sid: string("pk"),
            purpose: string("purpose"),
            medium: string("medium"),
            address: string("address"),
            state: string("state"),
            generation: string("generation"),
            sends: number("sends"),
            wrong: number("wrong"),
            has_next_link: row.get("next_link").is_some(),
            json: row.to_string(),
        }
    }
}

/// All validation sessions.
pub(crate) fn validations(server: &TestServer) -> Vec<Validation> {
    let rows = server.local.dynamodb().table("Proofs").unwrap();
    rows.iter().map(Validation::from).collect()
}

/// The validation session with this ID.
#[track_caller]
pub(crate) fn validation(server: &TestServer, sid: &str) -> Validation {
    let mut rows = validations(server).into_iter();
    rows.find(|row| row.sid == sid).unwrap()
}

/// The number of validation sessions in this state.
pub(crate) fn validations_in(server: &TestServer, state: &str) -> usize {
    let rows = validations(server).into_iter();
    rows.filter(|row| row.state == state).count()
}

/// The number of messages in the outbox.
pub(crate) fn queued(server: &TestServer) -> usize {
    server.local.dynamodb().table("Outbox").unwrap().len()
}

/// The outbox row of the last message of a validation session, as JSON.
pub(crate) fn message_of(server: &TestServer, sid: &str) -> String {
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    let row = rows.iter().find(|row| row["sid"]["S"] == sid).unwrap();
    row.to_string()
}

/// The security notifications in the outbox, as sorted pairs of type and recipient.
pub(crate) fn notifications(server: &TestServer) -> Vec<(String, String)> {
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

/// A device of an account.
pub(crate) struct Device {
    pub(crate) display_name: Option<String>,
    pub(crate) access_hash: String,
    pub(crate) refresh_hash: Option<String>,
}

/// The devices of an account.
pub(crate) fn devices(server: &TestServer, localpart: &str) -> Vec<Device> {
    let rows = rows_of(server, localpart).into_iter();
    rows.filter(|(key, _)| key.starts_with("DEV#"))
        .map(|(_, row)| {
            let string = |name: &str| row[name]["S"].as_str().map(str::to_owned);
            Device {
                display_name: string("display_name"),
                access_hash: string("access_hash").unwrap(),
                refresh_hash: string("refresh_hash"),
            }
        })
        .collect()
}

/// The password hash of an account, if it has one.
pub(crate) fn password_hash(server: &TestServer, localpart: &str) -> Option<String> {
    let rows = rows_of(server, localpart);
    let row = rows.iter().find(|(key, _)| key == "PW");
    row.map(|(_, row)| text(&row["phc"], "S").to_owned())
}

/// A 3PID that an account has bound at an identity server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) key: String,
    pub(crate) id_server: String,
    pub(crate) medium: String,
    pub(crate) address: String,
    pub(crate) bound: i64,
}

/// The recorded bindings of an account.
pub(crate) fn bindings(server: &TestServer, localpart: &str) -> Vec<Binding> {
    let rows = rows_of(server, localpart).into_iter();
    rows.filter(|(key, _)| key.starts_with("BIND#"))
        .map(|(key, row)| {
            let string = |name: &str| text(&row[name], "S").to_owned();
            Binding {
                key,
                id_server: string("id_server"),
                medium: string("medium"),
                address: string("address"),
                bound: text(&row["bound"], "N").parse().unwrap(),
            }
        })
        .collect()
}

/// The rows of the table of accounts, as JSON.
pub(crate) fn account_rows(server: &TestServer) -> Vec<String> {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    rows.iter().map(Value::to_string).collect()
}

/// The number of accounts.
pub(crate) fn accounts(server: &TestServer) -> usize {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let account =
        |row: &&Value| text(&row["pk"], "S").starts_with("USER#") && row["sk"]["S"] == "A";
    rows.iter().filter(account).count()
}

/// The UIA sessions, as JSON.
pub(crate) fn uia_sessions(server: &TestServer) -> Vec<String> {
    let rows = server.local.dynamodb().table("UiaSessions").unwrap();
    rows.iter().map(Value::to_string).collect()
}

/// The owner of each 3PID. Asserts that each 3PID is claimed by the account that has its row, and by no other account.
#[track_caller]
pub(crate) fn threepid_owners(server: &TestServer) -> BTreeMap<String, String> {
    let (mut claims, mut own) = (BTreeMap::new(), BTreeMap::new());
    for row in server.local.dynamodb().table("Accounts").unwrap() {
        let (pk, sk) = (text(&row["pk"], "S"), text(&row["sk"], "S"));
        let address = |key: &str| key.rsplit_once('#').unwrap().1.to_owned();
        if pk.starts_with("3PID#") {
            claims.insert(address(pk), text(&row["owner"], "S").to_owned());
        } else if sk.starts_with("3PID#") {
            let owner = pk.strip_prefix("USER#").unwrap().to_owned();
            let before = own.insert(address(sk), owner);
            assert_eq!(before, None, "two accounts have {sk}");
        }
    }
    assert_eq!(claims, own);
    claims
}

/// Sets a numeric attribute of an account directly in the table.
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
