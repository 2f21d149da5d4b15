//! `GET` and `POST /account/3pid`.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{NOW, PREFIXES, TestServer};

use super::{
    account_threepids::{
        ADD, ALICE, BOB, LIST, NUMBER, add, add_threepid, list, remove, request_validation,
        test_server, user_token, validate, validated_credentials,
    },
    rows::{notifications, set_number, threepid_owners, validations, validations_in},
    support::{add_appservice, post_as, register_as, register_guest, set_status, text, with},
    threepids::{MAIL, request_session},
};

#[tokio::test]
async fn acc3_01_the_list_has_each_address_with_its_two_times() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/3pid");
        let answer = server.get_as(&alice, &path).await.ok();
        assert_eq!(answer, json!({ "threepids": [] }));
    }
    let mail = validated_credentials(&server, "Alice@Example.ORG", "secret").await;
    server.advance(Duration::from_mins(1));
    add(&server, &alice, &mail).await.ok();
    add_threepid(&server, &alice, NUMBER).await;
    let (first, later) = (NOW, NOW + 60_000);
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/3pid");
        let answer = server.get_as(&alice, &path).await.ok();
        assert_eq!(
            answer,
            json!({ "threepids": [
                { "medium": "email", "address": ALICE, "validated_at": first, "added_at": later },
                { "medium": "msisdn", "address": NUMBER, "validated_at": later, "added_at": later },
            ] })
        );
    }
}

#[tokio::test]
async fn acc3_01_users_see_the_addresses_of_their_account() {
    let server = test_server(&[("GATEHOUSE_GUESTS", "true")]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    add_threepid(&server, &alice, ALICE).await;
    assert_eq!(list(&server, &alice).await, [ALICE]);
    assert_eq!(list(&server, &bob).await, [""; 0]);
    set_status(&server, "alice", "suspended");
    assert_eq!(list(&server, &alice).await, [ALICE]);
    set_status(&server, "alice", "locked");
    server
        .get_as(&alice, LIST)
        .await
        .error(401, "M_USER_LOCKED");
    let guest = register_guest(&server).await;
    let guest = text(&guest, "access_token");
    let creds = validated_credentials(&server, BOB, "secret").await;
    for reply in [
        server.get_as(guest, LIST).await,
        add(&server, guest, &creds).await,
    ] {
        reply.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    let none = server.get(LIST).await;
    none.error(401, "M_MISSING_TOKEN");
    let body = json!({ "three_pid_creds": creds });
    server.post(LIST, &body).await.error(401, "M_MISSING_TOKEN");
    add(&server, "junk", &creds)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(validations_in(&server, "spent"), 1);
}

#[tokio::test]
async fn acc3_01_an_appservice_lists_and_adds_for_its_users() {
    let server = test_server(&[]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let of = |name: &str| format!("{LIST}?user_id=@{name}:localhost");
    let body = json!({ "three_pid_creds": creds });
    post_as(&server, &token, &of("bob"), &body)
        .await
        .error(403, "M_FORBIDDEN");
    // The application service's own user has no account.
    post_as(&server, &token, LIST, &body)
        .await
        .error(403, "M_FORBIDDEN");
    post_as(&server, &token, &of("irc_alice"), &body).await.ok();
    let seen = server.get_as(&token, &of("irc_alice")).await.ok();
    assert_eq!(seen["threepids"][0]["address"], ALICE);
    let seen = server.get_as(&token, LIST).await.ok();
    assert_eq!(seen, json!({ "threepids": [] }));
}

#[tokio::test]
async fn acc3_02_credentials_are_accepted_in_every_spelling() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let spellings: [fn(&Value) -> Value; 6] = [
        |creds| json!({ "three_pid_creds": creds }),
        |creds| json!({ "threePidCreds": creds }),
        |creds| json!({ "three_pid_creds": creds, "threePidCreds": { "sid": 5 }, "bind": true }),
        |creds| json!({ "three_pid_creds": null, "threePidCreds": creds, "bind": false }),
        |creds| {
            let more = json!({ "id_server": "localhost:1", "id_access_token": "x" });
            json!({ "three_pid_creds": with(creds.clone(), &more) })
        },
        |creds| {
            let own = json!({
                "sid": creds["sid"], "clientSecret": creds["client_secret"], "idServer": "localhost:1",
            });
            json!({ "threePidCreds": own, "zzz": 1 })
        },
    ];
    for (number, spell) in spellings.iter().enumerate() {
        let address = format!("user{number}@example.org");
        let creds = validated_credentials(&server, &address, "secret").await;
        let prefix = PREFIXES[number % 2];
        let path = format!("{prefix}/account/3pid");
        let reply = post_as(&server, &alice, &path, &spell(&creds)).await;
        assert_eq!(reply.ok(), json!({}));
    }
    assert_eq!(list(&server, &alice).await.len(), spellings.len());
}

#[tokio::test]
async fn acc3_02_missing_or_mistyped_members_are_refused() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    for (body, errcode) in [
        (json!({}), "M_MISSING_PARAM"),
        (json!({ "three_pid_creds": {} }), "M_MISSING_PARAM"),
        (
            json!({ "three_pid_creds": { "sid": creds["sid"] } }),
            "M_MISSING_PARAM",
        ),
        (
            json!({ "three_pid_creds": { "client_secret": "secret" } }),
            "M_MISSING_PARAM",
        ),
        (json!({ "three_pid_creds": [creds] }), "M_BAD_JSON"),
        (json!({ "three_pid_creds": "secret" }), "M_BAD_JSON"),
        (
            json!({ "three_pid_creds": with(creds.clone(), &json!({ "sid": 5 })) }),
            "M_BAD_JSON",
        ),
        (
            json!({ "three_pid_creds": with(creds.clone(), &json!({ "id_server": {} })) }),
            "M_BAD_JSON",
        ),
        (
            json!({ "three_pid_creds": creds, "bind": "yes" }),
            "M_BAD_JSON",
        ),
    ] {
        post_as(&server, &alice, LIST, &body)
            .await
            .error(400, errcode);
    }
    assert_eq!(validations_in(&server, "validated"), 1);
}

/// 3PID-49, UIA-54: a session that does not validate this 3PID for this purpose gets the same response as an unknown
/// session.
#[tokio::test]
async fn acc3_02_unverifiable_credentials_are_refused() {
    let server = test_server(&[(
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity",
    )])
    .await;
    let alice = user_token(&server, "alice").await;
    let pending = request_validation(&server, "pending@example.org", "secret").await;
    let own = validated_credentials(&server, BOB, "secret").await;
    let mut creds = vec![
        pending,
        with(own.clone(), &json!({ "client_secret": "guess" })),
        with(own.clone(), &json!({ "client_secret": "\u{e9}" })),
        with(own.clone(), &json!({ "client_secret": "" })),
        with(own.clone(), &json!({ "sid": "nothing" })),
        with(own.clone(), &json!({ "sid": "../x" })),
        with(own.clone(), &json!({ "sid": "x".repeat(5000) })),
    ];
    for purpose in ["register", "account/password"] {
        let path = format!("/_matrix/client/v3/{purpose}/email/requestToken");
        let body = json!({ "client_secret": "secret", "email": ALICE, "send_attempt": 1 });
        let sid = request_session(&server, &path, &body).await;
        let other = json!({ "sid": sid, "client_secret": "secret" });
        validate(&server, ALICE, &other).await;
        creds.push(other);
    }
    for creds in &creds {
        let reply = add(&server, &alice, creds).await;
        reply.error(403, "M_THREEPID_AUTH_FAILED");
    }
    server.advance(Duration::from_hours(24));
    let reply = add(&server, &alice, &own).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert!(threepid_owners(&server).is_empty());
    assert_eq!(validations_in(&server, "spent"), 0);
    // One millisecond before the session expires, it is still accepted.
    let almost_expired = validated_credentials(&server, BOB, "secret").await;
    server.advance(Duration::from_hours(24) - Duration::from_millis(1));
    add(&server, &alice, &almost_expired).await.ok();
}

#[tokio::test]
async fn acc3_02_a_validated_address_is_added_once() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    let creds = validated_credentials(&server, ALICE, "secret").await;
    for _ in 0..3 {
        assert_eq!(add(&server, &alice, &creds).await.ok(), json!({}));
    }
    add(&server, &bob, &creds)
        .await
        .error(403, "M_THREEPID_AUTH_FAILED");
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
    assert_eq!(
        notifications(&server),
        [("address-added".to_owned(), ALICE.to_owned())]
    );
    // After the address is removed, its spent session does not add it again.
    remove(&server, &alice, ALICE).await.ok();
    add(&server, &alice, &creds)
        .await
        .error(403, "M_THREEPID_AUTH_FAILED");
    assert!(threepid_owners(&server).is_empty());
}

#[tokio::test]
async fn acc3_02_an_address_validated_again_keeps_its_added_at() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let (one, two) = (
        validated_credentials(&server, ALICE, "one").await,
        request_validation(&server, ALICE, "two").await,
    );
    add(&server, &alice, &one).await.ok();
    server.advance(Duration::from_mins(1));
    validate(&server, ALICE, &two).await;
    add(&server, &alice, &two).await.ok();
    let answer = server.get_as(&alice, LIST).await.ok();
    assert_eq!(
        answer["threepids"],
        json!([{ "medium": "email", "address": ALICE, "validated_at": NOW + 60_000, "added_at": NOW }])
    );
    assert_eq!(validations_in(&server, "spent"), 2);
    assert_eq!(
        notifications(&server).len(),
        1,
        "the second validation adds no address"
    );
}

/// TOK-15: a suspended account may add a 3PID.
#[tokio::test]
async fn tok_15_a_suspended_account_adds_and_a_locked_one_does_not() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    set_status(&server, "alice", "locked");
    let reply = add(&server, &alice, &creds).await;
    reply.error(401, "M_USER_LOCKED");
    set_status(&server, "alice", "suspended");
    add(&server, &alice, &creds).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

/// Incident 31: a validation session that started before a password reset is invalid after it.
#[tokio::test]
async fn incident_31_a_session_begun_before_a_reset_adds_nothing() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    set_number(&server, "alice", "proofs_not_before", NOW + 1);
    let reply = add(&server, &alice, &creds).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    set_number(&server, "alice", "proofs_not_before", NOW);
    add(&server, &alice, &creds).await.ok();
}

#[tokio::test]
async fn acc3_04_an_address_of_another_account_is_in_use() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    let (one, two) = (
        validated_credentials(&server, ALICE, "one").await,
        validated_credentials(&server, ALICE, "two").await,
    );
    add(&server, &alice, &one).await.ok();
    for _ in 0..2 {
        let reply = add(&server, &bob, &two).await;
        reply.error(400, "M_THREEPID_IN_USE");
    }
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
    assert_eq!(
        validations_in(&server, "spent"),
        1,
        "Bob's validation session is not spent"
    );
}

#[tokio::test]
async fn acc3_02_an_account_has_sixteen_addresses_at_most() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for number in 0..16 {
        add_threepid(&server, &alice, &format!("user{number}@example.org")).await;
    }
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let reply = add(&server, &alice, &creds).await;
    reply.error(403, "M_FORBIDDEN");
    assert_eq!(list(&server, &alice).await.len(), 16);
    remove(&server, &alice, "user3@example.org").await.ok();
    add(&server, &alice, &creds).await.ok();
    assert_eq!(list(&server, &alice).await.len(), 16);
}

/// 3PID-08: the policy may have changed since the message was sent.
#[tokio::test]
async fn threepid_08_an_address_denied_since_is_not_added() {
    let directory = tempfile::tempdir().unwrap();
    let before = TestServer::in_directory(&[MAIL], directory.path()).await;
    let alice = user_token(&before, "alice").await;
    let creds = validated_credentials(&before, ALICE, "secret").await;
    drop(before);
    let denied = [MAIL, ("GATEHOUSE_EMAIL_DENIED", ".*@example[.]org")];
    let server = TestServer::in_directory(&denied, directory.path()).await;
    let reply = add(&server, &alice, &creds).await;
    reply.error(403, "M_THREEPID_DENIED");
    assert!(threepid_owners(&server).is_empty());
}

#[tokio::test]
async fn acc3_07_with_changes_off_only_the_list_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let before = TestServer::in_directory(&[MAIL], directory.path()).await;
    let alice = user_token(&before, "alice").await;
    add_threepid(&before, &alice, ALICE).await;
    let creds = validated_credentials(&before, BOB, "secret").await;
    drop(before);
    let off = [MAIL, ("GATEHOUSE_3PID_CHANGES", "off")];
    let server = TestServer::in_directory(&off, directory.path()).await;
    for reply in [
        add(&server, &alice, &creds).await,
        remove(&server, &alice, ALICE).await,
        post_as(&server, &alice, ADD, &creds).await,
    ] {
        reply.error(403, "M_FORBIDDEN");
    }
    assert_eq!(list(&server, &alice).await, [ALICE]);
    assert_eq!(validations(&server).len(), 2);
}
