//! `POST /validate/email/confirm`: the button on the page of an e-mail's link. `validate_submit_token/links.rs` tests
//! the page and the redirect after the button.

use std::sync::Arc;

use test_support::{PREFIXES, Reply, TestServer};
use tokio::task::JoinSet;

use super::{
    rows::queued,
    support::request,
    threepids::{
        CODE, EMAIL, LINK, MSISDN, code, form, link_token, message_request, open_link,
        register_with, request_session, server_with, state, submit, submit_form,
    },
};

/// Starts a session and returns its ID and the token of its link.
async fn begin_session(server: &TestServer) -> (String, String) {
    let sid = request_session(server, EMAIL, &message_request("email", 1, "secret", 1)).await;
    let token = link_token(server, &sid);
    (sid, token)
}

async fn register(server: &TestServer, name: &str, sid: &str) -> Reply {
    register_with(server, "email", name, (sid, "secret")).await
}

/// 3PID-52: the button works under both prefixes, also when it is pressed again.
#[tokio::test]
async fn threepid_52_the_confirm_button_validates() {
    for prefix in PREFIXES {
        let server = server_with(&[]).await;
        let (sid, token) = begin_session(&server).await;
        let path = format!("{prefix}/validate/email/confirm");
        for action in ["confirm", "confirm", "", "anything"] {
            let body = form(&[("sid", &sid), ("token", &token), ("action", action)]);
            let reply = server
                .send(request("POST", &path, &[], body.as_bytes()))
                .await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert!(reply.text().contains("Your address is confirmed"));
            assert_eq!(state(&server, &sid), "validated");
        }
        register(&server, "alice", &sid).await.ok();
    }
}

/// 3PID-45: "It was not me" invalidates the session, validated or not, and its link.
#[tokio::test]
async fn it_was_not_me_invalidates_the_session() {
    for validated_before in [false, true] {
        let server = server_with(&[]).await;
        let (sid, token) = begin_session(&server).await;
        let fields = [("sid", sid.as_str()), ("token", token.as_str())];
        if validated_before {
            assert_eq!(submit_form(&server, &fields).await.status, 200);
        }
        let refuse = [fields[0], fields[1], ("action", "refuse")];
        let refused = submit_form(&server, &refuse).await;
        assert_eq!(refused.status, 200);
        assert!(
            refused.text().contains("no longer works"),
            "{}",
            refused.text()
        );
        assert_eq!(state(&server, &sid), "burned");
        for reply in [
            open_link(&server, LINK, &fields).await,
            submit_form(&server, &fields).await,
            submit_form(&server, &refuse).await,
        ] {
            assert_eq!(reply.status, 400);
        }
        let reply = submit(&server, "email", &sid, "secret", &token).await;
        reply.error(400, "M_SESSION_EXPIRED");
        register(&server, "mallory", &sid)
            .await
            .refused("M_UNAUTHORIZED");
        assert_eq!(state(&server, &sid), "burned");
    }
}

/// 3PID-20: a new request sends an e-mail with another link. The old link stays invalid.
#[tokio::test]
async fn after_it_was_not_me_another_request_starts_anew() {
    let server = server_with(&[]).await;
    let (sid, old) = begin_session(&server).await;
    submit_form(
        &server,
        &[("sid", &sid), ("token", &old), ("action", "refuse")],
    )
    .await;
    let before = queued(&server);
    let again = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
    assert_eq!(
        (again.as_str(), queued(&server)),
        (sid.as_str(), before + 1)
    );
    let new = link_token(&server, &sid);
    assert_ne!(new, old);
    assert_eq!(
        submit_form(&server, &[("sid", &sid), ("token", &old)])
            .await
            .status,
        400
    );
    assert_eq!(state(&server, &sid), "pending");
    assert_eq!(
        submit_form(&server, &[("sid", &sid), ("token", &new)])
            .await
            .status,
        200
    );
    assert_eq!(state(&server, &sid), "validated");
}

/// Like the confirmation, the refusal requires the token of the link. The session ID alone is not enough.
#[tokio::test]
async fn a_session_is_invalidated_only_with_its_link() {
    let server = server_with(&[]).await;
    let (mail, token) = begin_session(&server).await;
    let phone = request_session(&server, MSISDN, &message_request("msisdn", 1, "secret", 1)).await;
    let code = code(&server, &phone, 1);
    for fields in [
        vec![("sid", mail.as_str()), ("token", "wrong")],
        vec![("sid", &mail), ("token", &code)],
        vec![
            ("sid", &mail),
            ("token", &token),
            ("client_secret", "wrong"),
        ],
        vec![("sid", &phone), ("token", &code)],
        vec![
            ("sid", &phone),
            ("token", &code),
            ("client_secret", "secret"),
        ],
        vec![
            ("sid", &phone),
            ("token", &token),
            ("client_secret", "secret"),
        ],
    ] {
        let fields = [fields, vec![("action", "refuse")]].concat();
        assert_eq!(submit_form(&server, &fields).await.status, 400);
    }
    assert_eq!(
        (state(&server, &mail), state(&server, &phone)),
        ("pending".into(), "pending".into())
    );
}

/// A session that registered an account cannot be invalidated with its link.
#[tokio::test]
async fn a_spent_session_is_not_invalidated() {
    let server = server_with(&[]).await;
    let (sid, token) = begin_session(&server).await;
    assert_eq!(
        submit_form(&server, &[("sid", &sid), ("token", &token)])
            .await
            .status,
        200
    );
    register(&server, "alice", &sid).await.ok();
    let refuse = [
        ("sid", sid.as_str()),
        ("token", token.as_str()),
        ("action", "refuse"),
    ];
    assert_eq!(submit_form(&server, &refuse).await.status, 400);
    assert_eq!(state(&server, &sid), "spent");
}

/// If a confirmation and a refusal are concurrent, the session is invalidated in either order.
#[tokio::test]
async fn concurrent_confirm_and_refuse_end_invalidated() {
    let server = Arc::new(server_with(&[]).await);
    let (sid, token) = begin_session(&server).await;
    let mut requests = JoinSet::new();
    for index in 0..20 {
        let (server, sid, token) = (Arc::clone(&server), sid.clone(), token.clone());
        requests.spawn(async move {
            let action = ["confirm", "refuse"][index % 2];
            submit_form(
                &server,
                &[("sid", &sid), ("token", &token), ("action", action)],
            )
            .await
        });
    }
    for reply in requests.join_all().await {
        assert!([200, 400].contains(&reply.status.as_u16()));
    }
    assert_eq!(state(&server, &sid), "burned");
}

/// Phone numbers have no page, because the user types the code in the client.
#[tokio::test]
async fn http_08_there_is_no_confirm_page_for_phones() {
    let server = server_with(&[]).await;
    let sid = request_session(&server, MSISDN, &message_request("msisdn", 1, "secret", 1)).await;
    let code = code(&server, &sid, 1);
    let body = form(&[("sid", &sid), ("client_secret", "secret"), ("token", &code)]);
    for medium in ["msisdn", "fax", "Email"] {
        for prefix in PREFIXES {
            let path = format!("{prefix}/validate/{medium}/confirm");
            let reply = server
                .send(request("POST", &path, &[], body.as_bytes()))
                .await;
            reply.error(404, "M_UNRECOGNIZED");
        }
    }
    assert_eq!(state(&server, &sid), "pending");
    let fields = [
        ("sid", sid.as_str()),
        ("client_secret", "secret"),
        ("token", &code),
    ];
    assert_eq!(open_link(&server, CODE, &fields).await.status, 200);
}
