//! `send_attempt`: which requests call for a message, and how many one session may call for.

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use test_support::TestServer;
use tokio::task::JoinSet;

use crate::api::{
    support::text,
    threepids::{REQUESTS, queued, rows, server_with, sid, state, submit, token, wish},
};

/// L17: what was asked for before is recorded.
#[tokio::test]
async fn _3pid_20_only_a_higher_attempt_calls_for_a_message() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let before = queued(&server);
        let first = sid(&server, path, &wish(medium, 1, "secret", 1)).await;
        let mut called_for = vec![queued(&server) - before];
        for attempt in [1, 2, 1, 3] {
            let again = sid(&server, path, &wish(medium, 1, "secret", attempt)).await;
            assert_eq!(again, first, "3PID-21");
            called_for.push(queued(&server) - before);
        }
        assert_eq!(called_for, [1, 1, 2, 2, 3]);
    }
}

/// 3PID-20: in the outbox stands one row per message, and nothing that anybody could use.
#[tokio::test]
async fn l6_the_session_and_its_message_are_written_together_or_not_at_all() {
    let server = server_with(&[]).await;
    server.expect_faults();
    for (index, (medium, path)) in REQUESTS.into_iter().enumerate() {
        let body = wish(medium, 1, "secret", 1);
        let fault = Fault::new(FaultKind::InternalError).on("TransactWriteItems");
        server.local.proxy().inject(fault.times(1000));
        server.post(path, &body).await.error(500, "M_UNKNOWN");
        assert_eq!((queued(&server), rows(&server).len()), (index, index));
        server.local.proxy().clear_faults();
        // 3PID-17: the same attempt, then, is no repetition.
        let sid = sid(&server, path, &body).await;
        assert_eq!(
            (queued(&server), rows(&server).len()),
            (index + 1, index + 1)
        );
        let outbox = server.local.dynamodb().table("Outbox").unwrap();
        let message = outbox.iter().find(|row| row["sid"]["S"] == sid).unwrap();
        let told = message.to_string();
        for secret in [
            "secret",
            &token(&server, medium, &sid),
            "07400",
            "447400",
            "@",
        ] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

/// 3PID-17: a failed write is reported; one whose answer alone was lost is no failure.
#[tokio::test]
async fn _3pid_17_a_failed_write_does_not_use_up_the_attempt_and_a_lost_answer_sends_once() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let before = queued(&server);
        let lost = Fault::new(FaultKind::LostAnswer).on("TransactWriteItems");
        server.local.proxy().inject(lost);
        let first = sid(&server, path, &wish(medium, 1, "secret", 1)).await;
        assert_eq!(queued(&server) - before, 1);
        let conflict = Fault::new(FaultKind::Conflict).on("TransactWriteItems");
        server.local.proxy().inject(conflict.times(2));
        let again = sid(&server, path, &wish(medium, 1, "secret", 2)).await;
        assert_eq!((queued(&server) - before, again), (2, first));
    }
}

async fn fifty_at_once(server: TestServer) {
    let server = Arc::new(server);
    for (index, (medium, path)) in REQUESTS.into_iter().enumerate() {
        let mut racers = JoinSet::new();
        for _ in 0..50 {
            let server = Arc::clone(&server);
            racers.spawn(async move { server.post(path, &wish(medium, 1, "secret", 1)).await });
        }
        let replies = racers.join_all().await;
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
        assert_eq!(rows(&server).len(), index + 1);
        assert_eq!(queued(&server), index + 1);
        // Whoever was refused asks again, and nothing is sent again.
        server.post(path, &wish(medium, 1, "secret", 1)).await.ok();
        assert_eq!(queued(&server), index + 1);
        // So many requests are a limit of their own.
        server.advance(Duration::from_hours(1));
    }
}

#[tokio::test]
async fn _3pid_24_of_fifty_identical_requests_at_once_one_calls_for_a_message() {
    fifty_at_once(server_with(&[]).await).await;
}

/// HTTP-19: the budgets of messages are there for messages, not for twins.
#[tokio::test]
async fn _3pid_24_twins_at_once_do_not_use_up_the_budgets() {
    let server = server_with(&[("GATEHOUSE_LIMITS", "on")]).await;
    fifty_at_once(server).await;
}

#[tokio::test]
async fn _3pid_24_two_attempts_at_once_are_two_messages_at_most_and_one_session() {
    let server = Arc::new(server_with(&[]).await);
    for (medium, path) in REQUESTS {
        let before = queued(&server);
        let mut racers = JoinSet::new();
        for index in 0..20 {
            let server = Arc::clone(&server);
            let body = wish(medium, 1, "secret", 1 + index % 2);
            racers.spawn(async move { server.post(path, &body).await.ok() });
        }
        let answers = racers.join_all().await;
        assert!(answers.iter().all(|answer| answer == &answers[0]));
        let called_for = queued(&server) - before;
        assert!((1..=2).contains(&called_for), "{called_for}");
    }
}

#[tokio::test]
async fn _3pid_25_what_an_earlier_message_brought_still_works() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let first = sid(&server, path, &wish(medium, 1, "secret", 1)).await;
        let token = token(&server, medium, &first);
        server.advance(Duration::from_hours(1));
        sid(&server, path, &wish(medium, 1, "secret", 2)).await;
        submit(&server, medium, &first, "secret", &token).await.ok();
        assert_eq!(state(&server, &first), "validated");
    }
}

/// 3PID-48: each text message is one more code to guess, so there are few.
#[tokio::test]
async fn _3pid_16_one_session_calls_for_20_mails_or_3_text_messages() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[]).await;
        let most = if medium == "email" { 20 } else { 3 };
        let before = queued(&server);
        for attempt in 1..=most {
            sid(&server, path, &wish(medium, 1, "secret", attempt)).await;
        }
        let one_more = wish(medium, 1, "secret", most + 1);
        server.advance(Duration::from_hours(23));
        let reply = server.post(path, &one_more).await;
        let refusal = reply.error(429, "M_LIMIT_EXCEEDED");
        assert_eq!(
            refusal["retry_after_ms"], 3_600_000,
            "when the session ends"
        );
        // To repeat an attempt is still no fault.
        let repeated = wish(medium, 1, "secret", most);
        sid(&server, path, &repeated).await;
        let sent = usize::try_from(most).unwrap();
        assert_eq!(queued(&server) - before, sent);
        server.advance(Duration::from_hours(1));
        sid(&server, path, &one_more).await;
        assert_eq!(queued(&server) - before, sent + 1);
    }
}

/// 3PID-20: a session that ended counts anew, from any attempt.
#[tokio::test]
async fn _3pid_49_a_session_that_expired_begins_anew_under_its_id_with_other_tokens() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[]).await;
        let body = wish(medium, 1, "secret", 7);
        let first = sid(&server, path, &body).await;
        let old = token(&server, medium, &first);
        let before = queued(&server);
        server.advance(Duration::from_hours(24));
        let body = wish(medium, 1, "secret", 1);
        assert_eq!(sid(&server, path, &body).await, first);
        assert_eq!(queued(&server), before + 1);
        let new = token(&server, medium, &first);
        assert_ne!(new, old);
        let reply = submit(&server, medium, &first, "secret", &old).await;
        reply.error(400, "M_TOKEN_INCORRECT");
        submit(&server, medium, &first, "secret", &new).await.ok();
    }
}

/// 3PID-21: when the address is validated there is nothing left to send.
#[tokio::test]
async fn _3pid_21_a_validated_session_calls_for_no_further_message() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let first = sid(&server, path, &wish(medium, 1, "secret", 1)).await;
        let token = token(&server, medium, &first);
        submit(&server, medium, &first, "secret", &token).await.ok();
        let before = queued(&server);
        let answer = server.post(path, &wish(medium, 1, "secret", 2)).await.ok();
        assert_eq!(text(&answer, "sid"), first);
        assert_eq!(queued(&server), before);
        assert_eq!(state(&server, &first), "validated");
    }
}
