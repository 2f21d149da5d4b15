//! `GET /account/whoami`.

use serde_json::json;
use test_support::{PREFIXES, TestServer};

use super::support::{
    WHOAMI, add_appservice, masked, register_as, register_guest, set_status, text, whoami,
};

#[tokio::test]
async fn who_01_a_users_token_names_user_and_device() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let mut answers = Vec::new();
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/whoami");
        let me = server.get_as(text(&alice, "access_token"), &path).await;
        let me = me.ok();
        assert_eq!(me["device_id"], alice["device_id"]);
        answers.push(masked(&me, &["device_id"]));
    }
    assert_eq!(answers[0], answers[1]);
    insta::assert_snapshot!(answers[0], @r#"
    {
      "device_id": "[device_id]",
      "is_guest": false,
      "user_id": "@alice:localhost"
    }
    "#);
}

#[tokio::test]
async fn who_01_a_guests_token_says_is_guest() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = register_guest(&server).await;
    let me = whoami(&server, text(&guest, "access_token")).await;
    assert_eq!(me["is_guest"], true);
    assert_eq!(me["user_id"], guest["user_id"]);
}

#[tokio::test]
async fn who_01_an_appservice_is_its_own_user_or_one_it_asserts() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true), ("@open_.*", false)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    server.sign_up("open_bob").await;
    for prefix in PREFIXES {
        for (query, user_id) in [
            ("", "@ircbot:localhost"),
            ("?user_id=@ircbot:localhost", "@ircbot:localhost"),
            ("?user_id=%40irc_alice%3Alocalhost", "@irc_alice:localhost"),
            ("?user_id=@open_bob:localhost", "@open_bob:localhost"),
        ] {
            let path = format!("{prefix}/account/whoami{query}");
            let me = server.get_as(&token, &path).await.ok();
            assert_eq!(
                me,
                json!({ "user_id": user_id, "is_guest": false }),
                "{query}"
            );
        }
    }
    let query = format!("{WHOAMI}?access_token={token}&user_id=@irc_alice:localhost");
    assert_eq!(
        server.get(&query).await.ok()["user_id"],
        "@irc_alice:localhost"
    );
}

#[tokio::test]
async fn who_01_an_appservice_asserts_no_user_of_others() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let other = add_appservice(&server, "xmpp", &[("@xmpp_.*", true)]).await;
    register_as(&server, &other, "xmpp_carol").await.ok();
    register_as(&server, &token, "irc_alice").await.ok();
    server.sign_up("alice").await;
    for user_id in [
        "@alice:localhost",
        "@xmpp_carol:localhost",
        "@xmppbot:localhost",
        "@irc_nobody:localhost",
        "@irc_alice:example.org",
        "@irc_alice:localhost:8448",
        "@irc_alice",
        "irc_alice",
        "irc_alice:localhost",
        "@irc_%00:localhost",
        "@:localhost",
        ":localhost",
        "@",
        "",
    ] {
        let reply = server
            .get_as(&token, &format!("{WHOAMI}?user_id={user_id}"))
            .await;
        assert_eq!(reply.status, 403, "{user_id}: {}", reply.text());
        reply.error(403, "M_FORBIDDEN");
    }
}

/// Incident 13: an application service cannot assert a deactivated user either.
#[tokio::test]
async fn who_01_an_appservice_asserts_no_deactivated_user() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    set_status(&server, "irc_alice", "deactivated");
    let path = format!("{WHOAMI}?user_id=@irc_alice:localhost");
    server.get_as(&token, &path).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_01_a_users_token_ignores_user_id() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    server.sign_up("bob").await;
    let path = format!("{WHOAMI}?user_id=@bob:localhost");
    let me = server.get_as(text(&alice, "access_token"), &path).await;
    assert_eq!(me.ok()["user_id"], "@alice:localhost");
}
