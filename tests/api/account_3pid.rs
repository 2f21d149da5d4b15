//! `GET` and `POST /account/3pid`.

use std::time::Duration;

use kit::{House, NOW, PREFIXES};
use serde_json::{Value, json};

use super::{
    own_addresses::{
        ALICE, BOB, LIST, NUMBER, add, ask, give, house, list, notices, owners, proofs_in, prove,
        set_number, user, validate,
    },
    support::{add_appservice, post_as, register_as, set_status, text},
    threepids::{rows, sid, with},
};

#[tokio::test]
async fn acc3_01_the_list_shows_each_address_with_its_two_times() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/3pid");
        let answer = house.get_as(&alice, &path).await.ok();
        assert_eq!(answer, json!({ "threepids": [] }));
    }
    let mail = prove(&house, "Alice@Example.ORG", "secret").await;
    house.advance(Duration::from_mins(1));
    add(&house, &alice, &mail).await.ok();
    give(&house, &alice, NUMBER).await;
    let (first, later) = (NOW, NOW + 60_000);
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/3pid");
        let answer = house.get_as(&alice, &path).await.ok();
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
async fn acc3_01_everybody_sees_their_own_and_guests_see_none() {
    let house = house(&[("GATEHOUSE_GUESTS", "true")]).await;
    let (alice, bob) = (user(&house, "alice").await, user(&house, "bob").await);
    give(&house, &alice, ALICE).await;
    assert_eq!(list(&house, &alice).await, [ALICE]);
    assert_eq!(list(&house, &bob).await, [""; 0]);
    set_status(&house, "alice", "suspended");
    assert_eq!(list(&house, &alice).await, [ALICE]);
    set_status(&house, "alice", "locked");
    house.get_as(&alice, LIST).await.error(401, "M_USER_LOCKED");
    let guest = house
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let guest = text(&guest, "access_token");
    let creds = prove(&house, BOB, "secret").await;
    for reply in [
        house.get_as(guest, LIST).await,
        add(&house, guest, &creds).await,
    ] {
        reply.error(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
    let none = house.get(LIST).await;
    none.error(401, "M_MISSING_TOKEN");
    let body = json!({ "three_pid_creds": creds });
    house.post(LIST, &body).await.error(401, "M_MISSING_TOKEN");
    add(&house, "junk", &creds)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(proofs_in(&house, "spent"), 1);
}

#[tokio::test]
async fn acc3_01_an_application_service_sees_and_adds_for_its_users() {
    let house = house(&[]).await;
    let token = add_appservice(&house, "irc", &[("@irc_.*", true)]).await;
    register_as(&house, &token, "irc_alice").await.ok();
    let creds = prove(&house, ALICE, "secret").await;
    let of = |name: &str| format!("{LIST}?user_id=@{name}:localhost");
    let body = json!({ "three_pid_creds": creds });
    post_as(&house, &token, &of("bob"), &body)
        .await
        .error(403, "M_FORBIDDEN");
    // Its own user has no account.
    post_as(&house, &token, LIST, &body)
        .await
        .error(403, "M_FORBIDDEN");
    post_as(&house, &token, &of("irc_alice"), &body).await.ok();
    let seen = house.get_as(&token, &of("irc_alice")).await.ok();
    assert_eq!(seen["threepids"][0]["address"], ALICE);
    let seen = house.get_as(&token, LIST).await.ok();
    assert_eq!(seen, json!({ "threepids": [] }));
}

#[tokio::test]
async fn acc3_02_the_credentials_are_read_in_every_spelling() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
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
        let creds = prove(&house, &address, "secret").await;
        let prefix = PREFIXES[number % 2];
        let path = format!("{prefix}/account/3pid");
        let reply = post_as(&house, &alice, &path, &spell(&creds)).await;
        assert_eq!(reply.ok(), json!({}));
    }
    assert_eq!(list(&house, &alice).await.len(), spellings.len());
}

#[tokio::test]
async fn acc3_02_what_is_missing_or_of_the_wrong_type_is_refused() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    let creds = prove(&house, ALICE, "secret").await;
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
        post_as(&house, &alice, LIST, &body)
            .await
            .error(400, errcode);
    }
    assert_eq!(proofs_in(&house, "validated"), 1);
}

/// 3PID-49, UIA-54: a session that does not prove the address, for this and for nothing else, is as
/// if it were not there.
#[tokio::test]
async fn acc3_02_what_cannot_be_verified_is_refused() {
    let house = house(&[(
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity",
    )])
    .await;
    let alice = user(&house, "alice").await;
    let pending = ask(&house, "pending@example.org", "secret").await;
    let own = prove(&house, BOB, "secret").await;
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
        let sid = sid(&house, &path, &body).await;
        let other = json!({ "sid": sid, "client_secret": "secret" });
        validate(&house, ALICE, &other).await;
        creds.push(other);
    }
    for creds in &creds {
        let reply = add(&house, &alice, creds).await;
        reply.error(403, "M_THREEPID_AUTH_FAILED");
    }
    house.advance(Duration::from_hours(24));
    let reply = add(&house, &alice, &own).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert!(owners(&house).is_empty());
    assert_eq!(proofs_in(&house, "spent"), 0);
    // Until a moment before, it would have been one.
    let late = prove(&house, BOB, "secret").await;
    house.advance(Duration::from_hours(24) - Duration::from_millis(1));
    add(&house, &alice, &late).await.ok();
}

#[tokio::test]
async fn acc3_02_a_proof_adds_one_address_once_and_a_repeat_is_told_the_same() {
    let house = house(&[]).await;
    let (alice, bob) = (user(&house, "alice").await, user(&house, "bob").await);
    let creds = prove(&house, ALICE, "secret").await;
    for _ in 0..3 {
        assert_eq!(add(&house, &alice, &creds).await.ok(), json!({}));
    }
    add(&house, &bob, &creds)
        .await
        .error(403, "M_THREEPID_AUTH_FAILED");
    assert_eq!(owners(&house), [(ALICE.into(), "alice".into())].into());
    assert_eq!(
        notices(&house),
        [("address-added".to_owned(), ALICE.to_owned())]
    );
    // Once it is no longer theirs, the proof is worth nothing to them either.
    super::own_addresses::remove(&house, &alice, ALICE)
        .await
        .ok();
    add(&house, &alice, &creds)
        .await
        .error(403, "M_THREEPID_AUTH_FAILED");
    assert!(owners(&house).is_empty());
}

#[tokio::test]
async fn acc3_02_an_address_that_is_proven_anew_stays_where_it_is() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    let (one, two) = (
        prove(&house, ALICE, "one").await,
        ask(&house, ALICE, "two").await,
    );
    add(&house, &alice, &one).await.ok();
    house.advance(Duration::from_mins(1));
    validate(&house, ALICE, &two).await;
    add(&house, &alice, &two).await.ok();
    let answer = house.get_as(&alice, LIST).await.ok();
    assert_eq!(
        answer["threepids"],
        json!([{ "medium": "email", "address": ALICE, "validated_at": NOW + 60_000, "added_at": NOW }])
    );
    assert_eq!(proofs_in(&house, "spent"), 2);
    assert_eq!(notices(&house).len(), 1, "nothing has been added");
}

/// TOK-15: a suspended account may add.
#[tokio::test]
async fn tok_15_a_suspended_account_may_add_an_address_and_a_locked_one_may_not() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    let creds = prove(&house, ALICE, "secret").await;
    set_status(&house, "alice", "locked");
    let reply = add(&house, &alice, &creds).await;
    reply.error(401, "M_USER_LOCKED");
    set_status(&house, "alice", "suspended");
    add(&house, &alice, &creds).await.ok();
    assert_eq!(list(&house, &alice).await, [ALICE]);
}

/// Incident 31: what was prepared before a reset is worth nothing after it.
#[tokio::test]
async fn incident_31_a_proof_that_was_begun_before_a_reset_adds_nothing() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    let creds = prove(&house, ALICE, "secret").await;
    set_number(&house, "alice", "proofs_not_before", NOW + 1);
    let reply = add(&house, &alice, &creds).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    set_number(&house, "alice", "proofs_not_before", NOW);
    add(&house, &alice, &creds).await.ok();
}

#[tokio::test]
async fn acc3_04_an_address_of_another_account_is_in_use() {
    let house = house(&[]).await;
    let (alice, bob) = (user(&house, "alice").await, user(&house, "bob").await);
    let (one, two) = (
        prove(&house, ALICE, "one").await,
        prove(&house, ALICE, "two").await,
    );
    add(&house, &alice, &one).await.ok();
    for _ in 0..2 {
        let reply = add(&house, &bob, &two).await;
        reply.error(400, "M_THREEPID_IN_USE");
    }
    assert_eq!(owners(&house), [(ALICE.into(), "alice".into())].into());
    assert_eq!(proofs_in(&house, "spent"), 1, "bob keeps his proof");
}

#[tokio::test]
async fn acc3_02_an_account_has_sixteen_addresses_at_most() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    for number in 0..16 {
        give(&house, &alice, &format!("user{number}@example.org")).await;
    }
    let creds = prove(&house, ALICE, "secret").await;
    let reply = add(&house, &alice, &creds).await;
    reply.error(403, "M_FORBIDDEN");
    assert_eq!(list(&house, &alice).await.len(), 16);
    super::own_addresses::remove(&house, &alice, "user3@example.org")
        .await
        .ok();
    add(&house, &alice, &creds).await.ok();
    assert_eq!(list(&house, &alice).await.len(), 16);
}

/// 3PID-08: the operator's rules may have changed since the message was sent.
#[tokio::test]
async fn _3pid_08_an_address_that_is_not_wanted_any_more_is_not_added() {
    let directory = tempfile::tempdir().unwrap();
    let mail = super::threepids::MAIL;
    let before = House::in_directory(&[mail], directory.path()).await;
    let alice = user(&before, "alice").await;
    let creds = prove(&before, ALICE, "secret").await;
    drop(before);
    let denied = [mail, ("GATEHOUSE_EMAIL_DENIED", ".*@example[.]org")];
    let house = House::in_directory(&denied, directory.path()).await;
    let reply = add(&house, &alice, &creds).await;
    reply.error(403, "M_THREEPID_DENIED");
    assert!(owners(&house).is_empty());
}

#[tokio::test]
async fn acc3_07_where_changes_are_off_the_list_is_all_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let mail = super::threepids::MAIL;
    let before = House::in_directory(&[mail], directory.path()).await;
    let alice = user(&before, "alice").await;
    give(&before, &alice, ALICE).await;
    let creds = prove(&before, BOB, "secret").await;
    drop(before);
    let off = [mail, ("GATEHOUSE_3PID_CHANGES", "off")];
    let house = House::in_directory(&off, directory.path()).await;
    for reply in [
        add(&house, &alice, &creds).await,
        super::own_addresses::remove(&house, &alice, ALICE).await,
        post_as(&house, &alice, super::own_addresses::ADD, &creds).await,
    ] {
        reply.error(403, "M_FORBIDDEN");
    }
    assert_eq!(list(&house, &alice).await, [ALICE]);
    assert_eq!(rows(&house).len(), 2);
}
