//! Six-digit codes: the number of allowed guesses.

use std::sync::Arc;

use serde_json::json;
use test_support::{PREFIXES, TestServer};
use tokio::task::JoinSet;

use crate::api::{
    rows::validations,
    threepids::{
        CODE, DIRECT, EMAIL, FLOWS, MAIL, MSISDN, SMS, assert_not_submitted, code, form,
        link_token, message_request, open_link, other_code, request_session, server_with, state,
        submit,
    },
};

async fn begin_session(server: &TestServer) -> String {
    request_session(server, MSISDN, &message_request("msisdn", 1, "secret", 1)).await
}

async fn request_again(server: &TestServer, attempt: i64) {
    request_session(
        server,
        MSISDN,
        &message_request("msisdn", 1, "secret", attempt),
    )
    .await;
}

fn codes(server: &TestServer, sid: &str) -> Vec<String> {
    (1..=3).map(|send| code(server, sid, send)).collect()
}

/// Submits a token in one of four ways: `POST` or `GET`, under either prefix.
async fn guess(server: &TestServer, way: usize, sid: &str, token: &str) -> u16 {
    let fields = [("sid", sid), ("client_secret", "secret"), ("token", token)];
    let path = format!("{}/validate/msisdn/submitToken", PREFIXES[way % 2]);
    let reply = if way < 2 {
        let body = json!({ "sid": sid, "client_secret": "secret", "token": token });
        server.post(&path, &body).await
    } else {
        server.get(&format!("{path}?{}", form(&fields))).await
    };
    reply.status.as_u16()
}

/// L18: five wrong codes invalidate the code.
#[tokio::test]
async fn l18_after_five_wrong_codes_the_right_one_is_refused() {
    let server = server_with(&[]).await;
    let sid = begin_session(&server).await;
    let wrong = other_code(&codes(&server, &sid));
    for _ in 0..5 {
        let reply = submit(&server, "msisdn", &sid, "secret", &wrong).await;
        assert_not_submitted(&reply, "M_TOKEN_INCORRECT");
    }
    for token in [&wrong, &code(&server, &sid, 1)] {
        for _ in 0..3 {
            let reply = submit(&server, "msisdn", &sid, "secret", token).await;
            assert_not_submitted(&reply, "M_SESSION_EXPIRED");
        }
    }
    assert_eq!(state(&server, &sid), "pending");
}

/// L18: after four wrong codes, the right code is still accepted and not counted as a guess.
#[tokio::test]
async fn l18_four_wrong_codes_and_right_ones_keep_the_code_valid() {
    let server = server_with(&[]).await;
    let sid = begin_session(&server).await;
    let (right, wrong) = (code(&server, &sid, 1), other_code(&codes(&server, &sid)));
    for _ in 0..4 {
        submit(&server, "msisdn", &sid, "secret", &wrong)
            .await
            .error(400, "M_TOKEN_INCORRECT");
    }
    for _ in 0..10 {
        submit(&server, "msisdn", &sid, "secret", &right).await.ok();
    }
    submit(&server, "msisdn", &sid, "secret", &wrong)
        .await
        .error(400, "M_TOKEN_INCORRECT");
    submit(&server, "msisdn", &sid, "secret", &right)
        .await
        .error(400, "M_SESSION_EXPIRED");
    // The validated session stays validated.
    assert_eq!(state(&server, &sid), "validated");
}

/// L18: the counter is in the table. Each guess is counted before it is compared, in each way and also for concurrent
/// guesses.
#[tokio::test]
async fn l18_concurrent_guesses_by_every_way_are_five_in_all() {
    let server = Arc::new(server_with(&[DIRECT]).await);
    let sid = begin_session(&server).await;
    let wrong = other_code(&codes(&server, &sid));
    let mut guesses = JoinSet::new();
    for index in 0..40 {
        let (server, sid, wrong) = (Arc::clone(&server), sid.clone(), wrong.clone());
        guesses.spawn(async move {
            match index % 4 {
                way @ 0..2 => {
                    let path = format!("{}/validate/msisdn/submitToken", PREFIXES[way]);
                    let body = json!({ "sid": sid, "client_secret": "secret", "token": wrong });
                    server.post(&path, &body).await.json()["errcode"] == "M_TOKEN_INCORRECT"
                }
                way => {
                    assert_eq!(guess(&server, way, &sid, &wrong).await, 400);
                    false
                }
            }
        });
    }
    let compared = guesses
        .join_all()
        .await
        .into_iter()
        .filter(|seen| *seen)
        .count();
    assert!(compared <= 5, "{compared} guesses were compared");
    assert_eq!(validations(&server)[0].wrong, 5);
    for way in 0..4 {
        let right = code(&server, &sid, 1);
        assert_eq!(guess(&server, way, &sid, &right).await, 400);
    }
    assert_eq!(state(&server, &sid), "pending");
}

/// L18: the counter is kept after a restart.
#[tokio::test]
async fn l18_a_new_instance_continues_the_count() {
    let data = tempfile::tempdir().unwrap();
    let settings = [MAIL, SMS, FLOWS];
    let mut session = String::new();
    for instance in 0..3 {
        let server = TestServer::in_directory(&settings, data.path()).await;
        if instance == 0 {
            session = begin_session(&server).await;
        }
        let wrong = other_code(&codes(&server, &session));
        for guess in 0..2 {
            let reply = submit(&server, "msisdn", &session, "secret", &wrong).await;
            let is_sixth = instance == 2 && guess == 1;
            let errcode = if is_sixth {
                "M_SESSION_EXPIRED"
            } else {
                "M_TOKEN_INCORRECT"
            };
            assert_not_submitted(&reply, errcode);
        }
        if instance == 2 {
            let right = code(&server, &session, 1);
            let reply = submit(&server, "msisdn", &session, "secret", &right).await;
            assert_not_submitted(&reply, "M_SESSION_EXPIRED");
        }
    }
}

/// 3PID-48: each further message has a new code, and invalidated codes stay invalid. A session sends three messages.
#[tokio::test]
async fn l18_a_new_message_revives_no_invalidated_code() {
    let server = server_with(&[]).await;
    let sid = begin_session(&server).await;
    let all = codes(&server, &sid);
    let wrong = other_code(&all);
    for send in 0..3 {
        if send > 0 {
            request_again(&server, 1 + i64::try_from(send).unwrap()).await;
        }
        // Invalidated codes and codes that were never sent are wrong codes.
        for (index, other) in all.iter().enumerate().filter(|(index, _)| *index != send) {
            let reply = submit(&server, "msisdn", &sid, "secret", other).await;
            reply.error(400, "M_TOKEN_INCORRECT");
            assert_ne!(index, send);
        }
        for _ in 0..3 {
            submit(&server, "msisdn", &sid, "secret", &wrong)
                .await
                .error(400, "M_TOKEN_INCORRECT");
        }
        let refused = submit(&server, "msisdn", &sid, "secret", &all[send]).await;
        refused.error(400, "M_SESSION_EXPIRED");
    }
    let reply = server
        .post(MSISDN, &message_request("msisdn", 1, "secret", 4))
        .await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(state(&server, &sid), "pending");
}

#[tokio::test]
async fn l18_after_an_invalidated_code_the_next_one_validates() {
    let server = server_with(&[]).await;
    let sid = begin_session(&server).await;
    let wrong = other_code(&codes(&server, &sid));
    for _ in 0..6 {
        assert_eq!(
            submit(&server, "msisdn", &sid, "secret", &wrong)
                .await
                .status,
            400
        );
    }
    // The same attempt sends no new code.
    request_again(&server, 1).await;
    let first = code(&server, &sid, 1);
    submit(&server, "msisdn", &sid, "secret", &first)
        .await
        .error(400, "M_SESSION_EXPIRED");
    request_again(&server, 2).await;
    let second = code(&server, &sid, 2);
    assert_ne!(first, second);
    submit(&server, "msisdn", &sid, "secret", &second)
        .await
        .ok();
    assert_eq!(state(&server, &sid), "validated");
}

/// A guess without the client secret is not counted, so an attacker cannot invalidate the code of another user.
#[tokio::test]
async fn threepid_48_guesses_without_the_secret_do_not_count() {
    let server = server_with(&[]).await;
    let sid = begin_session(&server).await;
    let (right, wrong) = (code(&server, &sid, 1), other_code(&codes(&server, &sid)));
    for token in [&right, &wrong] {
        for _ in 0..10 {
            submit(&server, "msisdn", &sid, "guessed", token)
                .await
                .error(400, "M_INVALID_PARAM");
            let fields = [("sid", sid.as_str()), ("token", token)];
            let path = CODE;
            let reply = open_link(&server, path, &fields).await;
            assert_eq!(reply.status, 400);
        }
    }
    assert_eq!(validations(&server)[0].wrong, 0);
    submit(&server, "msisdn", &sid, "secret", &right).await.ok();
}

/// 3PID-48: the token of a link has 256 bits, and wrong guesses do not invalidate it.
#[tokio::test]
async fn threepid_48_wrong_tokens_of_a_link_do_not_count() {
    let server = server_with(&[]).await;
    let sid = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
    let right = link_token(&server, &sid);
    assert!(right.len() >= 43, "{right}");
    for _ in 0..20 {
        submit(&server, "email", &sid, "secret", "123456")
            .await
            .error(400, "M_TOKEN_INCORRECT");
    }
    submit(&server, "email", &sid, "secret", &right).await.ok();
}
