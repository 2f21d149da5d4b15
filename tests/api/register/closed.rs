//! Closed registration.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::api::{
    rows::accounts,
    support::{add_appservice, dummy_registration, register_as, register_guest, text, whoami},
};

const VALIDITY: &str = "/_matrix/client/v1/register/m.login.registration_token/validity";

/// REG-29, AVAIL-01, RTOK-01: a closed server does not reveal names in use or valid tokens in any
/// response.
#[tokio::test]
async fn reg_29_a_closed_server_reveals_nothing() {
    let server = TestServer::with(&[("GATEHOUSE_REGISTRATION", "closed")]).await;
    let token = server.registration_token(&[]).await;
    let before = server.dump();
    let bodies = [
        "{}".to_owned(),
        String::new(),
        "[]".to_owned(),
        r#"{"username":5}"#.to_owned(),
        r#"{"username":"@"}"#.to_owned(),
        dummy_registration("alice").to_string(),
        json!({ "auth": { "session": "x" } }).to_string(),
    ];
    for prefix in PREFIXES {
        for body in &bodies {
            for kind in ["", "?kind=user", "?kind=admin", "?kind=guest"] {
                let path = format!("{prefix}/register{kind}");
                server
                    .post_text(&path, body)
                    .await
                    .error(403, "M_FORBIDDEN");
            }
        }
        for query in ["?username=alice", "?username=%40", "?username=", ""] {
            let path = format!("{prefix}/register/available{query}");
            server.get(&path).await.error(403, "M_FORBIDDEN");
        }
    }
    for query in [
        format!("?token={token}"),
        "?token=no".to_owned(),
        String::new(),
    ] {
        let path = format!("{VALIDITY}{query}");
        server.get(&path).await.error(403, "M_FORBIDDEN");
    }
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn reg_29_a_closed_server_serves_guests_and_appservices() {
    let settings = [
        ("GATEHOUSE_REGISTRATION", "closed"),
        ("GATEHOUSE_GUESTS", "true"),
    ];
    let server = TestServer::with(&settings).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let bridged = register_as(&server, &token, "irc_bob").await.ok();
    assert_eq!(bridged["user_id"], "@irc_bob:localhost");
    let guest = register_guest(&server).await;
    let guest_token = text(&guest, "access_token");
    assert_eq!(whoami(&server, guest_token).await["is_guest"], true);
    assert_eq!(accounts(&server), 2);

    // A guest cannot bypass the closed registration with an upgrade.
    let name = text(&guest, "user_id")
        .trim_start_matches('@')
        .trim_end_matches(":localhost");
    let upgrade = json!({
        "username": name, "password": PASSWORD, "guest_access_token": guest_token,
        "auth": { "type": "m.login.dummy" },
    });
    server.register(&upgrade).await.error(403, "M_FORBIDDEN");
    assert_eq!(whoami(&server, guest_token).await["is_guest"], true);
}

#[tokio::test]
async fn reg_29_open_registration_does_not_enable_guests() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/register?kind=guest");
        server
            .post(&path, &json!({}))
            .await
            .error(403, "M_FORBIDDEN");
    }
    assert_eq!(accounts(&server), 0);
}
