//! The protocol of User-Interactive Authentication, request by request.

use serde_json::{Value, json};
use shared::config::Config;
use test_support::{PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, POLICIES, RECAPTCHA, TERMS, TOKEN, TWO_STAGES, assert_users, flows, is_free, new_token,
    registration, stage, token_stage, whoami, with,
};

const THREE_STAGES: &str = "m.login.registration_token+m.login.terms+m.login.dummy";

#[tokio::test]
async fn uia_01_a_request_without_auth_never_succeeds() {
    let server = TestServer::new().await;
    let bodies = [
        json!({}),
        registration("alice"),
        json!({ "auth": null }),
        with(registration("alice"), &json!({ "auth": {} })),
        with(
            registration("alice"),
            &json!({ "auth": { "session": null, "type": null } }),
        ),
        with(
            registration("alice"),
            &json!({ "auth": { "password": "x" } }),
        ),
    ];
    for prefix in PREFIXES {
        for body in &bodies {
            let challenge = server
                .post(&format!("{prefix}/register"), body)
                .await
                .challenge();
            assert!(challenge.get("errcode").is_none(), "{body}: {challenge}");
        }
    }
    assert_users(&server, &[]);
}

/// UIA-02, UIA-03, UIA-04, UIA-05, UIA-06
#[tokio::test]
async fn uia_02_the_first_challenge_has_its_four_members_only() {
    let settings = [
        flows("m.login.registration_token+m.login.dummy m.login.terms"),
        POLICIES,
    ];
    let server = TestServer::with(&settings).await;
    for prefix in PREFIXES {
        let challenge = server
            .post(&format!("{prefix}/register"), &json!({}))
            .await
            .challenge();
        let session = challenge["session"].as_str().unwrap();
        assert!(session.len() >= 32, "{session}");
        let policies: Value = serde_json::from_str(POLICIES.1).unwrap();
        let expected = json!({
            "flows": [{ "stages": [TOKEN, DUMMY] }, { "stages": [TERMS] }],
            "params": { TERMS: { "policies": policies } },
            "session": session,
            "completed": [],
        });
        assert_eq!(challenge, expected);
    }
    let server = TestServer::new().await;
    let (challenge, _) = server.begin(&json!({})).await;
    assert_eq!(challenge["params"], json!({}), "UIA-03: an empty object");
}

/// UIA-04, UIA-05, UIA-06, UIA-07, UIA-22
#[tokio::test]
async fn uia_07_three_stages_share_a_session_and_the_last_succeeds() {
    let server = TestServer::with(&[flows(THREE_STAGES), POLICIES]).await;
    for (number, prefix) in PREFIXES.iter().enumerate() {
        let path = format!("{prefix}/register");
        let name = format!("alice{number}");
        let token = new_token(&server, &[]).await;
        let first = server.post(&path, &registration(&name)).await.challenge();
        let session = first["session"].as_str().unwrap();
        let mut expected = first.clone();
        let second = server
            .post(&path, &token_stage(&token, Some(session)))
            .await
            .challenge();
        expected["completed"] = json!([TOKEN]);
        assert_eq!(second, expected);
        let third = server.post(&path, &stage(TERMS, session)).await.challenge();
        expected["completed"] = json!([TOKEN, TERMS]);
        assert_eq!(third, expected);
        assert!(
            is_free(&server, &name).await,
            "nothing is created before the end"
        );
        let answer = server.post(&path, &stage(DUMMY, session)).await.ok();
        let me = whoami(&server, &answer).await;
        assert_eq!(me["user_id"], format!("@{name}:localhost"));
    }
    assert_users(&server, &["alice0", "alice1"]);
}

#[tokio::test]
async fn uia_08_a_failed_stage_may_be_tried_again_in_its_session() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &[]).await;
    let (first, session) = server.begin(&registration("alice")).await;
    let refused = server
        .register(&token_stage("wrong-token", Some(&session)))
        .await;
    let refused = refused.refused("M_UNAUTHORIZED");
    for member in ["flows", "params", "session", "completed"] {
        assert_eq!(refused[member], first[member], "{member}");
    }
    let done = server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    assert_eq!(done["completed"], json!([TOKEN]));
    assert!(done.get("errcode").is_none());
    server.register(&stage(DUMMY, &session)).await.ok();
}

/// UIA-09, REG-14
#[tokio::test]
async fn uia_09_a_name_taken_during_uia_is_a_plain_error() {
    let server = TestServer::new().await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.sign_up("alice").await;
    for body in [
        stage(DUMMY, &session),
        with(registration("alice"), &stage(DUMMY, &session)),
        json!({ "auth": { "session": session } }),
    ] {
        server.register(&body).await.error(400, "M_USER_IN_USE");
    }
    // Completed stages stay completed: another name suffices.
    let again = json!({ "username": "bob", "auth": { "session": session } });
    assert_eq!(
        server.register(&again).await.ok()["user_id"],
        "@bob:localhost"
    );
    assert_users(&server, &["alice", "bob"]);
}

#[tokio::test]
async fn uia_10_a_second_stage_without_its_session_starts_over() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &[]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    let lost = with(registration("alice"), &json!({ "auth": { "type": DUMMY } }));
    let lost = server.register(&lost).await.refused("M_UNRECOGNIZED");
    assert_ne!(lost["session"], session.as_str());
    assert_eq!(lost["completed"], json!([]));
    assert_users(&server, &[]);
    server.register(&stage(DUMMY, &session)).await.ok();
}

/// UIA-11, UIA-58
#[tokio::test]
async fn uia_11_a_stage_that_completes_a_flow_needs_no_session() {
    let server = TestServer::new().await;
    for (prefix, name) in PREFIXES.iter().zip(["alice", "bob"]) {
        let body = with(registration(name), &json!({ "auth": { "type": DUMMY } }));
        let answer = server.post(&format!("{prefix}/register"), &body).await.ok();
        assert_eq!(answer["user_id"], format!("@{name}:localhost"));
        assert_eq!(
            server.local.dynamodb().table("UiaSessions").unwrap().len(),
            0
        );
        // There is no session for a replay.
        let again = server.post(&format!("{prefix}/register"), &body).await;
        again.error(400, "M_USER_IN_USE");
    }
    assert_users(&server, &["alice", "bob"]);
}

#[tokio::test]
async fn uia_11_a_first_of_two_stages_starts_a_session() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &[]).await;
    let begun = server
        .register(&with(registration("alice"), &token_stage(&token, None)))
        .await
        .challenge();
    assert_eq!(begun["completed"], json!([TOKEN]));
    assert!(begun.get("errcode").is_none());
    let answer = server
        .register(&stage(DUMMY, begun["session"].as_str().unwrap()))
        .await
        .ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn uia_16_a_stage_out_of_order_is_rejected_and_not_recorded() {
    let server = TestServer::with(&[flows(THREE_STAGES), POLICIES]).await;
    let (first, session) = server.begin(&registration("alice")).await;
    for early in [TERMS, DUMMY] {
        let refused = server
            .register(&stage(early, &session))
            .await
            .refused("M_UNRECOGNIZED");
        assert_eq!(refused["completed"], json!([]));
        assert_eq!(refused["session"], first["session"]);
    }
    let token = new_token(&server, &[]).await;
    let next = server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    assert_eq!(next["completed"], json!([TOKEN]));
    server
        .register(&stage(DUMMY, &session))
        .await
        .refused("M_UNRECOGNIZED");
}

#[tokio::test]
async fn uia_16_the_next_stage_of_any_flow_counts() {
    let settings = [
        flows("m.login.registration_token+m.login.dummy m.login.terms+m.login.dummy"),
        POLICIES,
    ];
    let server = TestServer::with(&settings).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let begun = server.register(&stage(TERMS, &session)).await.challenge();
    assert_eq!(begun["completed"], json!([TERMS]));
    // The first stage of the other flow is accepted too. The flow with terms is completed below.
    let token = new_token(&server, &["--uses", "1"]).await;
    let both = server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    assert_eq!(both["completed"], json!([TERMS, TOKEN]));
    server.register(&stage(DUMMY, &session)).await.ok();
    assert_users(&server, &["alice"]);
}

#[tokio::test]
async fn uia_17_a_completed_stage_is_not_attempted_again() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &["--uses", "1"]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let done = server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    for other in ["wrong-token", "not allowed!", ""] {
        let again = server
            .register(&token_stage(other, Some(&session)))
            .await
            .challenge();
        assert_eq!(again, done, "{other:?}");
    }
    server.register(&stage(DUMMY, &session)).await.ok();
}

#[tokio::test]
async fn uia_18_auth_with_only_a_session_is_a_poll() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &[]).await;
    let (first, session) = server.begin(&registration("alice")).await;
    let poll = json!({ "auth": { "session": session } });
    assert_eq!(server.register(&poll).await.challenge(), first);
    let done = server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    assert_eq!(server.register(&poll).await.challenge(), done);
    server.register(&stage(DUMMY, &session)).await.ok();
    assert_users(&server, &["alice"]);
}

#[tokio::test]
async fn uia_26_wrong_tokens_are_throttled_and_polls_are_not() {
    let server = TestServer::with(&[TWO_STAGES, ("GATEHOUSE_LIMITS", "on")]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    for _ in 0..50 {
        server
            .register(&json!({ "auth": { "session": session } }))
            .await
            .challenge();
    }
    let mut refused = 0;
    for _ in 0..50 {
        let guess = server
            .register(&token_stage("wrong-token", Some(&session)))
            .await;
        if guess.status == 429 {
            guess.error(429, "M_LIMIT_EXCEEDED");
            break;
        }
        guess.refused("M_UNAUTHORIZED");
        refused += 1;
    }
    assert_eq!(refused, 10, "the burst of attempts");
    server
        .register(&json!({ "auth": { "session": session } }))
        .await
        .challenge();
}

#[tokio::test]
async fn uia_27_an_unknown_type_and_a_missing_key_are_401_errors() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let (first, session) = server.begin(&registration("alice")).await;
    let token_without_key = json!({ "auth": { "type": TOKEN, "session": session } });
    let token_null = json!({ "auth": { "type": TOKEN, "session": session, "token": null } });
    for (body, code) in [
        (stage("x.y", &session), "M_UNRECOGNIZED"),
        (stage("", &session), "M_UNRECOGNIZED"),
        (stage("m.login.token", &session), "M_UNRECOGNIZED"),
        (stage("m.login.password", &session), "M_UNRECOGNIZED"),
        (stage(RECAPTCHA, &session), "M_UNRECOGNIZED"),
        (stage(TERMS, &session), "M_UNRECOGNIZED"),
        (stage(DUMMY, &session), "M_UNRECOGNIZED"),
        (
            stage("M.LOGIN.REGISTRATION_TOKEN", &session),
            "M_UNRECOGNIZED",
        ),
        (token_without_key, "M_MISSING_PARAM"),
        (token_null, "M_MISSING_PARAM"),
    ] {
        let refused = server.register(&body).await.refused(code);
        assert_eq!(refused["completed"], json!([]), "{body}");
        assert_eq!(refused["session"], first["session"], "{body}");
    }
    for (member, value) in [
        ("type", json!(5)),
        ("session", json!(["x"])),
        ("token", json!({})),
    ] {
        let mut body = token_stage("x", Some(&session));
        body["auth"][member] = value;
        server.register(&body).await.error(400, "M_BAD_JSON");
    }
    for auth in [json!([]), json!("x"), json!(true)] {
        server
            .register(&json!({ "auth": auth }))
            .await
            .error(400, "M_BAD_JSON");
    }
    assert_users(&server, &[]);
}

#[tokio::test]
async fn uia_28_guests_need_no_uia() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let path = "/_matrix/client/v3/register?kind=guest";
    let answer = server.post(path, &json!({})).await.ok();
    assert_eq!(whoami(&server, &answer).await["is_guest"], true);
    assert_eq!(
        server.local.dynamodb().table("UiaSessions").unwrap().len(),
        0
    );
}

/// UIA-21, UIA-30, UIA-31
#[test]
fn uia_31_flows_that_cannot_be_completed_are_rejected() {
    let read = |flows: &str| {
        let flows = flows.to_owned();
        Config::from_lookup(move |name| {
            Some(match name {
                "GATEHOUSE_SERVER_NAME" => "example.org".to_owned(),
                "GATEHOUSE_SECRET" => "correct horse battery staple 0123456789".to_owned(),
                "GATEHOUSE_REGISTRATION" => "open".to_owned(),
                "GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION" => "true".to_owned(),
                "GATEHOUSE_REGISTRATION_FLOWS" => flows.clone(),
                _ => return None,
            })
        })
    };
    assert!(read("m.login.registration_token m.login.dummy").is_ok());
    for flows in [
        "m.login.token",
        "m.login.oauth2",
        "m.oauth",
        "m.login.recaptcha",
        "m.login.terms",
        "m.login.email.identity",
        "m.login.dummy+m.login.dummy",
        "m.login.dummy m.login.dummy+m.login.registration_token",
        "m.login.dummy+m.login.registration_token m.login.dummy",
        "m.login.dummy m.login.dummy",
    ] {
        let faults = read(flows).unwrap_err().to_string();
        assert!(
            faults.contains("GATEHOUSE_REGISTRATION_FLOWS"),
            "{flows}: {faults}"
        );
    }
}
