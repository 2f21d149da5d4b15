//! Imports of files as databases, spreadsheets and other servers write them.

use serde_json::json;
use test_support::TestServer;

use super::import::{BCRYPT, File, OSTRICH, PBKDF2, tally};
use crate::flows::support::{
    account_helpers::{OTHER_PASSWORD, log_in, try_login},
    run_operator,
};

/// The hashes of OSTRICH as other servers write them. They were made with Python's hashlib.
#[tokio::test]
async fn hashes_in_the_notations_of_other_servers_log_in() {
    let server = TestServer::new().await;
    let django = "pbkdf2_sha256$1000$Kq3cV8mXyW2rT5zB$YEfk/G/d6tfkIa9ijgaEYPLfpjoDROnAisAc4Jn2U8o=";
    let werkzeug = "pbkdf2:sha256:1000$Kq3cV8mXyW2rT5zB$6047e4fc6fddead7e421af628e068460f2dfa63a0344e9c08ac01ce099f653ca";
    let ldap = PBKDF2.replace("$pbkdf2-sha256$", "{PBKDF2-SHA256}");
    let keycloak = json!({
        "secretData": json!({ "value": "YEfk/G/d6tfkIa9ijgaEYPLfpjoDROnAisAc4Jn2U8o=", "salt": "S3EzY1Y4bVh5VzJyVDV6Qg==" }).to_string(),
        "credentialData": json!({ "hashIterations": 1000, "algorithm": "pbkdf2-sha256" }).to_string(),
    });
    let hashes = [
        json!(format!("{{BLF-CRYPT}}{BCRYPT}")),
        json!(format!("{{bcrypt}}{BCRYPT}")),
        json!(format!("bcrypt${BCRYPT}")),
        json!(django),
        json!(werkzeug),
        json!(ldap),
        keycloak.clone(),
        json!(keycloak.to_string()),
    ];
    let lines = hashes.iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(number, hash)| {
            json!({ "localpart": format!("user{number}"), "password_hash": hash }).to_string()
        })
        .collect();
    let (report, well) = File::new("users.jsonl", &lines.join("\n"))
        .import(&server, &[])
        .await;
    assert!(well, "{report}");
    for number in 0..hashes.len() {
        let name = format!("user{number}");
        try_login(&server, &name, OTHER_PASSWORD)
            .await
            .error(403, "M_FORBIDDEN");
        log_in(&server, &name, OSTRICH).await;
    }
}

/// Databases and spreadsheets write such files.
#[tokio::test]
async fn a_file_of_a_spreadsheet_is_imported() {
    let server = TestServer::with(&[("GATEHOUSE_SERVER_NAME", "example.org")]).await;
    let text = "\u{feff}Localpart;Emails;Phones;Created;Deactivated\r\n\
                alice;a@x.org 2024-05-01 12:00:00+00;+49 151 23456789 2024-05-01;2024-05-01 12:00:00.5+00;False\r\n\
                @bob:example.org;NULL;;1714564800.123;TRUE\r\n";
    let (report, well) = File::new("USERS.CSV", text).import(&server, &[]).await;
    assert_eq!((tally(&report), well), ((2, 0, vec![]), true), "{report}");
    let alice = server.admin_run(&["users", "show", "alice"]).await.unwrap();
    assert_eq!(alice["created"], 1_714_564_800_500_i64);
    assert_eq!(alice["addresses"][1]["address"], "4915123456789");
    let bob = server.admin_run(&["users", "show", "bob"]).await.unwrap();
    assert_eq!(
        (&bob["created"], &bob["status"]),
        (&json!(1_714_564_800_123_i64), &json!("deactivated"))
    );
}

/// A mistake in an export usually occurs in every line.
#[tokio::test]
async fn an_error_of_the_whole_file_is_one_message() {
    let server = TestServer::new().await;
    let error = async |name: &str, text: &str| {
        let file = File::new(name, text);
        let arguments = ["users", "import", file.path()];
        format!("{:#}", run_operator(&server, &arguments).await.unwrap_err())
    };
    let header = error(
        "a.csv",
        &format!("localpart,passhash\n{}", "bob,x\n".repeat(50_000)),
    )
    .await;
    assert!(
        header
            .contains("line 1: the column `passhash` is not known; the known names are localpart"),
        "{header}"
    );
    assert!(header.len() < 400, "{header}");
    let array = error("a.json", "[{\"localpart\":\"bob\"}]").await;
    assert!(array.contains("jq -c '.[]'"), "{array}");
    let file = File::new(
        "a.csv",
        &format!("localpart,created\n{}", "bob,soon\n".repeat(1000)),
    );
    let report = run_operator(&server, &["users", "import", file.path()])
        .await
        .unwrap();
    assert_eq!(report.text.lines().count(), 22, "{}", report.text);
    assert!(
        report
            .text
            .contains("980 more lines: `created` is not a time"),
        "{}",
        report.text
    );
    let phone = File::new("a.csv", "localpart,phones\nbob,0151 23456789 5\n");
    let report = run_operator(&server, &["users", "import", phone.path()])
        .await
        .unwrap();
    assert!(
        report.text.contains("a phone number is not valid"),
        "{}",
        report.text
    );
}
