//! What the endpoints of the three purposes differ in: when they are there, and what is told where
//! strangers are told who has an account.

use serde_json::json;
use test_support::{PREFIXES, TestServer};

use crate::api::{
    support::set_status,
    threepids::{
        FLOWS, MAIL, REQUESTS, SMS, queued, row, rows, server_with, sid, sign_up_with, wish, with,
    },
};

const TELL: (&str, &str) = ("GATEHOUSE_THREEPID_PRIVACY", "tell");

/// The endpoints whose paths have this in them.
fn requests(part: &str) -> Vec<(&'static str, &'static str)> {
    let own = REQUESTS.into_iter().filter(|(_, path)| path.contains(part));
    let own: Vec<_> = own.collect();
    assert_eq!(own.len(), 2, "{part}");
    own
}

/// What is off is off before anything is looked at, and what is not is on.
async fn assert_off(setting: &str, part: &str) {
    let server = server_with(&[(setting, "off")]).await;
    for (medium, path) in requests(part) {
        for prefix in PREFIXES {
            let path = path.replace("/_matrix/client/v3", prefix);
            for body in [wish(medium, 1, "secret", 1), json!({})] {
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
        server.post(path, &wish(medium, 1, "secret", 1)).await.ok();
    }
    assert_eq!(queued(&server), 4);
}

#[tokio::test]
async fn pwd_15_where_passwords_are_not_changed_nothing_leads_to_a_new_one() {
    assert_off("GATEHOUSE_PASSWORD_CHANGES", "/account/password/").await;
}

#[tokio::test]
async fn acc3_07_where_addresses_are_not_changed_none_is_proven_for_it() {
    assert_off("GATEHOUSE_3PID_CHANGES", "/account/3pid/").await;
}

/// REG-29: people who have an account need a new password and addresses whether others may make one
/// or not, and by whatever they made theirs.
#[tokio::test]
async fn _3pid_12_what_an_account_needs_is_offered_whatever_a_sign_up_needs() {
    for settings in [
        vec![FLOWS, ("GATEHOUSE_REGISTRATION", "closed")],
        vec![("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy")],
    ] {
        let server = TestServer::with(&[&[MAIL, SMS][..], &settings].concat()).await;
        for part in ["/account/password/", "/account/3pid/"] {
            for (medium, path) in requests(part) {
                server.post(path, &wish(medium, 1, "secret", 1)).await.ok();
            }
        }
        assert_eq!(queued(&server), 4, "{settings:?}");
    }
}

/// 3PID-09, incident 29: what cannot be sent is not asked for.
#[tokio::test]
async fn _3pid_12_a_medium_that_is_off_proves_nothing_for_an_account_either() {
    let off = [
        ("GATEHOUSE_MAIL_FROM", ""),
        ("GATEHOUSE_SMS_COUNTRIES", ""),
        ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy"),
    ];
    let server = TestServer::with(&off).await;
    for part in ["/account/password/", "/account/3pid/"] {
        for (medium, path) in requests(part) {
            let whole = wish(medium, 1, "secret", 1);
            let (reply, calls) = server.calls_of(server.post(path, &whole)).await;
            reply.error(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
            assert!(calls.is_empty(), "{calls:?}");
            let body = with(whole, &json!({ "id_server": "matrix.org" }));
            let reply = server.post(path, &body).await;
            reply.error(400, "M_SERVER_NOT_TRUSTED");
        }
    }
    assert!(rows(&server).is_empty());
}

#[tokio::test]
async fn _3pid_06_in_tell_mode_an_address_that_nobody_has_is_not_found_and_none_is_in_use() {
    let server = server_with(&[TELL]).await;
    for (medium, path) in requests("/account/password/") {
        sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        let before = (queued(&server), rows(&server).len());
        for (secret, attempt) in [("secret", 1), ("secret", 2), ("other", 1)] {
            let reply = server.post(path, &wish(medium, 2, secret, attempt)).await;
            reply.error(400, "M_THREEPID_NOT_FOUND");
        }
        assert_eq!((queued(&server), rows(&server).len()), before);
        let known = sid(&server, path, &wish(medium, 1, "secret", 1)).await;
        assert_eq!(row(&server, &known)["purpose"]["S"], "reset");
        assert_eq!(queued(&server), before.0 + 1);
    }
}

#[tokio::test]
async fn _3pid_07_in_tell_mode_an_address_that_somebody_has_is_in_use() {
    let server = server_with(&[TELL]).await;
    for (medium, path) in requests("/account/3pid/") {
        sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        let before = (queued(&server), rows(&server).len());
        for (secret, attempt) in [("secret", 1), ("secret", 2), ("other", 1)] {
            let reply = server.post(path, &wish(medium, 1, secret, attempt)).await;
            reply.error(400, "M_THREEPID_IN_USE");
        }
        assert_eq!((queued(&server), rows(&server).len()), before);
        let free = sid(&server, path, &wish(medium, 2, "secret", 1)).await;
        assert_eq!(row(&server, &free)["purpose"]["S"], "add");
        assert_eq!(queued(&server), before.0 + 1);
    }
}

/// Told or not: no answer depends on what an account is like.
#[tokio::test]
async fn pwd_19_no_answer_says_that_an_account_is_locked_or_gone() {
    for settings in [&[][..], &[TELL]] {
        let server = server_with(settings).await;
        for (medium, path) in requests("/account/password/") {
            let name = format!("alice-{medium}");
            sign_up_with(&server, medium, 1, &name).await;
            let mut shapes = Vec::new();
            for status in ["active", "locked", "suspended", "deactivated"] {
                set_status(&server, &name, status);
                let body = wish(medium, 1, status, 1);
                let (reply, calls) = server.calls_of(server.post(path, &body)).await;
                let mut answer = reply.ok();
                answer["sid"].take();
                let told = |call: &gatehouse_local::dynamodb::proxy::Call| {
                    (call.operation.clone(), call.tables.clone())
                };
                let mut calls: Vec<_> = calls.iter().map(told).collect();
                calls.sort();
                shapes.push((answer, calls));
            }
            assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
        }
    }
}
