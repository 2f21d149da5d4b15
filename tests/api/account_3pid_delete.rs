//! `POST /account/3pid/delete`.

use kit::PREFIXES;
use serde_json::{Value, json};

use super::{
    own_addresses::{
        ALICE, BOB, DELETE, LIST, NUMBER, add, give, house, list, notices, owners, proofs_in,
        prove, remove, user,
    },
    support::{add_appservice, post_as, register_as, set_status, text},
};

const GONE: &str = "no-support";

fn gone() -> Value {
    json!({ "id_server_unbind_result": GONE })
}

/// No identity server is known for an address that was only added here.
#[tokio::test]
async fn acc3_05_a_removed_address_is_gone_and_the_answer_is_no_support() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    for (prefix, address, medium) in [
        (PREFIXES[0], ALICE, "email"),
        (PREFIXES[1], NUMBER, "msisdn"),
    ] {
        give(&house, &alice, address).await;
        let path = format!("{prefix}/account/3pid/delete");
        let body = json!({ "medium": medium, "address": address });
        for _ in 0..2 {
            let reply = post_as(&house, &alice, &path, &body).await;
            assert_eq!(reply.ok(), gone());
            assert_eq!(list(&house, &alice).await, [""; 0]);
        }
        assert!(owners(&house).is_empty());
        assert!(
            !house
                .local
                .engine()
                .table("Accounts")
                .unwrap()
                .iter()
                .any(|row| row.to_string().contains(address)),
            "nothing is left of it"
        );
    }
}

/// Who asks is judged before what is asked.
#[tokio::test]
async fn tok_04_a_stranger_learns_nothing_of_the_body() {
    let house = house(&[]).await;
    for path in [DELETE, LIST] {
        for body in [
            "{",
            "[]",
            "{}",
            r#"{"medium":"pigeon","address":5,"three_pid_creds":5}"#,
        ] {
            let none = house.post_text(path, body).await;
            none.error(401, "M_MISSING_TOKEN");
        }
        let junk = post_as(&house, "junk", path, &json!({})).await;
        junk.error(401, "M_UNKNOWN_TOKEN");
    }
}

/// 3PID-63: any spelling of an address is that address.
#[tokio::test]
async fn acc3_05_an_address_is_removed_by_any_spelling() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    for (address, medium, spelling) in [
        ("strauss@example.org", "email", "Strau\u{df}@EXAMPLE.org"),
        ("kate@example.org", "email", "\u{212a}ATE@example.org"),
        (NUMBER, "msisdn", "+447400123456"),
    ] {
        give(&house, &alice, address).await;
        assert_eq!(list(&house, &alice).await, [address]);
        let body = json!({ "medium": medium, "address": spelling, "id_server": "localhost:1" });
        post_as(&house, &alice, DELETE, &body).await.ok();
        assert_eq!(list(&house, &alice).await, [""; 0], "{spelling}");
    }
}

#[tokio::test]
async fn l9_nobody_removes_an_address_of_somebody_else() {
    let house = house(&[]).await;
    let (alice, bob) = (user(&house, "alice").await, user(&house, "bob").await);
    give(&house, &alice, ALICE).await;
    give(&house, &bob, BOB).await;
    assert_eq!(remove(&house, &bob, ALICE).await.ok(), gone());
    assert_eq!(list(&house, &alice).await, [ALICE]);
    let named = format!("{DELETE}?user_id=@alice:localhost");
    let body = json!({ "medium": "email", "address": ALICE, "user_id": "@alice:localhost" });
    post_as(&house, &bob, &named, &body).await.ok();
    let expected = [(ALICE.into(), "alice".into()), (BOB.into(), "bob".into())];
    assert_eq!(owners(&house), expected.into());
    assert_eq!(notices(&house).len(), 2, "and nobody is told of anything");
}

#[tokio::test]
async fn acc3_05_what_is_missing_or_no_address_is_refused() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    give(&house, &alice, ALICE).await;
    for (body, errcode) in [
        (json!({}), "M_MISSING_PARAM"),
        (json!({ "medium": "email" }), "M_MISSING_PARAM"),
        (json!({ "address": ALICE }), "M_MISSING_PARAM"),
        (json!({ "medium": 1, "address": ALICE }), "M_BAD_JSON"),
        (
            json!({ "medium": "email", "address": [ALICE] }),
            "M_BAD_JSON",
        ),
        (
            json!({ "medium": "email", "address": ALICE, "id_server": {} }),
            "M_BAD_JSON",
        ),
        (
            json!({ "medium": "Email", "address": ALICE }),
            "M_INVALID_PARAM",
        ),
        (
            json!({ "medium": "postal", "address": ALICE }),
            "M_INVALID_PARAM",
        ),
        (
            json!({ "medium": "email", "address": "a@b@example.org" }),
            "M_INVALID_PARAM",
        ),
        (
            json!({ "medium": "email", "address": "x".repeat(10_000) }),
            "M_INVALID_PARAM",
        ),
        (
            json!({ "medium": "msisdn", "address": ALICE }),
            "M_INVALID_PARAM",
        ),
        (
            json!({ "medium": "msisdn", "address": "" }),
            "M_INVALID_PARAM",
        ),
        (
            json!({ "medium": "msisdn", "address": "1".repeat(16) }),
            "M_INVALID_PARAM",
        ),
    ] {
        let reply = post_as(&house, &alice, DELETE, &body).await;
        reply.error(400, errcode);
    }
    assert_eq!(list(&house, &alice).await, [ALICE]);
}

#[tokio::test]
async fn tok_15_a_suspended_account_may_not_remove_an_address() {
    let house = house(&[("GATEHOUSE_GUESTS", "true")]).await;
    let alice = user(&house, "alice").await;
    give(&house, &alice, ALICE).await;
    set_status(&house, "alice", "suspended");
    let reply = remove(&house, &alice, ALICE).await;
    reply.error(403, "M_USER_SUSPENDED");
    let reply = remove(&house, &alice, BOB).await;
    reply.error(403, "M_USER_SUSPENDED");
    set_status(&house, "alice", "locked");
    let reply = remove(&house, &alice, ALICE).await;
    reply.error(401, "M_USER_LOCKED");
    let guest = "/_matrix/client/v3/register?kind=guest";
    let guest = house.post(guest, &json!({})).await.ok();
    remove(&house, text(&guest, "access_token"), ALICE)
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let body = json!({ "medium": "email", "address": ALICE });
    house
        .post(DELETE, &body)
        .await
        .error(401, "M_MISSING_TOKEN");
    remove(&house, "junk", ALICE)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(owners(&house), [(ALICE.into(), "alice".into())].into());
    set_status(&house, "alice", "active");
    remove(&house, &alice, ALICE).await.ok();
}

#[tokio::test]
async fn acc3_05_an_application_service_removes_addresses_of_its_users_alone() {
    let house = house(&[]).await;
    let token = add_appservice(&house, "irc", &[("@irc_.*", true)]).await;
    register_as(&house, &token, "irc_alice").await.ok();
    let alice = user(&house, "alice").await;
    give(&house, &alice, ALICE).await;
    let creds = prove(&house, BOB, "secret").await;
    let own = "/_matrix/client/v3/account/3pid?user_id=@irc_alice:localhost";
    let body = json!({ "three_pid_creds": creds });
    post_as(&house, &token, own, &body).await.ok();
    let of = |name: &str| format!("{DELETE}?user_id=@{name}:localhost");
    let address = |address: &str| json!({ "medium": "email", "address": address });
    let reply = post_as(&house, &token, &of("alice"), &address(ALICE)).await;
    reply.error(403, "M_FORBIDDEN");
    post_as(&house, &token, &of("irc_alice"), &address(ALICE))
        .await
        .ok();
    assert_eq!(owners(&house).len(), 2);
    post_as(&house, &token, &of("irc_alice"), &address(BOB))
        .await
        .ok();
    assert_eq!(owners(&house), [(ALICE.into(), "alice".into())].into());
}

/// Whoever loses an address is told at all of them, that one included.
#[tokio::test]
async fn acc3_05_every_mailbox_of_the_account_is_told() {
    let house = house(&[]).await;
    let alice = user(&house, "alice").await;
    for address in [ALICE, BOB, NUMBER] {
        give(&house, &alice, address).await;
    }
    let told = |what: &str, whom: &str| (what.to_owned(), whom.to_owned());
    let added = [
        told("address-added", ALICE),
        told("address-added", ALICE),
        told("address-added", ALICE),
        told("address-added", BOB),
        told("address-added", BOB),
    ];
    assert_eq!(notices(&house), added);
    remove(&house, &alice, ALICE).await.ok();
    remove(&house, &alice, ALICE).await.ok();
    let removed = [told("address-removed", ALICE), told("address-removed", BOB)];
    assert_eq!(notices(&house), [&added[..], &removed].concat());
}

#[tokio::test]
async fn acc3_05_a_removed_address_may_be_added_again_by_whoever_proves_it() {
    let house = house(&[]).await;
    let (alice, bob) = (user(&house, "alice").await, user(&house, "bob").await);
    for (token, name, secret) in [
        (&alice, "alice", "one"),
        (&bob, "bob", "two"),
        (&alice, "alice", "three"),
    ] {
        let creds = prove(&house, ALICE, secret).await;
        add(&house, token, &creds).await.ok();
        assert_eq!(owners(&house), [(ALICE.into(), name.into())].into());
        remove(&house, token, ALICE).await.ok();
    }
    assert_eq!(proofs_in(&house, "spent"), 3);
}
