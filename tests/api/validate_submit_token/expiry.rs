//! Expiry of sessions.

use std::time::Duration;

use test_support::{Reply, TestServer};

use crate::api::threepids::{
    LINK, MEDIA, assert_not_submitted, message_request, open_link, register_with, request_session,
    server_with, state, submit, submit_form, token,
};

const HOUR: Duration = Duration::from_hours(1);

/// Registers with the validated 3PID.
async fn register(server: &TestServer, medium: &str, name: &str, sid: &str) -> Reply {
    register_with(server, medium, name, (sid, "secret")).await
}

/// L6: the expiry is exact to the millisecond, whether TTL has deleted the row or not.
#[tokio::test]
async fn threepid_43_a_session_expires_24_hours_after_it_began() {
    for (medium, path) in MEDIA {
        let server = server_with(&[]).await;
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let token = token(&server, medium, &sid);
        server.advance(HOUR * 24);
        let reply = submit(&server, medium, &sid, "secret", &token).await;
        assert_not_submitted(&reply, "M_SESSION_EXPIRED");
        if medium == "email" {
            let fields = [("sid", sid.as_str()), ("token", token.as_str())];
            assert_eq!(open_link(&server, LINK, &fields).await.status, 400);
            assert_eq!(submit_form(&server, &fields).await.status, 400);
        }
        assert_eq!(state(&server, &sid), "pending");

        let server = server_with(&[]).await;
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        server.advance(Duration::from_millis(24 * 3_600_000 - 1));
        let token = crate::api::threepids::token(&server, medium, &sid);
        submit(&server, medium, &sid, "secret", &token).await.ok();
    }
}

/// 3PID-49: a further message does not extend the session.
#[tokio::test]
async fn threepid_49_another_message_does_not_extend_a_session() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        let first = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        server.advance(HOUR * 23);
        request_session(&server, path, &message_request(medium, 1, "secret", 2)).await;
        let token = token(&server, medium, &first);
        server.advance(HOUR);
        let reply = submit(&server, medium, &first, "secret", &token).await;
        assert_not_submitted(&reply, "M_SESSION_EXPIRED");
    }
}

/// 3PID-49, L6: a session that is validated at 23 hours is valid at 46 hours and expired at 48 hours.
#[tokio::test]
async fn threepid_49_a_validated_session_lasts_24_hours_more() {
    for (medium, path) in MEDIA {
        let server = server_with(&[]).await;
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        server.advance(HOUR * 23);
        let right = token(&server, medium, &sid);
        submit(&server, medium, &sid, "secret", &right).await.ok();
        server.advance(HOUR * 23);
        register(&server, medium, "alice", &sid).await.ok();

        let server = server_with(&[]).await;
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        server.advance(HOUR * 23);
        let right = token(&server, medium, &sid);
        submit(&server, medium, &sid, "secret", &right).await.ok();
        server.advance(HOUR * 23);
        // Submitting again at 46 hours does not extend the session.
        submit(&server, medium, &sid, "secret", &right).await.ok();
        server.advance(HOUR * 2);
        let reply = submit(&server, medium, &sid, "secret", &right).await;
        assert_not_submitted(&reply, "M_SESSION_EXPIRED");
        register(&server, medium, "alice", &sid)
            .await
            .refused("M_UNAUTHORIZED");
    }
}

/// A session that registered an account is spent, and its token is invalid.
#[tokio::test]
async fn threepid_43_a_spent_session_has_ended() {
    for (medium, path) in MEDIA {
        let server = server_with(&[]).await;
        let sid = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let token = token(&server, medium, &sid);
        submit(&server, medium, &sid, "secret", &token).await.ok();
        register(&server, medium, "alice", &sid).await.ok();
        assert_eq!(state(&server, &sid), "spent");
        let reply = submit(&server, medium, &sid, "secret", &token).await;
        assert_not_submitted(&reply, "M_SESSION_EXPIRED");
        register(&server, medium, "bob", &sid)
            .await
            .refused("M_UNAUTHORIZED");
    }
}
