//! The import of the accounts of a Synapse: what is imported and what is reported.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod interruptions;
mod token_ends;
mod tokens;
mod unchanged;

use std::{fs, time::Duration};

use rusqlite::Connection;
use serde_json::{Value, json};
use test_support::{NOW, TestServer};

use crate::{
    api::{
        rows::threepid_owners,
        support::{rows_of, whoami},
    },
    flows::{
        operator::import::{BCRYPT, OSTRICH},
        support::{
            account_helpers::{
                OTHER_PASSWORD, PASSWORD_PATH, log_in, password_of, sign_up, try_login, with_auth,
            },
            synapse::{Synapse, findings},
            users,
        },
    },
};

/// A hash of [`OSTRICH`] with the pepper `a pepper`.
const PEPPERED: &str = "$2b$04$0PJjPh38QjyWwVV3PD9hO.GR49B4N0nR.wO6lcDQW7RGLol5.jGqG";
const PEPPER: (&str, &str) = ("GATEHOUSE_IMPORTED_PEPPER", "a pepper");

/// The attribute of an account row.
fn attribute(server: &TestServer, name: &str, attribute: &str) -> Value {
    let rows = rows_of(server, name);
    let (_, row) = rows.iter().find(|(sk, _)| sk == "A").unwrap();
    let value = row[attribute].as_object();
    value.map_or(Value::Null, |value| value.values().next().unwrap().clone())
}

/// A database with every kind of user.
fn every_kind_of_user() -> Synapse {
    let synapse = Synapse::new();
    for name in [
        "alice",
        "admin",
        "approval",
        "bridge",
        "deactivated",
        "erased",
        "external",
        "guest",
        "locked",
        "none",
        "pending",
        "shadow",
        "support",
        "suspended",
        "both",
        "valid",
        "Capital",
        "wrong_hash",
        "undead",
        "!@far:example.org",
        "!odd",
    ] {
        synapse.user(name, Some(BCRYPT));
    }
    for (name, column) in [
        ("admin", "admin"),
        ("deactivated", "deactivated"),
        ("erased", "deactivated"),
        ("guest", "is_guest"),
        ("locked", "locked"),
        ("both", "locked"),
        ("both", "suspended"),
        ("shadow", "shadow_banned"),
        ("suspended", "suspended"),
    ] {
        synapse.set(name, column, &true);
    }
    for name in ["deactivated", "erased", "external", "none"] {
        synapse.set(name, "password_hash", &None::<String>);
    }
    set_other_columns(&synapse);
    synapse
}

fn set_other_columns(synapse: &Synapse) {
    synapse.set("approval", "approved", &false);
    synapse.set("alice", "approved", &true);
    synapse.set("bridge", "appservice_id", &"irc");
    synapse.set("support", "user_type", &"support");
    synapse.set("wrong_hash", "password_hash", &"{SSHA}c2VjcmV0");
    synapse.set("alice", "creation_ts", &(NOW / 1000 + 5));
    for (sql, name) in [
        ("INSERT INTO erased_users VALUES (?1)", "erased"),
        ("INSERT INTO erased_users VALUES (?1)", "undead"),
        (
            "INSERT INTO users_pending_deactivation VALUES (?1)",
            "pending",
        ),
        (
            "INSERT INTO account_validity VALUES (?1, 1900000000000, 0, NULL, NULL)",
            "valid",
        ),
        (
            "INSERT INTO user_external_ids VALUES ('oidc-github', '5', ?1)",
            "external",
        ),
        (
            "INSERT INTO user_threepid_id_server VALUES (?1, 'email', 'alice@example.org', 'id.example')",
            "alice",
        ),
    ] {
        synapse.execute(sql, &[&format!("@{name}:localhost")]);
    }
}

#[tokio::test]
async fn hs_22_every_kind_of_user_is_imported_or_reported() {
    let synapse = every_kind_of_user();
    let server = TestServer::new().await;
    let before = server.dump();
    let (dry, _) = synapse.import(&server, &["--dry-run"]).await.unwrap();
    assert_eq!(server.dump(), before);
    let report = synapse.import_all(&server).await;
    assert_eq!(report, dry);
    let csv = fs::read_to_string(synapse.report()).unwrap();
    insta::assert_snapshot!(csv, @r#"
    user,account,finding,detail
    @Capital:localhost,not imported,username,"the username has characters other than lower-case letters, digits and `._=-/+`"
    @admin:localhost,imported,admin,"the user is a server administrator at Synapse, but no token of Gatehouse is one"
    @alice:localhost,imported,created,the time of creation is missing or in the future; the time of the import is used
    @alice:localhost,imported,binding,Synapse keeps the binding of `alice@example.org` at id.example
    @approval:localhost,imported,approval,an administrator has not approved the account; `users unlock` approves it
    @bridge:localhost,not imported,appservice,the user of the application service `irc` stays with the homeserver
    @external:localhost,imported,identity-provider,logins with `oidc-github` end; the user must set a password
    @far:example.org,not imported,username,the user ID does not end in `:localhost`
    @guest:localhost,not imported,guest,guests are not imported
    @none:localhost,imported,no-password,the account has no password; the user must set one for the next login
    @pending:localhost,imported,deactivation,Synapse has not finished the deactivation; the account is deactivated
    @pending:localhost,imported,deactivation,"the password, addresses and devices of the deactivated account are dropped"
    @shadow:localhost,imported,shadow-ban,Synapse does not apply shadow bans to tokens of Gatehouse
    @support:localhost,imported,user-type,the user type `support` stays with the homeserver
    @undead:localhost,imported,erasure,"the account is marked as erased, but is not deactivated"
    @valid:localhost,imported,validity,"the account is valid until 2030-03-17T17:46:40Z at Synapse, and without end here"
    @wrong_hash:localhost,imported,password,"the password hash has the scheme `{SSHA}`, which is not supported; supported are {BCRYPT}, {BLF-CRYPT}, {CRYPT} with bcrypt, {ARGON2}, {ARGON2ID}, {PBKDF2-SHA256} and {PBKDF2-SHA512}"
    odd,not imported,username,the user ID does not end in `:localhost`
    "#);
    assert_eq!(
        (&report["users"], &report["not_imported"]),
        (&json!(21), &json!(5))
    );
}

#[tokio::test]
async fn hs_22_the_state_of_an_account_is_that_of_the_user() {
    let synapse = every_kind_of_user();
    let server = TestServer::new().await;
    synapse.import_all(&server).await;
    for (name, status) in [
        ("alice", "active"),
        ("approval", "locked"),
        ("deactivated", "deactivated"),
        ("erased", "deactivated"),
        ("locked", "locked"),
        ("both", "locked"),
        ("pending", "deactivated"),
        ("suspended", "suspended"),
    ] {
        assert_eq!(attribute(&server, name, "status"), status, "{name}");
        assert_eq!(
            attribute(&server, name, "upstream"),
            "provisioned",
            "{name}"
        );
    }
    assert_eq!(attribute(&server, "both", "before_lock"), "suspended");
    assert_eq!(attribute(&server, "locked", "before_lock"), "active");
    assert_eq!(attribute(&server, "erased", "erased"), NOW.to_string());
    for name in ["deactivated", "undead"] {
        assert_eq!(attribute(&server, name, "erased"), Value::Null);
    }
    assert_eq!(attribute(&server, "admin", "created"), "1500000000000");
    assert_eq!(attribute(&server, "alice", "created"), NOW.to_string());
    for name in ["bridge", "guest", "capital", "Capital", "far", "odd"] {
        assert!(!users(&server).contains_key(name), "{name}");
    }
    log_in(&server, "alice", OSTRICH).await;
    log_in(&server, "suspended", OSTRICH).await;
    for name in ["wrong_hash", "none", "pending", "external"] {
        try_login(&server, name, OSTRICH)
            .await
            .error(403, "M_FORBIDDEN");
    }
    try_login(&server, "both", OSTRICH)
        .await
        .error(401, "M_USER_LOCKED");
}

#[tokio::test]
async fn hs_22_addresses_that_cannot_be_kept_are_reported() {
    let synapse = Synapse::new();
    for name in ["alice", "bob", "carol"] {
        synapse.user(name, Some(BCRYPT));
    }
    synapse.address("alice", "email", "Alice@Example.org", 5000);
    synapse.address("alice", "msisdn", "447400123456", 6000);
    synapse.address("bob", "email", "alice@example.org", 5000);
    synapse.address("bob", "email", "no address", 5000);
    synapse.address("bob", "pigeon", "coop", 5000);
    synapse.address("bob", "email", "taken@example.org", 5000);
    synapse.address("bob", "email", "late@example.org", NOW + 5);
    for number in 0..18 {
        synapse.address(
            "carol",
            "email",
            &format!("{number}@example.org"),
            5000 + number,
        );
    }
    let server = TestServer::new().await;
    // Another account of Gatehouse has one of the addresses.
    let other = Synapse::new();
    other.user("dave", None);
    other.address("dave", "email", "taken@example.org", 5000);
    other.import_all(&server).await;
    let (dry, _) = synapse.import(&server, &["--dry-run"]).await.unwrap();
    let report = synapse.import_all(&server).await;
    assert_eq!(report, dry);
    let owners = threepid_owners(&server);
    let of = |name: &str| owners.values().filter(|owner| *owner == name).count();
    assert_eq!(["alice", "bob", "carol", "dave"].map(of), [2, 1, 16, 1]);
    assert_eq!(owners["alice@example.org"], "alice");
    assert_eq!(owners["447400123456"], "alice");
    let of = |name: &str| {
        let all = findings(&report).into_iter();
        all.filter(|(user, kind)| user.contains(name) && kind == "address")
            .count()
    };
    assert_eq!(["alice", "bob", "carol"].map(of), [0, 5, 2], "{report}");
    // A repeated import reports the same.
    let again = synapse.import_all(&server).await;
    assert_eq!(again["findings"], report["findings"]);
    assert_eq!(
        (&again["new"], &again["imported_before"]),
        (&json!(0), &json!(3))
    );
}

#[tokio::test]
async fn a_taken_username_and_changed_data_are_failures() {
    let server = TestServer::new().await;
    sign_up(&server, "alice").await;
    let synapse = Synapse::new();
    for name in ["alice", "bob", "carol"] {
        synapse.user(name, Some(BCRYPT));
    }
    for options in [&["--dry-run"][..], &[]] {
        let (report, is_success) = synapse.import(&server, options).await.unwrap();
        assert!(!is_success);
        let taken = ("@alice:localhost".to_owned(), "taken".to_owned());
        assert_eq!(findings(&report), [taken], "{report}");
        assert_eq!(
            (&report["new"], &report["not_imported"]),
            (&json!(2), &json!(1))
        );
    }
    synapse.set("bob", "suspended", &true);
    let before = server.dump();
    for options in [&["--dry-run"][..], &[]] {
        let (report, is_success) = synapse.import(&server, options).await.unwrap();
        assert!(!is_success);
        let kinds: Vec<_> = findings(&report)
            .into_iter()
            .map(|(_, kind)| kind)
            .collect();
        assert_eq!(kinds, ["taken", "changed"], "{report}");
        assert_eq!(report["imported_before"], 1);
    }
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn the_pepper_is_that_of_synapses_configuration() {
    let server = TestServer::with(&[PEPPER]).await;
    let synapse = Synapse::new();
    synapse.user("alice", Some(PEPPERED));
    synapse.config("password_config:\n  pepper: a pepper");
    let report = synapse.import_all(&server).await;
    assert_eq!(report["needs_imported_pepper"], true);
    assert!(!server.dump().contains(PEPPER.1));
    log_in(&server, "alice", OSTRICH).await;
    synapse.config("password_config:\n  pepper: another pepper");
    let refused = synapse.import(&server, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("GATEHOUSE_IMPORTED_PEPPER"), "{refused}");
    assert!(!refused.contains("another pepper"), "{refused}");
}

/// The columns and tables that Synapse has added in the course of time may be missing.
#[tokio::test]
async fn the_tables_of_an_old_synapse_are_read() {
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    synapse.device("alice", "PHONE");
    let token = synapse.access("alice", "PHONE", None);
    for change in [
        "DROP TABLE refresh_tokens",
        "DROP TABLE erased_users",
        "DROP TABLE users_pending_deactivation",
        "DROP TABLE account_validity",
        "DROP TABLE user_external_ids",
        "DROP TABLE user_threepid_id_server",
        "DROP TABLE dehydrated_devices",
        "ALTER TABLE users DROP COLUMN locked",
        "ALTER TABLE users DROP COLUMN suspended",
        "ALTER TABLE users DROP COLUMN approved",
        "ALTER TABLE users DROP COLUMN shadow_banned",
        "ALTER TABLE users DROP COLUMN user_type",
        "ALTER TABLE devices DROP COLUMN hidden",
        "ALTER TABLE access_tokens DROP COLUMN used",
        "ALTER TABLE access_tokens DROP COLUMN refresh_token_id",
        "ALTER TABLE access_tokens DROP COLUMN puppets_user_id",
    ] {
        synapse.execute(change, &[]);
    }
    let server = TestServer::new().await;
    let report = synapse.import_all(&server).await;
    assert_eq!(report["findings"], json!([]));
    assert_eq!(whoami(&server, &token).await["device_id"], "PHONE");
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_an_error() {
    let server = TestServer::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.db"), "not a database, but long enough to be one").unwrap();
    Connection::open(path("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE a (b)")
        .unwrap();
    for (name, reason) in [
        ("missing.db", "cannot open"),
        ("text.db", "not a database"),
        ("other.db", "not a database of Synapse"),
    ] {
        let settings = [("GATEHOUSE_SERVER_NAME", "localhost")];
        let server = TestServer::with(&settings).await;
        let refused = server
            .admin_run(&["import", "synapse", "--dry-run", "--database", &path(name)])
            .await;
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains(reason), "{name}: {refused}");
        assert!(!fs::exists(path("missing.db")).unwrap());
    }
    let refused = server
        .admin_run(&["import", "synapse", "--database", &path("other.db")])
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("GATEHOUSE_SERVER_NAME"), "{refused}");
    let synapse = Synapse::new();
    synapse.user("alice", None);
    let other = TestServer::with(&[("GATEHOUSE_SERVER_NAME", "example.org")]).await;
    let refused = synapse.import(&other, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("example.org"), "{refused}");
}

/// The list of accounts whose password Synapse does not have, for the return to Synapse: a login replaces the hash, but
/// does not count as a new password.
#[tokio::test]
async fn a_password_that_was_set_since_the_import_is_shown() {
    let synapse = Synapse::new();
    for name in ["alice", "bob"] {
        synapse.user(name, Some(BCRYPT));
    }
    let server = TestServer::new().await;
    synapse.import_all(&server).await;
    server.advance(Duration::from_hours(1));
    let device = log_in(&server, "alice", OSTRICH).await;
    let is_unchanged = async |name: &str| {
        let shown = server.admin_run(&["users", "show", name]).await.unwrap();
        shown["password"]["set"] == shown["imported"]
    };
    assert!(is_unchanged("alice").await && is_unchanged("bob").await);
    let change = json!({ "new_password": OTHER_PASSWORD });
    let change = with_auth(change, password_of("alice", OSTRICH, None));
    device.post(&server, PASSWORD_PATH, &change).await.ok();
    assert!(!is_unchanged("alice").await);
}
