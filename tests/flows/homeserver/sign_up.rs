//! Registration and login: the user and the device exist at the homeserver before the client gets a token.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES};

use crate::{
    api::support::{WHOAMI, dummy_registration, homeserver::set_homeserver_state, post_as},
    flows::{
        homeserver::{assert_unavailable, pending},
        support::{
            DUMMY, POLICIES, TERMS,
            account_helpers::{
                ADDRESSES, Device, LOGIN, log_in, login_of, sign_up, sign_up_with, try_login,
            },
            flows,
            homeserver::{Homeserver, Misbehaviour},
            page, registration, stage, submit,
            threepid_helpers::{EMAIL, claims},
        },
    },
};

#[tokio::test]
async fn hs_11_a_registration_creates_user_and_device() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let body = json!({
        "username": "alice", "password": PASSWORD, "auth": { "type": DUMMY },
        "initial_device_display_name": "Phone",
    });
    let alice = Device::of(&server.register(&body).await.ok());
    let calls = [
        "is_localpart_available alice",
        "provision_user alice",
        "upsert_device alice",
    ];
    assert_eq!(homeserver.take_calls(), calls);
    let user = homeserver.user("alice").unwrap();
    assert_eq!(
        user.devices.into_iter().collect::<Vec<_>>(),
        [(alice.id.clone(), "Phone".to_owned())]
    );
    assert_eq!(pending(&server), 0);
    // A login creates a device for the user, who exists.
    let second = log_in(&server, "alice", PASSWORD).await;
    assert_eq!(homeserver.take_calls(), ["upsert_device alice"]);
    let mut expected = [alice.id, second.id];
    expected.sort();
    assert_eq!(homeserver.devices("alice"), expected);
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn hs_11_a_registration_without_login_creates_the_user() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let mut body = dummy_registration("alice");
    body["inhibit_login"] = true.into();
    server.register(&body).await.ok();
    let calls = ["is_localpart_available alice", "provision_user alice"];
    assert_eq!(homeserver.take_calls(), calls);
    assert_eq!(homeserver.devices("alice"), [""; 0]);
}

/// An existing device keeps its display name on both sides.
#[tokio::test]
async fn hs_17_a_login_with_a_known_device_keeps_its_name() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    sign_up(&server, "alice").await;
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = "DESK".into();
    body["initial_device_display_name"] = "Desk".into();
    server.post(LOGIN, &body).await.ok();
    body["initial_device_display_name"] = "Other".into();
    server.post(LOGIN, &body).await.ok();
    assert_eq!(homeserver.user("alice").unwrap().devices["DESK"], "Desk");
}

#[tokio::test]
async fn hs_10_a_name_of_the_homeserver_is_not_available() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.create_foreign("alice");
    let before = homeserver.user("alice");
    let available = |name: &str| format!("{}/register/available?username={name}", PREFIXES[1]);
    server
        .get(&available("alice"))
        .await
        .error(400, "M_USER_IN_USE");
    server
        .get(&available("bridge_7"))
        .await
        .error(400, "M_EXCLUSIVE");
    server.get(&available("bob")).await.ok();
    server
        .register(&registration("alice"))
        .await
        .error(400, "M_USER_IN_USE");
    server
        .register(&registration("bridge_7"))
        .await
        .error(400, "M_EXCLUSIVE");
    let one_request = dummy_registration("alice");
    server
        .register(&one_request)
        .await
        .error(400, "M_USER_IN_USE");
    assert_eq!(homeserver.user("alice"), before);
    // A name that is taken here and a malformed name need no call.
    sign_up(&server, "carol").await;
    homeserver.take_calls();
    server
        .get(&available("carol"))
        .await
        .error(400, "M_USER_IN_USE");
    server
        .get(&available("_x"))
        .await
        .error(400, "M_INVALID_USERNAME");
    assert_eq!(homeserver.take_calls(), [""; 0]);
}

#[tokio::test]
async fn hs_10_while_the_homeserver_is_down_no_name_is_available() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    server.expect_faults();
    for misbehaviour in [
        Misbehaviour::Down,
        Misbehaviour::Fails(500),
        Misbehaviour::Fails(403),
    ] {
        homeserver.set_misbehaviour(Some(misbehaviour));
        let available = format!("{}/register/available?username=alice", PREFIXES[1]);
        assert_unavailable(&server.get(&available).await);
        assert_unavailable(&server.register(&registration("alice")).await);
    }
    assert!(!server.dump().contains("alice"));
}

/// Another program creates a user with the name at the homeserver, between the check of the name and the creation.
#[tokio::test]
async fn hs_12_an_account_of_the_homeserver_is_never_taken_over() {
    let (homeserver, server) = Homeserver::with_server(&ADDRESSES).await;
    homeserver.create_foreign_after_check("alice");
    let one_request = dummy_registration("alice");
    server
        .register(&one_request)
        .await
        .error(400, "M_USER_IN_USE");
    let foreign = homeserver.user("alice").unwrap();
    assert_eq!((foreign.emails.len(), foreign.is_deactivated), (1, false));
    assert_eq!(homeserver.devices("alice"), ["FOREIGN"]);
    // No client can use the account, and no change of it is carried over.
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    server.deliver().await;
    server.run_schedule().await;
    assert_eq!(homeserver.user("alice").unwrap(), foreign);
    assert_eq!(pending(&server), 0);
    let available = format!("{}/register/available?username=alice", PREFIXES[1]);
    server.get(&available).await.error(400, "M_USER_IN_USE");
}

/// The address of a registration that was undone is free again.
#[tokio::test]
async fn hs_12_an_undone_registration_keeps_no_address() {
    let (homeserver, server) = Homeserver::with_server(&ADDRESSES).await;
    let validation = crate::flows::support::threepid_helpers::request_mail(
        &server,
        "alice@example.org",
        "secret",
    )
    .await;
    validation.validate(&server).await;
    homeserver.create_foreign_after_check("alice");
    let mut body = validation.attempt(None);
    body["username"] = "alice".into();
    body["password"] = PASSWORD.into();
    server.register(&body).await.error(400, "M_USER_IN_USE");
    assert!(claims(&server).is_empty());
    sign_up_with(&server, "alice2", EMAIL, "alice@example.org").await;
}

/// An account that is older than the configuration of the homeserver. Its name is free there, or belongs to another
/// person.
#[tokio::test]
async fn hs_12_the_first_login_of_an_older_account_creates_its_user() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    for name in ["alice", "bob"] {
        sign_up(&server, name).await;
        set_homeserver_state(&server, name, "none");
    }
    homeserver.take_calls();
    homeserver.remove("alice");
    let foreign = homeserver.user("bob");
    log_in(&server, "alice", PASSWORD).await;
    let calls = [
        "is_localpart_available alice",
        "provision_user alice",
        "provision_user alice",
        "sync_devices alice",
    ];
    assert_eq!(homeserver.take_calls(), calls);
    try_login(&server, "bob", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    assert_eq!(homeserver.user("bob"), foreign);
    assert_eq!(homeserver.take_calls(), ["is_localpart_available bob"]);
}

#[tokio::test]
async fn hs_13_the_same_session_completes_when_the_homeserver_is_back() {
    let offered = flows("m.login.terms+m.login.dummy");
    let (homeserver, server) = Homeserver::with_server(&[offered, POLICIES]).await;
    server.expect_faults();
    // The homeserver fails at the check of the name, at the creation of the user, or at the creation of the device. In
    // the last two cases the account exists here.
    for (name, number) in [("alice", 1), ("bob", 2), ("carol", 3)] {
        for misbehaviour in [
            Misbehaviour::Down,
            Misbehaviour::LosesResponse,
            Misbehaviour::Fails(500),
        ] {
            let name = format!("{name}-{misbehaviour:?}")
                .to_lowercase()
                .replace(['(', ')'], "");
            let (_, session) = server.begin(&registration(&name)).await;
            submit(&server, &page(PREFIXES[1], TERMS, &session), "").await;
            homeserver.misbehave_at(number, misbehaviour);
            assert_unavailable(&server.register(&stage(DUMMY, &session)).await);
            homeserver.set_misbehaviour(None);
            let device = Device::of(&server.register(&stage(DUMMY, &session)).await.ok());
            assert_eq!(homeserver.devices(&name), [device.id.as_str()], "{name}");
            assert!(device.is_valid(&server).await);
            // A further repetition gives the same response and needs no call.
            homeserver.take_calls();
            let again = Device::of(&server.register(&stage(DUMMY, &session)).await.ok());
            assert_eq!(
                (again.token, homeserver.take_calls().len()),
                (device.token, 0)
            );
            assert_eq!(pending(&server), 0);
        }
    }
    homeserver.assert_no_violations();
}

#[tokio::test]
async fn hs_13_a_login_fails_while_the_homeserver_is_down() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    server.expect_faults();
    let first = sign_up(&server, "alice").await;
    for misbehaviour in [
        Misbehaviour::Down,
        Misbehaviour::LosesResponse,
        Misbehaviour::Fails(502),
        Misbehaviour::Hangs,
    ] {
        homeserver.set_misbehaviour(Some(misbehaviour));
        assert_unavailable(&try_login(&server, "alice", PASSWORD).await);
        homeserver.set_misbehaviour(None);
        let device = log_in(&server, "alice", PASSWORD).await;
        // The device of the failed login exists on neither side.
        let mut expected = [first.id.clone(), device.id.clone()];
        expected.sort();
        assert_eq!(homeserver.devices("alice"), expected, "{misbehaviour:?}");
        let list = format!("{}/devices", PREFIXES[1]);
        let devices = server.get_as(&device.token, &list).await.ok();
        assert_eq!(devices["devices"].as_array().unwrap().len(), 2);
        device.log_out(&server).await;
        assert_eq!(pending(&server), 0);
    }
    homeserver.assert_no_violations();
}

/// The keys of a device whose ID the client chose would be lost if the homeserver deleted it.
#[tokio::test]
async fn hs_13_a_failed_login_does_not_delete_a_known_device() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    server.expect_faults();
    sign_up(&server, "alice").await;
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = "DESK".into();
    server.post(LOGIN, &body).await.ok();
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    assert_unavailable(&server.post(LOGIN, &body).await);
    homeserver.set_misbehaviour(None);
    homeserver.take_calls();
    server.run_schedule().await;
    assert!(
        !homeserver
            .take_calls()
            .iter()
            .any(|call| call.starts_with("delete_device"))
    );
    assert!(homeserver.devices("alice").contains(&"DESK".to_owned()));
    let device = Device::of(&server.post(LOGIN, &body).await.ok());
    server.get_as(&device.token, WHOAMI).await.ok();
}

#[tokio::test]
async fn hs_23_application_services_stay_with_the_homeserver() {
    let (_homeserver, server) = Homeserver::with_server(&[]).await;
    let body = json!({ "type": "m.login.application_service", "username": "bridge_1", "inhibit_login": true });
    let answer = post_as(&server, "as-token", "/_matrix/client/v3/register", &body)
        .await
        .ok();
    assert_eq!(answer["user_id"], "@bridge_1:localhost");
    assert_eq!(answer["authorization"], "Bearer as-token");
    assert!(!server.dump().contains("bridge_1"));
    let flows = server.get(LOGIN).await.ok();
    assert_eq!(flows, json!({ "flows": [{ "type": "m.login.password" }] }));
    let login = json!({ "type": "m.login.application_service" });
    post_as(&server, "as-token", LOGIN, &login)
        .await
        .error(400, "M_UNKNOWN");
}
