//! `send_attempt`: the requests that send a message, and the number of messages that a session may send.

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use test_support::TestServer;
use tokio::task::JoinSet;

use crate::api::{
    rows::{message_of, queued, validations},
    support::text,
    threepids::{REQUESTS, message_request, request_session, server_with, state, submit, token},
};

/// L17: earlier attempts are recorded.
#[tokio::test]
async fn threepid_20_only_a_higher_attempt_sends_a_message() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let before = queued(&server);
        let first = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let mut sent_so_far = vec![queued(&server) - before];
        for attempt in [1, 2, 1, 3] {
            let again = request_session(
                &server,
                path,
                &message_request(medium, 1, "secret", attempt),
            )
            .await;
            assert_eq!(again, first, "3PID-21");
            sent_so_far.push(queued(&server) - before);
        }
        assert_eq!(sent_so_far, [1, 1, 2, 2, 3]);
    }
}

/// 3PID-20: the outbox has one row for each message, and the row contains no secret and no 3PID.
#[tokio::test]
async fn l6_a_session_and_its_message_are_written_atomically() {
    let server = server_with(&[]).await;
    server.expect_faults();
    for (index, (medium, path)) in REQUESTS.into_iter().enumerate() {
        let body = message_request(medium, 1, "secret", 1);
        let fault = Fault::new(FaultKind::InternalError).on("TransactWriteItems");
        server.local.proxy().inject(fault.times(1000));
        server.post(path, &body).await.error(500, "M_UNKNOWN");
        assert_eq!(
            (queued(&server), validations(&server).len()),
            (index, index)
        );
        server.local.proxy().clear_faults();
        // 3PID-17: the same attempt sends a message, because its first write failed.
        let sid = request_session(&server, path, &body).await;
        assert_eq!(
            (queued(&server), validations(&server).len()),
            (index + 1, index + 1)
        );
        let row = message_of(&server, &sid);
        for secret in [
            "secret",
            &token(&server, medium, &sid),
            "07400",
            "447400",
            "@",
        ] {
            assert!(!row.contains(secret), "{row}");
        }
    }
}

/// 3PID-17: a failed write is reported. A write is not a failure if only its response is lost.
#[tokio::test]
async fn threepid_17_failed_writes_do_not_use_up_the_attempt() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let before = queued(&server);
        let lost = Fault::new(FaultKind::LostAnswer).on("TransactWriteItems");
        server.local.proxy().inject(lost);
        let first = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        assert_eq!(queued(&server) - before, 1);
        let conflict = Fault::new(FaultKind::Conflict).on("TransactWriteItems");
        server.local.proxy().inject(conflict.times(2));
        let again = request_session(&server, path, &message_request(medium, 1, "secret", 2)).await;
        assert_eq!((queued(&server) - before, again), (2, first));
    }
}

async fn fifty_concurrent_requests(server: TestServer) {
    let server = Arc::new(server);
    for (index, (medium, path)) in REQUESTS.into_iter().enumerate() {
        let mut requests = JoinSet::new();
        for _ in 0..50 {
            let server = Arc::clone(&server);
            requests.spawn(async move {
                server
                    .post(path, &message_request(medium, 1, "secret", 1))
                    .await
            });
        }
        let replies = requests.join_all().await;
        let answers: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert!(!answers.is_empty());
        for reply in &replies {
            match reply.status.as_u16() {
                200 => assert_eq!(reply.body, answers[0].body),
                _ => drop(reply.error(429, "M_LIMIT_EXCEEDED")),
            }
        }
        if !server.local.config().limits {
            assert_eq!(answers.len(), 50);
        }
        assert_eq!(validations(&server).len(), index + 1);
        assert_eq!(queued(&server), index + 1);
        // The same request after a 429 sends no second message.
        server
            .post(path, &message_request(medium, 1, "secret", 1))
            .await
            .ok();
        assert_eq!(queued(&server), index + 1);
        // Fifty requests use up the rate limit of requests.
        server.advance(Duration::from_hours(1));
    }
}

#[tokio::test]
async fn threepid_24_of_fifty_identical_requests_one_sends() {
    fifty_concurrent_requests(server_with(&[]).await).await;
}

/// HTTP-19: concurrent duplicates do not use the quota of messages.
#[tokio::test]
async fn threepid_24_concurrent_duplicates_use_no_quota() {
    let server = server_with(&[("GATEHOUSE_LIMITS", "on")]).await;
    fifty_concurrent_requests(server).await;
}

#[tokio::test]
async fn threepid_24_two_concurrent_attempts_share_one_session() {
    let server = Arc::new(server_with(&[]).await);
    for (medium, path) in REQUESTS {
        let before = queued(&server);
        let mut requests = JoinSet::new();
        for index in 0..20 {
            let server = Arc::clone(&server);
            let body = message_request(medium, 1, "secret", 1 + index % 2);
            requests.spawn(async move { server.post(path, &body).await.ok() });
        }
        let answers = requests.join_all().await;
        assert!(answers.iter().all(|answer| answer == &answers[0]));
        let sent_so_far = queued(&server) - before;
        assert!((1..=2).contains(&sent_so_far), "{sent_so_far}");
    }
}

#[tokio::test]
async fn threepid_25_the_token_of_an_earlier_message_still_works() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let first = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let token = token(&server, medium, &first);
        server.advance(Duration::from_hours(1));
        request_session(&server, path, &message_request(medium, 1, "secret", 2)).await;
        submit(&server, medium, &first, "secret", &token).await.ok();
        assert_eq!(state(&server, &first), "validated");
    }
}

/// 3PID-48: each text message allows guesses at a new code, so a session sends only a few.
#[tokio::test]
async fn threepid_16_a_session_sends_20_mails_or_3_texts() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[]).await;
        let maximum = if medium == "email" { 20 } else { 3 };
        let before = queued(&server);
        for attempt in 1..=maximum {
            request_session(
                &server,
                path,
                &message_request(medium, 1, "secret", attempt),
            )
            .await;
        }
        let one_more = message_request(medium, 1, "secret", maximum + 1);
        server.advance(Duration::from_hours(23));
        let reply = server.post(path, &one_more).await;
        let refusal = reply.error(429, "M_LIMIT_EXCEEDED");
        assert_eq!(
            refusal["retry_after_ms"], 3_600_000,
            "until the session expires"
        );
        // Repeating an attempt is still allowed.
        let repeated = message_request(medium, 1, "secret", maximum);
        request_session(&server, path, &repeated).await;
        let sent = usize::try_from(maximum).unwrap();
        assert_eq!(queued(&server) - before, sent);
        server.advance(Duration::from_hours(1));
        request_session(&server, path, &one_more).await;
        assert_eq!(queued(&server) - before, sent + 1);
    }
}

/// 3PID-20: an expired session accepts any attempt again.
#[tokio::test]
async fn threepid_49_an_expired_session_restarts_with_new_tokens() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[]).await;
        let body = message_request(medium, 1, "secret", 7);
        let first = request_session(&server, path, &body).await;
        let old = token(&server, medium, &first);
        let before = queued(&server);
        server.advance(Duration::from_hours(24));
        let body = message_request(medium, 1, "secret", 1);
        assert_eq!(request_session(&server, path, &body).await, first);
        assert_eq!(queued(&server), before + 1);
        let new = token(&server, medium, &first);
        assert_ne!(new, old);
        let reply = submit(&server, medium, &first, "secret", &old).await;
        reply.error(400, "M_TOKEN_INCORRECT");
        submit(&server, medium, &first, "secret", &new).await.ok();
    }
}

/// 3PID-21: a validated session sends nothing.
#[tokio::test]
async fn threepid_21_a_validated_session_sends_no_message() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let first = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let token = token(&server, medium, &first);
        submit(&server, medium, &first, "secret", &token).await.ok();
        let before = queued(&server);
        let answer = server
            .post(path, &message_request(medium, 1, "secret", 2))
            .await
            .ok();
        assert_eq!(text(&answer, "sid"), first);
        assert_eq!(queued(&server), before);
        assert_eq!(state(&server, &first), "validated");
    }
}
