//! `POST /account/3pid/delete`.

use serde_json::{Value, json};
use test_support::PREFIXES;

use super::{
    account_threepids::{
        ALICE, BOB, DELETE, LIST, NUMBER, add, add_threepid, list, remove, test_server, user_token,
        validated_credentials,
    },
    rows::{account_rows, notifications, threepid_owners, validations_in},
    support::{add_appservice, post_as, register_as, register_guest, set_status, text},
};

const NO_SUPPORT: &str = "no-support";

fn no_support() -> Value {
    json!({ "id_server_unbind_result": NO_SUPPORT })
}

/// No identity server is recorded for a 3PID that was only added to the account.
#[tokio::test]
async fn acc3_05_a_removed_address_is_gone_with_no_support() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for (prefix, address, medium) in [
        (PREFIXES[0], ALICE, "email"),
        (PREFIXES[1], NUMBER, "msisdn"),
    ] {
        add_threepid(&server, &alice, address).await;
        let path = format!("{prefix}/account/3pid/delete");
        let body = json!({ "medium": medium, "address": address });
        for _ in 0..2 {
            let reply = post_as(&server, &alice, &path, &body).await;
            assert_eq!(reply.ok(), no_support());
            assert_eq!(list(&server, &alice).await, [""; 0]);
        }
        assert!(threepid_owners(&server).is_empty());
        assert!(
            !account_rows(&server)
                .iter()
                .any(|row| row.contains(address)),
            "a row still contains the address"
        );
    }
}

/// The access token is checked before the body.
#[tokio::test]
async fn tok_04_without_a_token_the_body_is_not_examined() {
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

/// 3PID-63: every spelling names the same 3PID.
#[tokio::test]
async fn acc3_05_an_address_is_removed_by_any_spelling() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for (address, medium, spelling) in [
        ("strauss@example.org", "email", "Strau\u{df}@EXAMPLE.org"),
        ("kate@example.org", "email", "\u{212a}ATE@example.org"),
        (NUMBER, "msisdn", "+447400123456"),
    ] {
        add_threepid(&server, &alice, address).await;
        assert_eq!(list(&server, &alice).await, [address]);
        let body = json!({ "medium": medium, "address": spelling, "id_server": "localhost:1" });
        post_as(&server, &alice, DELETE, &body).await.ok();
        assert_eq!(list(&server, &alice).await, [""; 0], "{spelling}");
    }
}

#[tokio::test]
async fn l9_nobody_removes_an_address_of_another_account() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    add_threepid(&server, &alice, ALICE).await;
    add_threepid(&server, &bob, BOB).await;
    assert_eq!(remove(&server, &bob, ALICE).await.ok(), no_support());
    assert_eq!(list(&server, &alice).await, [ALICE]);
    let named = format!("{DELETE}?user_id=@alice:localhost");
    let body = json!({ "medium": "email", "address": ALICE, "user_id": "@alice:localhost" });
    post_as(&server, &bob, &named, &body).await.ok();
    let expected = [(ALICE.into(), "alice".into()), (BOB.into(), "bob".into())];
    assert_eq!(threepid_owners(&server), expected.into());
    assert_eq!(notifications(&server).len(), 2, "no notification is sent");
}

#[tokio::test]
async fn acc3_05_missing_or_invalid_members_are_refused() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    add_threepid(&server, &alice, ALICE).await;
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
    let alice = user_token(&server, "alice").await;
    add_threepid(&server, &alice, ALICE).await;
    set_status(&server, "alice", "suspended");
    let reply = remove(&server, &alice, ALICE).await;
    reply.error(403, "M_USER_SUSPENDED");
    let reply = remove(&server, &alice, BOB).await;
    reply.error(403, "M_USER_SUSPENDED");
    set_status(&server, "alice", "locked");
    let reply = remove(&server, &alice, ALICE).await;
    reply.error(401, "M_USER_LOCKED");
    let guest = register_guest(&server).await;
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
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
    set_status(&server, "alice", "active");
    remove(&server, &alice, ALICE).await.ok();
}

#[tokio::test]
async fn acc3_05_an_appservice_removes_for_its_own_users_only() {
    let server = test_server(&[]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    let alice = user_token(&server, "alice").await;
    add_threepid(&server, &alice, ALICE).await;
    let creds = validated_credentials(&server, BOB, "secret").await;
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
    assert_eq!(threepid_owners(&server).len(), 2);
    post_as(&server, &token, &of("irc_alice"), &address(BOB))
        .await
        .ok();
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
}

/// The notification goes to every e-mail address of the account, including the removed address.
#[tokio::test]
async fn acc3_05_every_mail_address_of_the_account_is_notified() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for address in [ALICE, BOB, NUMBER] {
        add_threepid(&server, &alice, address).await;
    }
    let notification = |kind: &str, recipient: &str| (kind.to_owned(), recipient.to_owned());
    let added = [
        notification("address-added", ALICE),
        notification("address-added", ALICE),
        notification("address-added", ALICE),
        notification("address-added", BOB),
        notification("address-added", BOB),
    ];
    assert_eq!(notifications(&server), added);
    remove(&server, &alice, ALICE).await.ok();
    remove(&server, &alice, ALICE).await.ok();
    let removed = [
        notification("address-removed", ALICE),
        notification("address-removed", BOB),
    ];
    assert_eq!(notifications(&server), [&added[..], &removed].concat());
}

#[tokio::test]
async fn acc3_05_a_removed_address_may_be_added_again() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    for (token, name, secret) in [
        (&alice, "alice", "one"),
        (&bob, "bob", "two"),
        (&alice, "alice", "three"),
    ] {
        let creds = validated_credentials(&server, ALICE, secret).await;
        add(&server, token, &creds).await.ok();
        assert_eq!(
            threepid_owners(&server),
            [(ALICE.into(), name.into())].into()
        );
        remove(&server, token, ALICE).await.ok();
    }
    assert_eq!(validations_in(&server, "spent"), 3);
}
