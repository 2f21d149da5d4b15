//! The life cycle of an address of an account: the request for a message, the addition, its use and its
//! removal, and the notifications of the account owner.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::{Value, json};
use shared::limits::Limit;
use test_support::{PASSWORD, Reply, TestServer};

use crate::{
    api::{
        account_threepids::{
            ADD, DELETE, add, add_threepid, list, medium, remove, validated_credentials,
            validation_request, with_password,
        },
        rows::{notifications, threepid_owners},
    },
    flows::support::{
        account_helpers::{
            ADDRESSES, Device, LOGIN, OTHER_PASSWORD, PASSWORD_PATH, request_reset_token, sign_up,
            sign_up_with, try_login,
        },
        threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, ValidationSession},
        with,
    },
};

pub(crate) async fn test_server(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&ADDRESSES, settings].concat()).await
}

/// Requests a message for an address to be added; `address` is in its canonical form.
pub(crate) async fn request_add_token(
    server: &TestServer,
    address: &str,
    secret: &str,
) -> ValidationSession {
    let (path, body) = validation_request(address, secret);
    let answer = server.post(&path, &body).await.ok();
    ValidationSession {
        stage: if medium(address) == "email" {
            EMAIL
        } else {
            MSISDN
        },
        sid: answer["sid"].as_str().unwrap().to_owned(),
        secret: secret.to_owned(),
        address: address.to_owned(),
        answer,
    }
}

/// Requests a message for an address to be added and validates the address with it.
pub(crate) async fn validated_session(
    server: &TestServer,
    address: &str,
    secret: &str,
) -> ValidationSession {
    let validation = request_add_token(server, address, secret).await;
    validation.validate(server).await;
    validation
}

/// Logs in with an address.
async fn log_in_by(server: &TestServer, address: &str, password: &str) -> Reply {
    let who = json!({ "type": "m.id.thirdparty", "medium": medium(address), "address": address });
    let body = json!({ "type": "m.login.password", "identifier": who, "password": password });
    server.post(LOGIN, &body).await
}

/// Sets another password with a validated session of an address.
async fn reset(server: &TestServer, validation: &ValidationSession, password: &str) -> Reply {
    let body = json!({ "new_password": password, "logout_devices": false });
    server
        .post(PASSWORD_PATH, &with(body, &validation.attempt(None)))
        .await
}

/// Returns the messages that have arrived since the last call.
async fn take(server: &TestServer) -> Vec<Message> {
    server.deliver().await;
    let messages = server.messages();
    server.local.outbox().clear();
    messages
}

/// 3PID-50, UIA-42, PWD-05: an address that was validated but not added cannot be used. An added
/// address can be used for login and for a password reset.
#[tokio::test]
async fn acc3_03_an_added_address_logs_in_and_resets_the_password() {
    for address in [ALICE, NUMBER.1] {
        let server = test_server(&[]).await;
        let alice = sign_up(&server, "alice").await;
        let validation = validated_session(&server, address, "secret").await;
        assert_eq!(list(&server, &alice.token).await, [""; 0], "3PID-50");
        let reply = log_in_by(&server, address, PASSWORD).await;
        reply.error(403, "M_FORBIDDEN");
        let body = with_password("alice", &validation.creds());
        alice.post(&server, ADD, &body).await.ok();
        let me = log_in_by(&server, address, PASSWORD).await.ok();
        assert_eq!(me["user_id"], "@alice:localhost");
        let stage = if medium(address) == "email" {
            EMAIL
        } else {
            MSISDN
        };
        let dialled = if stage == EMAIL { ALICE } else { NUMBER.0 };
        let again = request_reset_token(&server, stage, dialled, "reset").await;
        again.validate(&server).await;
        reset(&server, &again, OTHER_PASSWORD).await.ok();
        log_in_by(&server, address, OTHER_PASSWORD).await.ok();
        log_in_by(&server, address, PASSWORD)
            .await
            .error(403, "M_FORBIDDEN");
    }
}

/// ACC3-05, PWD-06: a removed address can be used neither for login nor for a reset, even if it was
/// validated before the removal.
#[tokio::test]
async fn acc3_05_a_removed_address_has_no_use_and_is_free() {
    for (address, stage, dialled) in [(ALICE, EMAIL, ALICE), (NUMBER.1, MSISDN, NUMBER.0)] {
        let server = test_server(&[]).await;
        let alice = sign_up_with(&server, "alice", stage, dialled).await;
        let early = request_reset_token(&server, stage, dialled, "early").await;
        early.validate(&server).await;
        remove(&server, &alice.token, address).await.ok();
        take(&server).await;
        log_in_by(&server, address, PASSWORD)
            .await
            .error(403, "M_FORBIDDEN");
        let reply = reset(&server, &early, OTHER_PASSWORD).await;
        reply.error(400, "M_THREEPID_NOT_FOUND");
        request_reset_token(&server, stage, dialled, "late").await;
        let sent = take(&server).await;
        assert!(sent.is_empty(), "a message was sent: {sent:?}");
        try_login(&server, "alice", PASSWORD).await.ok();
        sign_up_with(&server, "bob", stage, dialled).await;
        assert_eq!(
            threepid_owners(&server),
            [(address.into(), "bob".into())].into()
        );
        let me = log_in_by(&server, address, PASSWORD).await.ok();
        assert_eq!(me["user_id"], "@bob:localhost");
    }
}

/// 3PID-05, 3PID-07: the session of a request for an address that has an account cannot be
/// validated, and the account owner is notified.
#[tokio::test]
async fn acc3_04_a_request_for_a_taken_address_notifies_its_owner() {
    let server = test_server(&[]).await;
    let alice = sign_up(&server, "alice").await;
    let validation = validated_session(&server, ALICE, "secret").await;
    add(&server, &alice.token, &validation.creds()).await.ok();
    take(&server).await;
    let bob = sign_up(&server, "bob").await;
    let other = request_add_token(&server, ALICE, "attacker").await;
    let sent = take(&server).await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].links().count(), 0, "{}", sent[0].text);
    let reply = add(&server, &bob.token, &other.creds()).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
}

/// The e-mails that compensate for the missing password check contain no name and no link.
#[tokio::test]
async fn acc3_02_the_owner_gets_a_mail_at_every_address() {
    let server = test_server(&[]).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = validated_session(&server, "second@example.org", "secret").await;
    take(&server).await;
    add(&server, &alice.token, &validation.creds()).await.ok();
    for change in ["added", "removed"] {
        if change == "removed" {
            remove(&server, &alice.token, ALICE).await.ok();
        }
        let sent = take(&server).await;
        let mut to: Vec<_> = sent.iter().map(|message| message.to.as_str()).collect();
        to.sort_unstable();
        assert_eq!(to, [ALICE, "second@example.org"]);
        for message in &sent {
            assert!(message.text.contains(change), "{}", message.text);
            assert!(!message.text.contains("@alice:"), "{}", message.text);
            assert_eq!(message.links().count(), 0, "{}", message.text);
        }
    }
    assert!(take(&server).await.is_empty());
}

/// Every addition causes notifications, so requests above the quota are rejected. No address is
/// ever added without a notification.
#[tokio::test]
async fn http_19_the_number_of_additions_is_limited() {
    let server = test_server(&[("GATEHOUSE_LIMITS", "on")]).await;
    let (alice, bob) = (
        sign_up(&server, "alice").await,
        sign_up(&server, "bob").await,
    );
    let taken = validated_credentials(&server, "taken@example.org", "alice").await;
    add_threepid(&server, &bob.token, "taken@example.org").await;
    for _ in 0..20 {
        // A failed addition consumes no quota.
        let reply = add(&server, &alice.token, &taken).await;
        reply.error(400, "M_THREEPID_IN_USE");
    }
    let budget = Limit::Addition.quota();
    for number in 0..budget.burst + 2 {
        server.advance(Duration::from_mins(2));
        let address = format!("user{number}@example.org");
        let creds = validated_credentials(&server, &address, "secret").await;
        let reply = add(&server, &alice.token, &creds).await;
        if number < budget.burst {
            reply.ok();
            // Repeating an addition is not limited.
            add(&server, &alice.token, &creds).await.ok();
        } else {
            reply.error(429, "M_LIMIT_EXCEEDED");
        }
    }
    let burst = usize::try_from(budget.burst).unwrap();
    assert_eq!(list(&server, &alice.token).await.len(), burst);
    // Each addition is announced to the earlier addresses and to the new one; bob was notified of
    // his own addition.
    assert_eq!(notifications(&server).len(), burst * (burst + 1) / 2 + 1);
    server.advance(budget.interval);
    let creds = validated_credentials(&server, "late@example.org", "secret").await;
    add(&server, &alice.token, &creds).await.ok();
    for number in 0..budget.burst {
        let address = format!("user{number}@example.org");
        remove(&server, &alice.token, &address).await.ok();
    }
    let sent_notices = notifications(&server);
    let removed = sent_notices
        .iter()
        .filter(|(what, _)| what == "address-removed");
    assert_eq!(removed.count(), (2..=burst + 1).sum::<usize>());
}

/// An address that was validated for the sign-up can be listed and removed like any other.
#[tokio::test]
async fn acc3_01_the_address_of_a_sign_up_is_like_any_other() {
    let server = test_server(&[]).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    assert_eq!(list(&server, &alice.token).await, [ALICE]);
    let body = json!({ "medium": "email", "address": "Alice@EXAMPLE.org" });
    let answer: Value = alice.post(&server, DELETE, &body).await.ok();
    assert_eq!(answer["id_server_unbind_result"], "no-support");
    assert_eq!(list(&server, &alice.token).await, [""; 0]);
}

/// Incident 31: an attacker has prepared the addition of an address. After a reset of the password,
/// no token can complete the addition.
#[tokio::test]
async fn incident_31_a_prepared_addition_does_not_survive_a_reset() {
    let server = test_server(&[]).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let theirs = validated_session(&server, "attacker@example.org", "secret").await;
    let challenge = alice.post(&server, ADD, &theirs.creds()).await.challenge();
    server.advance(Duration::from_mins(1));
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    reset(&server, &validation, OTHER_PASSWORD).await.ok();
    // The request kept the device; the UIA session and the validated session are invalid
    // nevertheless.
    let session = json!({ "auth": {
        "type": "m.login.password", "session": challenge["session"], "user": "alice", "password": OTHER_PASSWORD,
    } });
    let reply = alice.post(&server, ADD, &session).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    let reply = add(&server, &alice.token, &theirs.creds()).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
    let device: Device = alice;
    assert!(device.is_valid(&server).await);
}
