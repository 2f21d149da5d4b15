//! Incidents of other systems that a single endpoint can reproduce.

use std::sync::Arc;

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};
use tokio::task::JoinSet;

use super::{
    rows::accounts,
    support::{WHOAMI, add_appservice, dummy_registration, register_as, request, set_status, text},
};

/// Incident 13: a locked or deactivated account gets no token from any endpoint. The upgrade of guests has its own
/// test.
#[tokio::test]
async fn incident_13_no_token_for_a_deactivated_or_locked_account() {
    let server = TestServer::new().await;
    let service = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    for status in ["locked", "deactivated"] {
        let name = format!("alice-{status}");
        let (_, session) = server
            .begin(&json!({ "username": name, "password": PASSWORD }))
            .await;
        let last = json!({ "auth": { "type": "m.login.dummy", "session": session } });
        let answer = server.register(&last).await.ok();
        assert_eq!(server.register(&last).await.ok(), answer, "UIA-15");
        set_status(&server, &name, status);
        let expected = if status == "locked" {
            "M_USER_LOCKED"
        } else {
            "M_UNKNOWN_TOKEN"
        };
        // The response of the finished session contains a token, so it is not repeated.
        server.register(&last).await.error(400, "M_INVALID_PARAM");
        let token = text(&answer, "access_token");
        server.get_as(token, WHOAMI).await.error(401, expected);
        let again = dummy_registration(&name);
        server.register(&again).await.error(400, "M_USER_IN_USE");

        let bridged = format!("irc_{status}");
        register_as(&server, &service, &bridged).await.ok();
        set_status(&server, &bridged, status);
        let reply = register_as(&server, &service, &bridged).await;
        reply.error(400, "M_USER_IN_USE");
    }
}

/// Incident 18: the test sends every subset of token, `auth` and members. Each part is valid, invalid or of a wrong
/// type.
#[tokio::test]
async fn incident_18_no_subset_of_token_auth_and_body_is_a_5xx() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let alice = server.sign_up("alice").await;
    let service = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let (_, session) = server.begin(&json!({})).await;
    let tokens = [
        None,
        Some(""),
        Some("junk"),
        Some(text(&alice, "access_token")),
        Some(&service),
    ];
    let auths = [
        None,
        Some(json!(null)),
        Some(json!({})),
        Some(json!([])),
        Some(json!({ "type": "m.login.dummy" })),
        Some(json!({ "type": "m.login.password", "user": "alice", "password": PASSWORD })),
        Some(json!({ "session": session })),
        Some(json!({ "session": "x", "type": 1 })),
    ];
    let members = [
        None,
        Some(json!({ "username": "alice" })),
        Some(json!({ "username": "irc_x", "type": "m.login.application_service" })),
        Some(json!({ "password": [] })),
        Some(json!({ "guest_access_token": "x" })),
    ];
    let mut seen = 0;
    for token in tokens {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        for auth in &auths {
            for own in &members {
                let mut body = own.clone().unwrap_or_else(|| json!({}));
                if let Some(auth) = auth {
                    body["auth"] = auth.clone();
                }
                for kind in ["", "?kind=guest", "?kind=x"] {
                    let path = format!("{}/register{kind}", PREFIXES[seen % 2]);
                    let reply = server
                        .send(request(
                            "POST",
                            &path,
                            &headers,
                            body.to_string().as_bytes(),
                        ))
                        .await;
                    let status = reply.status.as_u16();
                    assert!([200, 400, 401, 403].contains(&status), "{body}: {status}");
                    assert!(reply.json().is_object());
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 5 * 8 * 5 * 3);
    let reply = server.get_as(text(&alice, "access_token"), WHOAMI).await;
    assert_eq!(reply.ok()["user_id"], "@alice:localhost");
}

/// Incident 23: a stage that is switched off is rejected.
#[tokio::test]
async fn incident_23_a_stage_that_is_not_offered_is_refused() {
    let server = TestServer::with(&[(
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.registration_token+m.login.dummy",
    )])
    .await;
    let stages = [
        json!({ "type": "m.login.dummy" }),
        json!({ "type": "m.login.terms" }),
        json!({ "type": "m.login.recaptcha", "response": "x" }),
        json!({ "type": "m.login.password", "user": "alice", "password": PASSWORD }),
        json!({ "type": "m.login.email.identity", "threepid_creds": {} }),
        json!({ "type": "m.login.msisdn", "threepidCreds": [] }),
        json!({ "type": "m.login.token", "token": "x" }),
        json!({ "type": "m.login.sso" }),
        json!({ "type": "m.login.application_service" }),
    ];
    let parameters = json!({ "username": "alice", "password": PASSWORD });
    let (_, session) = server.begin(&parameters).await;
    for stage in &stages {
        let mut in_one = parameters.clone();
        in_one["auth"] = stage.clone();
        let mut in_session = json!({ "auth": stage });
        in_session["auth"]["session"] = json!(session);
        for body in [in_one, in_session] {
            let challenge = server.register(&body).await.challenge();
            assert_eq!(challenge["completed"], json!([]), "{stage}");
            assert!(challenge["errcode"].is_string(), "{stage}");
        }
    }
    // The login type of application services in the body does not bypass the flows either.
    let body =
        json!({ "type": "m.login.application_service", "username": "alice", "password": PASSWORD });
    server.register(&body).await.error(401, "M_MISSING_TOKEN");
    assert_eq!(accounts(&server), 0);
}

/// Incident 24: an unknown type is never a completed stage.
#[tokio::test]
async fn incident_24_an_unknown_stage_is_never_completed() {
    let server = TestServer::new().await;
    let (_, session) = server
        .begin(&json!({ "username": "alice", "password": PASSWORD }))
        .await;
    let long = "m.login.dummy".repeat(1000);
    for stage in [
        "",
        " ",
        "m.login.Dummy",
        "M.LOGIN.DUMMY",
        "m.login.dummy ",
        "m.login.dummy\0",
        "m.login",
        "m.login.",
        "m.login.dummy2",
        "m.login.dummy+m.login.dummy",
        "dummy",
        "org.example.x",
        "\u{202E}",
        "{}",
        "../../x",
        &long,
    ] {
        for own in [json!(null), json!(session)] {
            let body = json!({ "auth": { "type": stage, "session": own } });
            let challenge = server.register(&body).await.refused("M_UNRECOGNIZED");
            assert_eq!(challenge["completed"], json!([]), "{stage:?}");
        }
    }
    assert_eq!(accounts(&server), 0);
}

/// Incident 26: every served version of the path gets the same response, and other versions do not exist.
#[tokio::test]
async fn incident_26_no_version_of_the_path_skips_a_check() {
    let flows = "m.login.registration_token+m.login.dummy";
    let server = TestServer::with(&[("GATEHOUSE_REGISTRATION_FLOWS", flows)]).await;
    let body = dummy_registration("alice");
    for version in ["r0", "v3"] {
        let path = format!("/_matrix/client/{version}/register");
        server.post(&path, &body).await.challenge();
    }
    for version in [
        "v1", "v2", "v4", "r1", "unstable", "R0", "V3", "api/v1", "v2_alpha", "v3/r0", "",
    ] {
        let path = format!("/_matrix/client/{version}/register");
        server.post(&path, &body).await.error(404, "M_UNRECOGNIZED");
    }
    assert_eq!(accounts(&server), 0);
}

#[tokio::test]
async fn incident_26_a_thousand_registrations_of_a_taken_name_fail() {
    let server = Arc::new(TestServer::new().await);
    let alice = server.sign_up("alice").await;
    let before = server.dump();
    // The requests are sent in batches, because all of them at once would exhaust a machine that
    // runs other tests too.
    for batch in 0..20 {
        let mut requests = JoinSet::new();
        for index in 0..50 {
            let server = Arc::clone(&server);
            requests.spawn(async move {
                let name = ["alice", "Alice", "ALICE"][(batch + index) % 3];
                let body = json!({ "username": name, "password": "another", "auth": { "type": "m.login.dummy" } });
                let path = format!("{}/register", PREFIXES[index % 2]);
                server.post(&path, &body).await
            });
        }
        for reply in requests.join_all().await {
            reply.error(400, "M_USER_IN_USE");
        }
    }
    assert_eq!(server.dump(), before);
    let reply = server.get_as(text(&alice, "access_token"), WHOAMI).await;
    assert_eq!(reply.ok()["device_id"], alice["device_id"]);
}
