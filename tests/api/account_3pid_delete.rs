//! `POST /account/3pid/delete`.

use serde_json::{Value, json};
use test_support::PREFIXES;

use super::{
    own_addresses::{
        ALICE, BOB, DELETE, LIST, NUMBER, add, give, list, notices, owners, proofs_in, prove,
        remove, test_server, user,
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
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    for (prefix, address, medium) in [
        (PREFIXES[0], ALICE, "email"),
        (PREFIXES[1], NUMBER, "msisdn"),
    ] {
        give(&server, &alice, address).await;
        let path = format!("{prefix}/account/3pid/delete");
        let body = json!({ "medium": medium, "address": address });
        for _ in 0..2 {
            let reply = post_as(&server, &alice, &path, &body).await;
            assert_eq!(reply.ok(), gone());
            assert_eq!(list(&server, &alice).await, [""; 0]);
        }
        assert!(owners(&server).is_empty());
        assert!(
            !server
                .local
                .dynamodb()
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
    let server = test_server(&[]).await;
    for path in [DELETE, LIST] {
        for body in [
            "{",
            "[]",
            "{}",
            r#"{"medium":"pigeon","address":5,"three_pid_creds":5}"#,
        ] {
            let none = server.post_text(path, body).await;
            none.error(401, "M_MISSING_TOKEN");
        }
        let junk = post_as(&server, "junk", path, &json!({})).await;
        junk.error(401, "M_UNKNOWN_TOKEN");
    }
}

/// 3PID-63: any spelling of an address is that address.
#[tokio::test]
async fn acc3_05_an_address_is_removed_by_any_spelling() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    for (address, medium, spelling) in [
        ("strauss@example.org", "email", "Strau\u{df}@EXAMPLE.org"),
        ("kate@example.org", "email", "\u{212a}ATE@example.org"),
        (NUMBER, "msisdn", "+447400123456"),
    ] {
        give(&server, &alice, address).await;
        assert_eq!(list(&server, &alice).await, [address]);
        let body = json!({ "medium": medium, "address": spelling, "id_server": "localhost:1" });
        post_as(&server, &alice, DELETE, &body).await.ok();
        assert_eq!(list(&server, &alice).await, [""; 0], "{spelling}");
    }
}

#[tokio::test]
async fn l9_nobody_removes_an_address_of_somebody_else() {
    let server = test_server(&[]).await;
    let (alice, bob) = (user(&server, "alice").await, user(&server, "bob").await);
    give(&server, &alice, ALICE).await;
    give(&server, &bob, BOB).await;
    assert_eq!(remove(&server, &bob, ALICE).await.ok(), gone());
    assert_eq!(list(&server, &alice).await, [ALICE]);
    let named = format!("{DELETE}?user_id=@alice:localhost");
    let body = json!({ "medium": "email", "address": ALICE, "user_id": "@alice:localhost" });
    post_as(&server, &bob, &named, &body).await.ok();
    let expected = [(ALICE.into(), "alice".into()), (BOB.into(), "bob".into())];
    assert_eq!(owners(&server), expected.into());
    assert_eq!(notices(&server).len(), 2, "and nobody is told of anything");
}

#[tokio::test]
async fn acc3_05_what_is_missing_or_no_address_is_refused() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    give(&server, &alice, ALICE).await;
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
        let reply = post_as(&server, &alice, DELETE, &body).await;
        reply.error(400, errcode);
    }
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

#[tokio::test]
async fn tok_15_a_suspended_account_may_not_remove_an_address() {
    let server = test_server(&[("GATEHOUSE_GUESTS", "true")]).await;
    let alice = user(&server, "alice").await;
    give(&server, &alice, ALICE).await;
    set_status(&server, "alice", "suspended");
    let reply = remove(&server, &alice, ALICE).await;
    reply.error(403, "M_USER_SUSPENDED");
    let reply = remove(&server, &alice, BOB).await;
    reply.error(403, "M_USER_SUSPENDED");
    set_status(&server, "alice", "locked");
    let reply = remove(&server, &alice, ALICE).await;
    reply.error(401, "M_USER_LOCKED");
    let guest = "/_matrix/client/v3/register?kind=guest";
    let guest = server.post(guest, &json!({})).await.ok();
    remove(&server, text(&guest, "access_token"), ALICE)
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let body = json!({ "medium": "email", "address": ALICE });
    server
        .post(DELETE, &body)
        .await
        .error(401, "M_MISSING_TOKEN");
    remove(&server, "junk", ALICE)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(owners(&server), [(ALICE.into(), "alice".into())].into());
    set_status(&server, "alice", "active");
    remove(&server, &alice, ALICE).await.ok();
}

#[tokio::test]
async fn acc3_05_an_application_service_removes_addresses_of_its_users_alone() {
    let server = test_server(&[]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    let alice = user(&server, "alice").await;
    give(&server, &alice, ALICE).await;
    let creds = prove(&server, BOB, "secret").await;
    let own = "/_matrix/client/v3/account/3pid?user_id=@irc_alice:localhost";
    let body = json!({ "three_pid_creds": creds });
    post_as(&server, &token, own, &body).await.ok();
    let of = |name: &str| format!("{DELETE}?user_id=@{name}:localhost");
    let address = |address: &str| json!({ "medium": "email", "address": address });
    let reply = post_as(&server, &token, &of("alice"), &address(ALICE)).await;
    reply.error(403, "M_FORBIDDEN");
    post_as(&server, &token, &of("irc_alice"), &address(ALICE))
        .await
        .ok();
    assert_eq!(owners(&server).len(), 2);
    post_as(&server, &token, &of("irc_alice"), &address(BOB))
        .await
        .ok();
    assert_eq!(owners(&server), [(ALICE.into(), "alice".into())].into());
}

/// Whoever loses an address is told at all of them, that one included.
#[tokio::test]
async fn acc3_05_every_mailbox_of_the_account_is_told() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    for address in [ALICE, BOB, NUMBER] {
        give(&server, &alice, address).await;
    }
    let told = |what: &str, whom: &str| (what.to_owned(), whom.to_owned());
    let added = [
        told("address-added", ALICE),
        told("address-added", ALICE),
        told("address-added", ALICE),
        told("address-added", BOB),
        told("address-added", BOB),
    ];
    assert_eq!(notices(&server), added);
    remove(&server, &alice, ALICE).await.ok();
    remove(&server, &alice, ALICE).await.ok();
    let removed = [told("address-removed", ALICE), told("address-removed", BOB)];
    assert_eq!(notices(&server), [&added[..], &removed].concat());
}

#[tokio::test]
async fn acc3_05_a_removed_address_may_be_added_again_by_whoever_proves_it() {
    let server = test_server(&[]).await;
    let (alice, bob) = (user(&server, "alice").await, user(&server, "bob").await);
    for (token, name, secret) in [
        (&alice, "alice", "one"),
        (&bob, "bob", "two"),
        (&alice, "alice", "three"),
    ] {
        let creds = prove(&server, ALICE, secret).await;
        add(&server, token, &creds).await.ok();
        assert_eq!(owners(&server), [(ALICE.into(), name.into())].into());
        remove(&server, token, ALICE).await.ok();
    }
    assert_eq!(proofs_in(&server, "spent"), 3);
}
