//! Changes by the operator with a homeserver, and the commands that compare and repair it (HS-17, HS-19).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use gatehouse_admin::environment::Environment;
use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{homeserver::set_homeserver_state, post_as},
    flows::{
        homeserver::pending,
        support::{
            account_helpers::{log_in, sign_up, try_login},
            homeserver::{Homeserver, Misbehaviour},
        },
    },
};

async fn run(server: &TestServer, arguments: &[&str]) -> Value {
    server.admin_run(arguments).await.unwrap()
}

#[tokio::test]
async fn hs_17_the_operators_changes_are_carried_over() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let device = sign_up(&server, "alice").await;
    run(&server, &["users", "lock", "alice"]).await;
    let user = homeserver.user("alice").unwrap();
    assert!(user.is_locked);
    // The keys of the device survive the lock.
    assert_eq!(homeserver.devices("alice"), [device.id.as_str()]);
    run(&server, &["users", "unlock", "alice"]).await;
    assert!(!homeserver.user("alice").unwrap().is_locked);
    assert_eq!(homeserver.devices("alice"), [device.id]);
    run(&server, &["users", "reset-password", "alice"]).await;
    assert_eq!(homeserver.devices("alice"), [""; 0]);
    run(&server, &["users", "deactivate", "alice", "--yes"]).await;
    assert!(homeserver.user("alice").unwrap().is_deactivated);
    run(
        &server,
        &["users", "deactivate", "alice", "--erase", "--yes"],
    )
    .await;
    assert!(homeserver.user("alice").unwrap().is_erased);
    assert_eq!(pending(&server), 0);
}

/// The admin CLI may run where the homeserver is not configured or cannot be reached.
#[tokio::test]
async fn hs_15_deliver_carries_over_the_operators_changes() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    sign_up(&server, "alice").await;
    let mut admin = server.admin();
    admin.environment = Environment::default();
    let cli = <gatehouse_admin::Cli as clap::Parser>::try_parse_from([
        "gatehouse-admin",
        "users",
        "deactivate",
        "alice",
        "--yes",
    ]);
    admin.run(&cli.unwrap().command).await.unwrap();
    assert!(!homeserver.user("alice").unwrap().is_deactivated);
    for _ in 0..2 {
        server.advance(Duration::from_mins(1));
        server.run_schedule().await;
    }
    assert!(homeserver.user("alice").unwrap().is_deactivated);
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn hs_19_pending_changes_are_listed() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    assert_eq!(
        run(&server, &["homeserver", "pending"]).await["pending"],
        json!([])
    );
    let mut devices = Vec::new();
    for name in ["alice", "bob"] {
        devices.push(sign_up(&server, name).await);
    }
    let logout = "/_matrix/client/v3/logout";
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    post_as(&server, &devices[0].token, logout, &json!({}))
        .await
        .ok();
    homeserver.set_misbehaviour(Some(Misbehaviour::Fails(400)));
    post_as(&server, &devices[1].token, logout, &json!({}))
        .await
        .ok();
    let listed = run(&server, &["homeserver", "pending"]).await;
    let rows = listed["pending"].as_array().unwrap();
    let of = |name: &str| rows.iter().find(|row| row["user"] == name).unwrap();
    assert_eq!((rows.len(), &of("alice")["rejection"]), (2, &Value::Null));
    assert_eq!(of("bob")["rejection"], "status 400 M_UNKNOWN");
    assert_eq!(of("bob")["attempts"], 1);
    homeserver.set_misbehaviour(None);
    let checks = run(&server, &["doctor"]).await;
    let checks = checks["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(check("homeserver")["state"], "ok");
    let found = check("changes for the homeserver");
    assert_eq!(found["state"], "warn");
    assert!(
        found["found"]
            .as_str()
            .unwrap()
            .contains("pending changes: 2, of which the homeserver rejected 1")
    );
}

#[tokio::test]
async fn hs_19_doctor_finds_a_wrong_secret() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.set_misbehaviour(Some(Misbehaviour::Fails(403)));
    let checks = run(&server, &["doctor"]).await;
    let checks = checks["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["name"] == "homeserver")
        .unwrap();
    assert_eq!(check["state"], "fail");
}

#[tokio::test]
async fn hs_19_differences_are_found_and_repaired() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    for name in ["equal", "missing", "gone", "alive", "foreign"] {
        sign_up(&server, name).await;
    }
    let kept = log_in(&server, "equal", PASSWORD).await;
    homeserver.remove("missing");
    homeserver.change("equal", |user| {
        user.devices.insert("STALE".to_owned(), String::new());
        user.devices.remove(&kept.id);
    });
    homeserver.change("gone", |user| user.is_deactivated = true);
    run(&server, &["users", "deactivate", "alive", "--yes"]).await;
    homeserver.change("alive", |user| user.is_deactivated = false);
    set_homeserver_state(&server, "foreign", "none");
    let before = homeserver.user("foreign");

    let sync = ["homeserver", "sync", "--dry-run"];
    let report = run(&server, &sync).await;
    assert_eq!(
        (&report["compared"], &report["in_line"]),
        (&json!(5), &json!(0))
    );
    let found = |report: &Value| -> Vec<String> {
        let users = report["users"].as_array().unwrap().iter();
        users
            .map(|user| {
                format!(
                    "{}: {}",
                    user["user"].as_str().unwrap(),
                    user["difference"].as_str().unwrap()
                )
            })
            .collect()
    };
    assert_eq!(
        found(&report),
        [
            "alive: is deactivated here, but not at the homeserver",
            "foreign: has the name of a user of the homeserver that was not created here",
            "gone: is deactivated at the homeserver, but not here",
            "missing: does not exist at the homeserver",
        ]
    );
    assert!(homeserver.user("missing").is_none());

    let report = run(&server, &["homeserver", "sync"]).await;
    assert_eq!(report["in_line"], 3);
    let devices = homeserver.devices("equal");
    assert!(devices.contains(&kept.id) && !devices.contains(&"STALE".to_owned()));
    assert!(homeserver.user("alive").unwrap().is_deactivated);
    assert_eq!(homeserver.devices("missing").len(), 1);
    assert_eq!(homeserver.user("foreign"), before);
    let report = run(
        &server,
        &["homeserver", "sync", "missing", "alive", "equal"],
    )
    .await;
    assert_eq!((&report["compared"], found(&report).len()), (&json!(3), 0));
    homeserver.assert_no_violations();
}

#[tokio::test]
async fn hs_19_the_operator_can_adopt_a_user() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    sign_up(&server, "alice").await;
    set_homeserver_state(&server, "alice", "foreign");
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    let adopt = ["homeserver", "adopt", "alice"];
    assert!(server.admin_run(&adopt).await.is_err());
    let confirmed = [&adopt[..], &["--yes"]].concat();
    run(&server, &confirmed).await;
    let device = log_in(&server, "alice", PASSWORD).await;
    assert!(homeserver.devices("alice").contains(&device.id));
    // A user cannot be adopted twice, and a user that does not exist cannot be adopted.
    assert!(server.admin_run(&confirmed).await.is_err());
    assert!(
        server
            .admin_run(&["homeserver", "adopt", "bob", "--yes"])
            .await
            .is_err()
    );
}
