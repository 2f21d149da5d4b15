//! Differences between the three purposes: the settings that enable their endpoints, and their responses in `tell`
//! mode.

use serde_json::json;
use test_support::{PREFIXES, TestServer};

use crate::api::{
    rows::{queued, validation, validations},
    support::{set_status, with},
    threepids::{
        FLOWS, MAIL, REQUESTS, SMS, message_request, request_session, server_with, sign_up_with,
    },
};

const TELL: (&str, &str) = ("GATEHOUSE_THREEPID_PRIVACY", "tell");

/// The endpoints with this part in their paths.
fn requests(part: &str) -> Vec<(&'static str, &'static str)> {
    let own = REQUESTS.into_iter().filter(|(_, path)| path.contains(part));
    let own: Vec<_> = own.collect();
    assert_eq!(own.len(), 2, "{part}");
    own
}

/// Asserts that this setting disables these endpoints before any read, and disables no other endpoint.
async fn assert_off(setting: &str, part: &str) {
    let server = server_with(&[(setting, "off")]).await;
    for (medium, path) in requests(part) {
        for prefix in PREFIXES {
            let path = path.replace("/_matrix/client/v3", prefix);
            for body in [message_request(medium, 1, "secret", 1), json!({})] {
                let (reply, calls) = server.calls_of(server.post(&path, &body)).await;
                reply.error(403, "M_FORBIDDEN");
                assert!(calls.is_empty(), "{calls:?}");
            }
        }
    }
    for (medium, path) in REQUESTS
        .into_iter()
        .filter(|(_, path)| !path.contains(part))
    {
        server
            .post(path, &message_request(medium, 1, "secret", 1))
            .await
            .ok();
    }
    assert_eq!(queued(&server), 4);
}

#[tokio::test]
async fn pwd_15_with_password_changes_off_no_reset_is_sent() {
    assert_off("GATEHOUSE_PASSWORD_CHANGES", "/account/password/").await;
}

#[tokio::test]
async fn acc3_07_with_3pid_changes_off_no_address_is_validated() {
    assert_off("GATEHOUSE_3PID_CHANGES", "/account/3pid/").await;
}

/// REG-29: accounts need new passwords and 3PIDs even if registration is closed or uses other stages.
#[tokio::test]
async fn threepid_12_resets_do_not_depend_on_registration_flows() {
    for settings in [
        vec![FLOWS, ("GATEHOUSE_REGISTRATION", "closed")],
        vec![("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy")],
    ] {
        let server = TestServer::with(&[&[MAIL, SMS][..], &settings].concat()).await;
        for part in ["/account/password/", "/account/3pid/"] {
            for (medium, path) in requests(part) {
                server
                    .post(path, &message_request(medium, 1, "secret", 1))
                    .await
                    .ok();
            }
        }
        assert_eq!(queued(&server), 4, "{settings:?}");
    }
}

/// 3PID-09, incident 29: neither medium is enabled.
#[tokio::test]
async fn threepid_12_a_disabled_medium_is_refused_for_accounts_too() {
    let off = [
        ("GATEHOUSE_MAIL_FROM", ""),
        ("GATEHOUSE_SMS_COUNTRIES", ""),
        ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy"),
    ];
    let server = TestServer::with(&off).await;
    for part in ["/account/password/", "/account/3pid/"] {
        for (medium, path) in requests(part) {
            let body = message_request(medium, 1, "secret", 1);
            let (reply, calls) = server.calls_of(server.post(path, &body)).await;
            reply.error(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
            assert!(calls.is_empty(), "{calls:?}");
            let body = with(body, &json!({ "id_server": "matrix.org" }));
            let reply = server.post(path, &body).await;
            reply.error(400, "M_SERVER_NOT_TRUSTED");
        }
    }
    assert!(validations(&server).is_empty());
}

#[tokio::test]
async fn threepid_06_in_tell_mode_an_unknown_address_is_not_found() {
    let server = server_with(&[TELL]).await;
    for (medium, path) in requests("/account/password/") {
        sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        let before = (queued(&server), validations(&server).len());
        for (secret, attempt) in [("secret", 1), ("secret", 2), ("other", 1)] {
            let reply = server
                .post(path, &message_request(medium, 2, secret, attempt))
                .await;
            reply.error(400, "M_THREEPID_NOT_FOUND");
        }
        assert_eq!((queued(&server), validations(&server).len()), before);
        let known = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        assert_eq!(validation(&server, &known).purpose, "reset");
        assert_eq!(queued(&server), before.0 + 1);
    }
}

#[tokio::test]
async fn threepid_07_in_tell_mode_an_address_of_others_is_in_use() {
    let server = server_with(&[TELL]).await;
    for (medium, path) in requests("/account/3pid/") {
        sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        let before = (queued(&server), validations(&server).len());
        for (secret, attempt) in [("secret", 1), ("secret", 2), ("other", 1)] {
            let reply = server
                .post(path, &message_request(medium, 1, secret, attempt))
                .await;
            reply.error(400, "M_THREEPID_IN_USE");
        }
        assert_eq!((queued(&server), validations(&server).len()), before);
        let free = request_session(&server, path, &message_request(medium, 2, "secret", 1)).await;
        assert_eq!(validation(&server, &free).purpose, "add");
        assert_eq!(queued(&server), before.0 + 1);
    }
}

/// In both modes, no response depends on the status of the account.
#[tokio::test]
async fn pwd_19_no_answer_reveals_the_status_of_an_account() {
    for settings in [&[][..], &[TELL]] {
        let server = server_with(settings).await;
        for (medium, path) in requests("/account/password/") {
            let name = format!("alice-{medium}");
            sign_up_with(&server, medium, 1, &name).await;
            let mut observed = Vec::new();
            for status in ["active", "locked", "suspended", "deactivated"] {
                set_status(&server, &name, status);
                let body = message_request(medium, 1, status, 1);
                let (reply, calls) = server.calls_of(server.post(path, &body)).await;
                let mut answer = reply.ok();
                answer["sid"].take();
                let operation_and_tables = |call: &gatehouse_local::dynamodb::proxy::Call| {
                    (call.operation.clone(), call.tables.clone())
                };
                let mut calls: Vec<_> = calls.iter().map(operation_and_tables).collect();
                calls.sort();
                observed.push((answer, calls));
            }
            assert!(
                observed.iter().all(|shape| *shape == observed[0]),
                "{observed:?}"
            );
        }
    }
}
