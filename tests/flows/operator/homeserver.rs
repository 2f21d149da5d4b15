//! Changes by the operator with a homeserver, and the commands that compare and repair it (HS-17, HS-19).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{fs, time::Duration};

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
            run_operator,
            synapse::Synapse,
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

/// A database with the users of the fake homeserver, in which the operator's changes are not visible, and with users that
/// exist only there.
fn database(homeserver: &Homeserver, names: &[&str]) -> Synapse {
    let synapse = Synapse::new();
    for name in names {
        synapse.user(name, None);
        for device in homeserver.devices(name) {
            synapse.device(name, &device);
        }
    }
    for name in ["only", "Capital", "ended", "guest", "bridge"] {
        synapse.user(name, None);
        synapse.device(name, "THEIRS");
    }
    synapse.set("ended", "deactivated", &true);
    synapse.set("guest", "is_guest", &true);
    synapse.set("bridge", "appservice_id", &"irc");
    for (device, is_hidden) in [("cross-signing", true), ("DEHYDRATED", false)] {
        synapse.device("alice", device);
        synapse.execute(
            "UPDATE devices SET hidden = ?1 WHERE device_id = ?2",
            &[&is_hidden, &device],
        );
    }
    let dehydrated = "INSERT INTO dehydrated_devices VALUES ('@alice:localhost', 'DEHYDRATED', '')";
    synapse.execute(dehydrated, &[]);
    synapse
}

/// Users and devices that only one side has are found in Synapse's database. Only devices are repaired, and only through
/// the endpoints of the homeserver.
#[tokio::test]
async fn hs_19_differences_are_found_in_the_database_of_synapse() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let own = sign_up(&server, "alice").await;
    let missing = log_in(&server, "alice", PASSWORD).await;
    sign_up(&server, "bob").await;
    sign_up(&server, "foreign").await;
    set_homeserver_state(&server, "foreign", "none");
    homeserver.change("alice", |user| {
        user.devices.insert("STRAY".to_owned(), String::new());
        user.devices.remove(&missing.id);
    });
    homeserver.create_foreign("only");
    let synapse = database(&homeserver, &["alice", "bob", "foreign"]);
    let config = synapse.config("");
    let path = config.with_file_name("homeserver.db");
    let before = (fs::read(&path).unwrap(), homeserver.user("only"));
    let [config, path] = [&config, &path].map(|path| path.to_str().unwrap());
    let foreign = "has the name of a user of the homeserver that was not created here";
    let only = "exists only at the homeserver";
    let expected = json!([
        ["@Capital:localhost", only, [], []],
        ["alice", null, ["STRAY"], [missing.id]],
        ["foreign", foreign, [], []],
        ["only", only, [], []],
    ]);
    let rows = |report: &Value| -> Value {
        let rows = report["users"].as_array().unwrap().iter();
        let members = [
            "user",
            "difference",
            "devices_only_at_homeserver",
            "devices_only_here",
        ];
        rows.map(|row| Value::from_iter(members.map(|member| row[member].clone())))
            .collect()
    };
    let sync = ["homeserver", "sync", "--homeserver-config", config];
    let dry = run_operator(&server, &[&sync[..], &["--dry-run"]].concat()).await;
    let dry = dry.unwrap();
    assert_eq!(rows(&dry.json), expected);
    assert!(!dry.failed);
    assert!(
        dry.text
            .contains("alice has devices only at the homeserver: STRAY")
    );
    assert!(homeserver.devices("alice").contains(&"STRAY".to_owned()));

    homeserver.take_calls();
    let report = run_operator(&server, &sync).await.unwrap();
    assert_eq!(rows(&report.json), expected);
    // The operator must decide about the other users.
    assert!(report.failed);
    let mut devices = vec![own.id, missing.id];
    devices.sort();
    assert_eq!(homeserver.devices("alice"), devices);
    let calls = homeserver.take_calls();
    assert!(
        calls.iter().all(|call| !call.ends_with(" only")),
        "{calls:?}"
    );
    assert_eq!((fs::read(path).unwrap(), homeserver.user("only")), before);

    let named = [&sync[..], &["--database", path, "only", "bob"]].concat();
    let report = run(&server, &named).await;
    assert_eq!(rows(&report), json!([["only", only, [], []]]));
    let sync = ["homeserver", "sync", "only"];
    let report = run(&server, &sync).await;
    assert_eq!(report["users"][0]["error"], "there is no such account");
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
