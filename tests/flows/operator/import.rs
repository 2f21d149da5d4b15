//! The import of users of another server, with their password hashes.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{fmt::Write, path::PathBuf, sync::Arc};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{NOW, TestServer};

use crate::{
    api::support::rows_of,
    flows::support::{
        account_helpers::{
            Device, OTHER_PASSWORD, PASSWORD_PATH, log_in, password_of, sign_up, try_login,
            with_auth,
        },
        run_operator,
        threepid_helpers::{claims, owned},
    },
};

/// The password of every hash below. The hashes were made with Python's bcrypt and passlib.
pub(super) const OSTRICH: &str = "ostrich lamp 8 quarrel";
pub(super) const BCRYPT: &str = "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa";
const PEPPERED: &str = "$2b$04$0PJjPh38QjyWwVV3PD9hO.GR49B4N0nR.wO6lcDQW7RGLol5.jGqG";
pub(super) const PBKDF2: &str =
    "$pbkdf2-sha256$1000$YwzhfA8B4FwLofR.TwnhnA$7cmLV9TKaDBXTTsrB9eyBTuyT.yvKAehaJHynEDkHXE";
const PEPPER: (&str, &str) = ("GATEHOUSE_IMPORTED_PEPPER", "a pepper");

/// A file to import.
pub(super) struct File(TempDir, PathBuf);

impl File {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        Self(directory, path)
    }

    pub(super) fn path(&self) -> &str {
        assert!(self.0.path().is_dir());
        self.1.to_str().unwrap()
    }

    /// Imports the file and returns the report of the command, and whether the command succeeded.
    pub(super) async fn import(&self, server: &TestServer, options: &[&str]) -> (Value, bool) {
        let all = [&["users", "import", self.path()], options].concat();
        let report = run_operator(server, &all).await.unwrap();
        (report.json, !report.failed)
    }
}

/// The members `new` and `imported_before` of a report, and the numbers of the invalid lines.
pub(super) fn tally(report: &Value) -> (u64, u64, Vec<u64>) {
    let faults = report["faults"].as_array().unwrap().iter();
    let lines = faults.map(|fault| fault["line"].as_u64().unwrap());
    let number = |name: &str| report[name].as_u64().unwrap();
    (number("new"), number("imported_before"), lines.collect())
}

fn phc_of(server: &TestServer, name: &str) -> String {
    let rows = rows_of(server, name).into_iter();
    let mut passwords = rows.filter(|(sk, _)| sk == "PW");
    let (_, row) = passwords.next().unwrap();
    row["phc"]["S"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn users_are_imported_and_their_first_login_renews_the_hash() {
    let server = TestServer::new().await;
    let file = File::new(
        "users.csv",
        &format!(
            "localpart,password_hash,emails,phones,created,deactivated,admin\n\
             alice,{BCRYPT},Alice@Example.org 1714564800; a@example.org 2024-05-01T12:00:00Z,447400123456 1714564800,1500000000,,1\n\
             bob,{PBKDF2},,,,f,0\n\
             carol,,,,,,\n\
             dave,{BCRYPT},dave@example.org 1714564800,,,true,\n"
        ),
    );
    let (report, well) = file.import(&server, &[]).await;
    assert!(well, "{report}");
    assert_eq!(tally(&report), (4, 0, vec![]));
    let shown = async |name: &str| server.admin_run(&["users", "show", name]).await.unwrap();
    let alice = shown("alice").await;
    assert_eq!(
        (&alice["created"], &alice["imported"]),
        (&json!(1_500_000_000_000_i64), &json!(NOW))
    );
    assert_eq!(alice["password"]["scheme"], "bcrypt");
    assert_eq!(shown("bob").await["password"]["scheme"], "pbkdf2-sha256");
    assert_eq!(shown("carol").await["password"], Value::Null);
    assert_eq!(shown("dave").await["status"], "deactivated");
    let all = claims(&server);
    assert_eq!(all.len(), owned(&server).len());
    assert_eq!(
        all.values().collect::<Vec<_>>(),
        ["alice", "alice", "alice"]
    );

    for (name, imported) in [("alice", BCRYPT), ("bob", PBKDF2)] {
        for wrong in ["", OTHER_PASSWORD, "ostrich lamp 8 quarrel "] {
            try_login(&server, name, wrong)
                .await
                .error(403, "M_FORBIDDEN");
        }
        assert_eq!(phc_of(&server, name), imported);
        log_in(&server, name, OSTRICH).await;
        let ours = phc_of(&server, name);
        assert!(ours.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{ours}");
        log_in(&server, name, OSTRICH).await;
        assert_eq!(phc_of(&server, name), ours);
    }
    let by_address = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "ALICE@example.org" },
        "password": OSTRICH,
    });
    server
        .post("/_matrix/client/v3/login", &by_address)
        .await
        .ok();
    for name in ["carol", "dave"] {
        try_login(&server, name, OSTRICH)
            .await
            .error(403, "M_FORBIDDEN");
        let taken = json!({ "username": name, "password": OTHER_PASSWORD, "auth": { "type": "m.login.dummy" } });
        server.register(&taken).await.error(400, "M_USER_IN_USE");
    }
    // A second import does not change users that exist, even if they have changed since the first.
    let (report, well) = file.import(&server, &[]).await;
    assert!(well);
    assert_eq!(tally(&report), (0, 4, vec![]));
    log_in(&server, "alice", OSTRICH).await;
}

/// The password stage accepts an imported hash too, and a new password replaces it.
#[tokio::test]
async fn uia_40_an_imported_password_completes_the_stage() {
    let server = TestServer::new().await;
    let line = json!({ "localpart": "alice", "password_hash": BCRYPT }).to_string();
    File::new("users.jsonl", &line).import(&server, &[]).await;
    let reset = json!({ "new_password": OTHER_PASSWORD });
    let device = Device::of(&try_login(&server, "alice", OSTRICH).await.ok());
    // The first round has the renewed hash of the first login, the second has the imported hash.
    for _ in 0..2 {
        let wrong = with_auth(reset.clone(), password_of("alice", "wrong", None));
        device
            .post(&server, PASSWORD_PATH, &wrong)
            .await
            .refused("M_FORBIDDEN");
        server.raw_dynamodb(
            "UpdateItem",
            &json!({
                "TableName": format!("{}-accounts", server.local.config().tables),
                "Key": { "pk": { "S": "USER#alice" }, "sk": { "S": "PW" } },
                "UpdateExpression": "SET phc = :phc",
                "ExpressionAttributeValues": { ":phc": { "S": BCRYPT } },
            }),
        );
    }
    let right = with_auth(reset, password_of("alice", OSTRICH, None));
    device.post(&server, PASSWORD_PATH, &right).await.ok();
    assert!(phc_of(&server, "alice").starts_with("$argon2id$"));
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

#[tokio::test]
async fn the_pepper_of_the_other_server_is_a_setting_in_no_row() {
    let server = TestServer::with(&[PEPPER]).await;
    let file = File::new(
        "users.csv",
        &format!("localpart,password_hash\nalice,{PEPPERED}\nbob,{BCRYPT}\n"),
    );
    let (_, well) = file.import(&server, &["--peppered"]).await;
    assert!(well);
    assert!(!server.dump().contains(PEPPER.1));
    // Bob's hash was made without the pepper, contrary to the operator's option.
    try_login(&server, "bob", OSTRICH)
        .await
        .error(403, "M_FORBIDDEN");
    log_in(&server, "alice", OSTRICH).await;
    log_in(&server, "alice", OSTRICH).await;
    let plain = TestServer::new().await;
    let all = ["users", "import", file.path(), "--peppered"];
    let refused = plain.admin_run(&all).await.unwrap_err().to_string();
    assert!(refused.contains("GATEHOUSE_IMPORTED_PEPPER"), "{refused}");
}

#[tokio::test]
async fn a_file_with_an_error_changes_nothing_and_lists_all_errors() {
    let server = TestServer::new().await;
    let before = server.dump();
    let hostile = [
        "$2b$31$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
        "$argon2id$v=19$m=4194304,t=1,p=1$vtveTBIPyY237Fx9CLby9Q$37O1eGfTlEKXyGmwLrB7ATulU/1w0oS4ngAjWZI0rx0",
        "$pbkdf2-sha256$1000000000$YwzhfA8B4FwLofR.TwnhnA$L7i9Ex39jDMQRkTcQ/D5h0RI/ZCAsU60fTCS3LbuFs0",
        "plain text",
    ];
    let mut lines = vec![json!({ "localpart": "good" })];
    for (number, hash) in hostile.iter().enumerate() {
        lines.push(json!({ "localpart": format!("user{number}"), "password_hash": hash }));
    }
    let at = |address: &str, time: Value| json!({ "address": address, "validated_at": time });
    lines.extend([
        json!({ "localpart": "Alice" }),
        json!({ "localpart": "good" }),
        json!({ "localpart": "one", "emails": [at("one@example.org", 5.into())] }),
        json!({ "localpart": "two", "emails": [at("ONE@example.org", 5.into())] }),
        json!({ "localpart": "three", "emails": [at("no address", 5.into())] }),
        json!({ "localpart": "four", "emails": [at("four@example.org", "one day".into())] }),
        json!({ "localpart": "five", "emails": [{ "address": "five@example.org" }] }),
        json!({ "localpart": "six", "created": NOW + 1000 }),
        json!({ "localpart": "seven", "shadow_banned": true }),
        json!({ "localpart": "eight", "phones": [at("call me", 5.into())] }),
        json!({ "password_hash": BCRYPT }),
    ]);
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    let file = File::new("users.jsonl", &text.join("\n"));
    for options in [&["--dry-run"][..], &[]] {
        let (report, well) = file.import(&server, options).await;
        assert!(!well);
        let faulty: Vec<u64> = (2..=16).filter(|line| *line != 8).collect();
        assert_eq!(tally(&report), (0, 0, faulty), "{report}");
        for secret in hostile {
            assert!(!report.to_string().contains(secret), "{report}");
        }
    }
    assert_eq!(server.dump(), before);
    for name in ["users.txt", "users"] {
        let file = File::new(name, "localpart\nalice\n");
        let refused = server.admin_run(&["users", "import", file.path()]).await;
        assert!(refused.is_err(), "{name}");
    }
}

#[tokio::test]
async fn taken_names_and_addresses_are_reported_and_others_imported() {
    let server = TestServer::new().await;
    sign_up(&server, "alice").await;
    let text = "localpart,emails\nalice,\nbob,bob@example.org 5\ncarol,\n";
    let file = File::new("users.csv", text);
    let (report, well) = file.import(&server, &["--dry-run"]).await;
    assert_eq!((tally(&report), well), ((2, 0, vec![2]), false));
    assert!(claims(&server).is_empty());
    let (report, well) = file.import(&server, &[]).await;
    assert_eq!((tally(&report), well), ((2, 0, vec![2]), false));
    let other = File::new(
        "other.csv",
        "localpart,emails\nbob,\ndave,bob@example.org 5\ncarol,\n",
    );
    for options in [&["--dry-run"][..], &[]] {
        let (report, _) = other.import(&server, options).await;
        assert_eq!(tally(&report), (0, 1, vec![2, 3]), "{report}");
    }
    assert_eq!(claims(&server).values().collect::<Vec<_>>(), ["bob"]);
}

/// After an interruption and after concurrent runs, each user exists once and completely.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_continues_where_it_was() {
    let server = Arc::new(TestServer::new().await);
    let mut text = "localpart,password_hash,emails\n".to_owned();
    for number in 0..60 {
        writeln!(text, "user{number},{BCRYPT},user{number}@example.org 5").unwrap();
    }
    let file = Arc::new(File::new("users.csv", &text));
    let fault = Fault::new(FaultKind::Throttle).on("TransactWriteItems");
    server.local.proxy().inject(fault.nth(20).times(u64::MAX));
    let all = ["users", "import", file.path()];
    let interrupted = run_operator(&server, &all).await.map(|report| report.json);
    let interrupted = interrupted.unwrap_err().to_string();
    assert!(interrupted.contains("interrupted after"), "{interrupted}");
    server.local.proxy().clear_faults();
    let some = claims(&server).len();
    assert!((1..60).contains(&some), "{some}");

    let run = || {
        let (server, file) = (Arc::clone(&server), Arc::clone(&file));
        tokio::spawn(async move { file.import(&server, &[]).await })
    };
    let (one, two) = (run(), run());
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    assert!(one.1 && two.1, "{one:?} {two:?}");
    let (one, two) = (tally(&one.0), tally(&two.0));
    assert_eq!(one.0 + two.0 + u64::try_from(some).unwrap(), 60);
    assert_eq!((one.0 + one.1, two.0 + two.1), (60, 60));
    assert_eq!((claims(&server).len(), owned(&server).len()), (60, 60));
    log_in(&server, "user59", OSTRICH).await;
}
