//! Submissions that a client sends with `POST`, and their responses.

use serde_json::{Value, json};
use test_support::PREFIXES;

use crate::api::{
    rows::validations,
    support::{request, with},
    threepids::{
        CODE, LINK, MEDIA, assert_not_submitted, code, message_request, other_code, path_of,
        request_session, server_with, state, submit, token,
    },
};

fn submission(sid: &str, secret: &str, token: &str) -> Value {
    json!({ "sid": sid, "client_secret": secret, "token": token })
}

/// 3PID-14: no access token is needed. A repeated submission succeeds again.
#[tokio::test]
async fn threepid_41_the_right_token_validates_repeatedly() {
    let server = server_with(&[]).await;
    for prefix in PREFIXES {
        for (medium, path) in MEDIA {
            let sid = request_session(
                &server,
                path,
                &message_request(medium, 1, prefix.rsplit('/').next().unwrap(), 1),
            )
            .await;
            let secret = prefix.rsplit('/').next().unwrap();
            let token = token(&server, medium, &sid);
            let body = submission(&sid, secret, &token);
            assert_eq!(state(&server, &sid), "pending");
            let path = format!("{prefix}/validate/{medium}/submitToken");
            for _ in 0..7 {
                let answer = server.post(&path, &body).await.ok();
                assert_eq!(answer, json!({ "success": true }));
                assert_eq!(state(&server, &sid), "validated");
            }
        }
    }
}

#[tokio::test]
async fn threepid_42_a_wrong_token_is_incorrect() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let right = token(&server, medium, &sid);
        let longest = "x".repeat(255);
        let cut = &right[1..];
        let more = format!("{right}0");
        for wrong in [cut, &more, "\u{0}", &longest] {
            let reply = submit(&server, medium, &sid, "secret", wrong).await;
            assert_not_submitted(&reply, "M_TOKEN_INCORRECT");
        }
        assert_eq!(state(&server, &sid), "pending");
        submit(&server, medium, &sid, "secret", &right).await.ok();
    }
}

/// 3PID-48: a token has at most 255 characters.
#[tokio::test]
async fn threepid_44_malformed_submissions_do_not_count() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let right = token(&server, medium, &sid);
        let valid = submission(&sid, "secret", &right);
        let path = if medium == "email" { LINK } else { CODE };
        for _ in 0..2 {
            for name in ["sid", "client_secret", "token"] {
                let mut without = valid.clone();
                without.as_object_mut().unwrap().remove(name);
                server
                    .post(path, &without)
                    .await
                    .error(400, "M_MISSING_PARAM");
                for (value, errcode) in [
                    (json!(null), "M_MISSING_PARAM"),
                    (json!(123_456), "M_BAD_JSON"),
                    (json!([right]), "M_BAD_JSON"),
                    (json!("x".repeat(256)), "M_INVALID_PARAM"),
                    (json!("\u{e9}".repeat(256)), "M_INVALID_PARAM"),
                ] {
                    let body = with(valid.clone(), &json!({ name: value }));
                    server.post(path, &body).await.error(400, errcode);
                }
            }
            for (name, value) in [
                ("sid", ""),
                ("sid", "a b"),
                ("client_secret", ""),
                ("client_secret", "\""),
                ("client_secret", "a/b"),
            ] {
                let body = with(valid.clone(), &json!({ name: value }));
                assert_not_submitted(&server.post(path, &body).await, "M_INVALID_PARAM");
            }
        }
        for text in ["", "[]", "{", "sid=a&client_secret=b&token=c"] {
            let reply = server.post_text(path, text).await;
            assert_eq!(reply.status, 400, "{text}");
        }
        assert_eq!(state(&server, &sid), "pending");
        server.post(path, &valid).await.ok();
    }
}

/// 3PID-44: an unknown session, a wrong secret and another medium get the same response and are not counted as guesses.
#[tokio::test]
async fn threepid_44_a_wrong_secret_looks_like_an_unknown_session() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let right = token(&server, medium, &sid);
        let wrong = other_code(std::slice::from_ref(&right));
        let other = if medium == "email" { "msisdn" } else { "email" };
        let unknown = submit(&server, medium, "unknown", "secret", &right).await;
        assert_not_submitted(&unknown, "M_INVALID_PARAM");
        for _ in 0..3 {
            for (medium, secret, token) in [
                (medium, "Secret", &right),
                (medium, "secret.", &right),
                (medium, "s", &wrong),
                (other, "secret", &right),
                (other, "s", &wrong),
            ] {
                let reply = submit(&server, medium, &sid, secret, token).await;
                assert_eq!((reply.status, &reply.body), (unknown.status, &unknown.body));
            }
        }
        assert_eq!(state(&server, &sid), "pending");
        submit(&server, medium, &sid, "secret", &right).await.ok();
    }
}

/// 3PID-51: web clients send a `POST` to these endpoints, so preflight requests must succeed.
#[tokio::test]
async fn threepid_51_a_preflight_succeeds_and_does_nothing() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let body = submission(&sid, "secret", &token(&server, medium, &sid)).to_string();
        let before = server.dump();
        for path in [path_of(medium), LINK, CODE] {
            let headers = [
                ("origin", "https://app.example.org"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            let reply = server
                .send(request("OPTIONS", path, &headers, body.as_bytes()))
                .await;
            assert_eq!(reply.status, 200);
            let methods = reply.headers["access-control-allow-methods"]
                .to_str()
                .unwrap();
            assert!(methods.contains("POST"), "{methods}");
        }
        assert_eq!(server.dump(), before);
    }
}

/// The medium is part of the path, and only two exist.
#[tokio::test]
async fn http_08_an_unknown_medium_is_an_unknown_path() {
    let server = server_with(&[]).await;
    for medium in [
        "fax",
        "Email",
        "EMAIL",
        "e-mail",
        "%65mail%20",
        "%00",
        "phone",
    ] {
        for prefix in PREFIXES {
            let path = format!("{prefix}/validate/{medium}/submitToken");
            server
                .post(&path, &json!({}))
                .await
                .error(404, "M_UNRECOGNIZED");
            server.get(&path).await.error(404, "M_UNRECOGNIZED");
        }
    }
    assert!(validations(&server).is_empty());
}

/// The user types a code, but not the token of a link.
#[tokio::test]
async fn threepid_48_a_code_may_contain_blanks() {
    let server = server_with(&[]).await;
    let sid = request_session(
        &server,
        path_of("msisdn"),
        &message_request("msisdn", 1, "secret", 1),
    )
    .await;
    let code = code(&server, &sid, 1);
    assert!(
        code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()),
        "{code}"
    );
    let (left, right) = code.split_at(3);
    let typed = format!(" {left} {right}\n");
    submit(&server, "msisdn", &sid, "secret", &typed).await.ok();
}
