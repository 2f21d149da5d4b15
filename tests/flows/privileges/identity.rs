//! The scenario with identity servers.

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use serde_json::json;
use test_support::{PREFIXES, TestServer};

use super::start_every_function;
use crate::{
    api::support::{add_appservice, post_as, register_as},
    flows::{
        identity::unbinding::bind,
        support::{
            account_helpers::{
                DEACTIVATE_PATH, OTHER_PASSWORD, PASSWORD_PATH, log_in, password_of,
            },
            flows,
            identity_server::{IdServer, TOKEN},
            registration,
            threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, mail_to, text_to},
            with,
        },
    },
};

/// Makes the identity server send messages for resets with the addresses of accounts.
async fn request_resets(server: &TestServer, id_server: &IdServer) {
    let server_members = json!({ "id_server": id_server.name, "id_access_token": TOKEN });
    for (medium, recipient) in [
        ("email", mail_to(ALICE, "reset", 1)),
        ("msisdn", text_to(NUMBER.0, "reset", 1)),
    ] {
        let path = format!("{PASSWORD_PATH}/{medium}/requestToken");
        let body = with(recipient, &server_members);
        server.post(&path, &body).await.ok();
    }
}

/// An identity server validates an address. The address is bound at registration and by its user,
/// unbound, and validated again for a reset. Another binding is removed after the deactivation. Limits
/// are on.
pub(super) async fn scenario() -> BTreeSet<Use> {
    let id_server = IdServer::start("id.example.org");
    let settings = [
        ("GATEHOUSE_LIMITS", "on"),
        ("GATEHOUSE_THREEPID_VALIDATION", "delegated"),
        flows("m.login.email.identity m.login.msisdn"),
    ];
    let server = IdServer::test_server(&[&id_server], &settings).await;
    let bridge = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    start_every_function(&server).await;
    id_server.session("1", "secret", "email", ALICE);
    id_server.session("2", "another-secret", "email", ALICE);
    id_server.session("3", "third-secret", "msisdn", NUMBER.1);
    let creds = |stage: &str, sid: &str, secret: &str| {
        json!({
            "type": stage,
            "threepid_creds": {
                "sid": sid, "client_secret": secret,
                "id_server": id_server.name, "id_access_token": TOKEN,
            },
        })
    };
    let further = json!({ "auth": creds(EMAIL, "1", "secret"), "bind_email": true });
    let user = server
        .register(&with(registration("alice"), &further))
        .await
        .ok();
    let further = json!({ "auth": creds(MSISDN, "3", "third-secret") });
    let bob = with(registration("bob"), &further);
    server.register(&bob).await.ok();
    request_resets(&server, &id_server).await;
    let token = user["access_token"].as_str().unwrap();
    for (end, body) in [
        (
            "bind",
            json!({
                "client_secret": "secret", "sid": "1", "id_server": id_server.name, "id_access_token": TOKEN,
            }),
        ),
        ("unbind", json!({ "medium": "email", "address": ALICE })),
    ] {
        let path = format!("{}/account/3pid/{end}", PREFIXES[1]);
        post_as(&server, token, &path, &body).await.ok();
    }
    // An application service binds and unbinds for its users.
    register_as(&server, &bridge, "irc_alice").await.ok();
    for end in ["bind", "unbind"] {
        let path = format!(
            "{}/account/3pid/{end}?user_id=@irc_alice:localhost",
            PREFIXES[1]
        );
        post_as(&server, &bridge, &path, &json!({})).await;
    }
    let reset =
        json!({ "auth": creds(EMAIL, "2", "another-secret"), "new_password": OTHER_PASSWORD });
    server.post(PASSWORD_PATH, &reset).await.ok();
    let alice = log_in(&server, "alice", OTHER_PASSWORD).await;
    bind(&server, &alice, &id_server, "email", ALICE).await;
    id_server.respond_with("503 Service Unavailable", &json!({}));
    let body = json!({ "auth": password_of("alice", OTHER_PASSWORD, None) });
    alice.post(&server, DEACTIVATE_PATH, &body).await.ok();
    server.deliver().await;
    id_server.set_misbehaviour(None);
    server.advance(Duration::from_mins(2));
    server.run_schedule().await;
    assert!(id_server.bindings().is_empty());
    server.local.proxy().used()
}
