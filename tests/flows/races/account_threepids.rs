//! Concurrent requests about the addresses of accounts: an address has one owner, a validated
//! session is spent once, an account has at most sixteen addresses, and the request that is written
//! second gets an error.

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::FaultKind;
use serde_json::{Value, json};
use test_support::{Reply, TestServer};

use crate::{
    api::{
        account_threepids::{
            ADD, DELETE, LIST, add_threepid, list, user_token, validated_credentials, with_password,
        },
        rows::{notifications, threepid_owners, validations_in},
        support::post_as,
    },
    flows::{
        account_threepids::test_server,
        support::{
            at_once, registration, serial, tallied, tally,
            threepid_helpers::{ALICE, EMAIL, request_mail},
            with,
        },
    },
};

const MANY: usize = 40;

/// A request: token, path and body.
type Sent = (String, &'static str, Value);

/// Sends these requests concurrently.
async fn send(server: &Arc<TestServer>, requests: &[Sent]) -> Vec<Reply> {
    at_once(requests.len(), |number| {
        let server = Arc::clone(server);
        let (token, path, body) = requests[number].clone();
        async move {
            if token.is_empty() {
                server.post(path, &body).await
            } else {
                post_as(&server, &token, path, &body).await
            }
        }
    })
    .await
}

/// A request to add the address of these credentials, with UIA or with the deprecated form.
fn addition(token: &str, name: &str, creds: &Value, uia_request: bool) -> Sent {
    let token = token.to_owned();
    if uia_request {
        (token, ADD, with_password(name, creds))
    } else {
        (token, LIST, json!({ "three_pid_creds": creds }))
    }
}

/// Every user has a validated session of the same address, and the address is added to one account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threepid_68_concurrent_additions_give_an_address_one_owner() {
    let _serial = serial().await;
    for round in 0..8 {
        let uia_request = round % 2 == 0;
        let server = Arc::new(test_server(&[]).await);
        let mut requests = Vec::new();
        for name in ["alice", "bob", "carol"] {
            let token = user_token(&server, name).await;
            let creds = validated_credentials(&server, ALICE, name).await;
            requests.push(addition(&token, name, &creds, uia_request));
        }
        let replies = send(&server, &requests).await;
        let expected = [(200, "", 1), (400, "M_THREEPID_IN_USE", 2)];
        assert_eq!(tally(&replies), tallied(&expected));
        assert_eq!(threepid_owners(&server).len(), 1);
        assert_eq!(validations_in(&server, "spent"), 1);
        assert_eq!(
            validations_in(&server, "validated"),
            2,
            "the sessions of the rejected requests are not spent"
        );
    }
}

/// UIA-54: all users send the credentials of one session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acc3_02_a_session_shared_by_users_adds_its_address_once() {
    let _serial = serial().await;
    for _ in 0..8 {
        let server = Arc::new(test_server(&[]).await);
        let creds = validated_credentials(&server, ALICE, "secret").await;
        let mut requests = Vec::new();
        for name in ["alice", "bob", "carol"] {
            let token = user_token(&server, name).await;
            requests.push(addition(&token, name, &creds, name == "bob"));
        }
        let replies = send(&server, &requests).await;
        let won = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(won, 1, "{:?}", tally(&replies));
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            let code = reply.json()["errcode"].clone();
            assert!(
                code == "M_THREEPID_IN_USE" || code == "M_THREEPID_AUTH_FAILED",
                "{code}"
            );
        }
        assert_eq!(
            (
                threepid_owners(&server).len(),
                validations_in(&server, "spent")
            ),
            (1, 1)
        );
    }
}

/// UIA-15: a user sends one request many times. It adds one address and causes one notification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_an_addition_sent_many_times_is_made_once() {
    let _serial = serial().await;
    for form in ["deprecated", "one request", "session"] {
        let server = Arc::new(test_server(&[]).await);
        let token = user_token(&server, "alice").await;
        let creds = validated_credentials(&server, ALICE, "secret").await;
        let request = match form {
            "session" => {
                let challenge = post_as(&server, &token, ADD, &creds).await.challenge();
                let auth = with_password("alice", &creds)["auth"].clone();
                let session = json!({ "session": challenge["session"] });
                (token.clone(), ADD, json!({ "auth": with(auth, &session) }))
            }
            form => addition(&token, "alice", &creds, form == "one request"),
        };
        let replies = send(&server, &vec![request; MANY]).await;
        assert_eq!(tally(&replies), tallied(&[(200, "", MANY)]), "{form}");
        assert!(replies.iter().all(|reply| reply.body == b"{}"));
        assert_eq!(
            threepid_owners(&server),
            [(ALICE.into(), "alice".into())].into()
        );
        assert_eq!(validations_in(&server, "spent"), 1);
        assert_eq!(notifications(&server).len(), 1, "{form}");
    }
}

/// With rate limits enabled, requests beyond the limit get a 429.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_19_an_addition_sent_too_often_is_still_answered() {
    let _serial = serial().await;
    let server = Arc::new(test_server(&[("GATEHOUSE_LIMITS", "on")]).await);
    let token = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let requests = vec![addition(&token, "alice", &creds, false); MANY];
    let replies = send(&server, &requests).await;
    let tally = tally(&replies);
    let times = |status: u16, code: &str| tally.get(&(status, code.to_owned())).copied();
    let refused = times(429, "M_LIMIT_EXCEEDED").unwrap_or_default();
    assert_eq!(times(200, "").unwrap_or_default() + refused, MANY);
    assert!(refused < MANY, "{tally:?}");
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
    assert_eq!(notifications(&server).len(), 1);
}

/// REG-28: a registration with an address and an addition of the same address are concurrent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threepid_68_an_addition_and_a_sign_up_race_for_an_address() {
    let _serial = serial().await;
    for round in 0..10 {
        let server = Arc::new(test_server(&[]).await);
        let token = user_token(&server, "alice").await;
        let creds = validated_credentials(&server, ALICE, "secret").await;
        let validation = request_mail(&server, ALICE, "sign-up").await;
        validation.validate(&server).await;
        assert_eq!(validation.stage, EMAIL);
        let sign_up = with(registration("bob"), &validation.attempt(None));
        let sign_up = (String::new(), "/_matrix/client/v3/register", sign_up);
        let addition = addition(&token, "alice", &creds, round % 2 == 0);
        let replies = send(&server, &[addition, sign_up]).await;
        let expected = [(200, "", 1), (400, "M_THREEPID_IN_USE", 1)];
        assert_eq!(tally(&replies), tallied(&expected));
        let winner = if replies[0].status == 200 {
            "alice"
        } else {
            "bob"
        };
        assert_eq!(
            threepid_owners(&server),
            [(ALICE.into(), winner.into())].into()
        );
        assert_eq!(validations_in(&server, "spent"), 1);
    }
}

/// The account has twelve addresses, and twelve more are added concurrently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acc3_02_no_race_gives_an_account_over_sixteen_addresses() {
    let _serial = serial().await;
    let server = Arc::new(test_server(&[]).await);
    let token = user_token(&server, "alice").await;
    for number in 0..12 {
        add_threepid(&server, &token, &format!("user{number}@example.org")).await;
    }
    let mut requests = Vec::new();
    for number in 12..24 {
        let creds =
            validated_credentials(&server, &format!("user{number}@example.org"), "secret").await;
        requests.push(addition(&token, "alice", &creds, number % 2 == 0));
    }
    let mut added = 0;
    while !requests.is_empty() {
        let replies = send(&server, &requests).await;
        let mut rest = Vec::new();
        for (request, reply) in requests.into_iter().zip(replies) {
            match reply.status.as_u16() {
                200 => added += 1,
                429 => rest.push(request),
                _ => {
                    reply.error(403, "M_FORBIDDEN");
                }
            }
        }
        requests = rest;
    }
    assert_eq!(added, 4);
    assert_eq!(list(&server, &token).await.len(), 16);
    assert_eq!(validations_in(&server, "spent"), 16);
}

/// L9: one user removes an address while another user adds it. Afterwards the address belongs to the
/// second user or to no user, and a removal never removes the address of its present owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l9_a_racing_removal_takes_no_address_of_another_user() {
    let _serial = serial().await;
    for _ in 0..10 {
        let server = Arc::new(test_server(&[]).await);
        let (alice, bob) = (
            user_token(&server, "alice").await,
            user_token(&server, "bob").await,
        );
        let creds = validated_credentials(&server, ALICE, "bobs").await;
        add_threepid(&server, &alice, ALICE).await;
        let body = json!({ "medium": "email", "address": ALICE });
        let removal = (alice.clone(), DELETE, body);
        let addition = addition(&bob, "bob", &creds, false);
        let requests = [removal.clone(), addition, removal.clone(), removal];
        let replies = send(&server, &requests).await;
        for number in [0, 2, 3] {
            replies[number].ok();
        }
        let taken = replies[1].status == 200;
        if taken {
            assert_eq!(
                threepid_owners(&server),
                [(ALICE.into(), "bob".into())].into()
            );
        } else {
            replies[1].error(400, "M_THREEPID_IN_USE");
            assert!(threepid_owners(&server).is_empty());
        }
        let sent_notices = notifications(&server);
        let removed = sent_notices
            .iter()
            .filter(|(what, _)| what == "address-removed");
        assert_eq!(removed.count(), 1, "{sent_notices:?}");
    }
}

const FAULT_MIX: &[FaultKind] = &[
    FaultKind::Conflict,
    FaultKind::Throttle,
    FaultKind::ThrottledItem,
    FaultKind::Unprocessed,
    FaultKind::LostAnswer,
    FaultKind::ConnectionReset,
    FaultKind::Delay(Duration::from_millis(20)),
];

/// With all kinds of faults, an address has at most one owner, and a session is spent together with the
/// addition or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incident_20_an_address_has_one_owner_despite_faults() {
    let _serial = serial().await;
    let server = Arc::new(test_server(&[]).await);
    server.expect_faults();
    let mut requests = Vec::new();
    for name in ["alice", "bob", "carol", "dora"] {
        let token = user_token(&server, name).await;
        for secret in ["one", "two"] {
            let creds = validated_credentials(&server, ALICE, &format!("{name}-{secret}")).await;
            for uia_request in [true, false] {
                requests.push(addition(&token, name, &creds, uia_request));
            }
        }
    }
    for seed in 1..4 {
        server.local.proxy().random_faults(seed, 80, FAULT_MIX);
        let replies = send(&server, &requests).await;
        server.local.proxy().clear_faults();
        // `threepid_owners` panics if claims and rows disagree.
        assert!(threepid_owners(&server).len() <= 1, "{:?}", tally(&replies));
    }
    let replies = send(&server, &requests).await;
    let owner = threepid_owners(&server)[ALICE].clone();
    for (reply, (token, _, _)) in replies.iter().zip(&requests) {
        if reply.status == 200 {
            assert_eq!(list(&server, token).await, [ALICE], "{owner}");
        }
    }
    let spent = validations_in(&server, "spent");
    assert!((1..=2).contains(&spent), "{spent}");
    assert_eq!(notifications(&server).len(), 1);
}
