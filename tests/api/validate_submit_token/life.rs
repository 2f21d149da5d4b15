//! How long a session lives.

use std::time::Duration;

use kit::{House, PASSWORD};
use serde_json::{Value, json};

use crate::api::threepids::{
    CONFIRM, LINK, MEDIA, house_with, not_submitted, open, press, sid, state, submit, token, wish,
};

const HOUR: Duration = Duration::from_hours(1);

/// Registers with the proof; what comes of it.
async fn register(house: &House, medium: &str, name: &str, sid: &str) -> kit::Reply {
    let stage = if medium == "email" {
        "m.login.email.identity"
    } else {
        "m.login.msisdn"
    };
    let creds: Value = json!({ "sid": sid, "client_secret": "secret" });
    let auth = json!({ "type": stage, "threepid_creds": creds });
    let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
    house.register(&body).await
}

/// L6: to the millisecond, swept or not.
#[tokio::test]
async fn _3pid_43_a_session_expires_24_hours_after_it_was_begun() {
    for (medium, path) in MEDIA {
        let house = house_with(&[]).await;
        let sid = sid(&house, path, &wish(medium, 1, "secret", 1)).await;
        let token = token(&house, medium, &sid);
        house.advance(HOUR * 24);
        let reply = submit(&house, medium, &sid, "secret", &token).await;
        not_submitted(&reply, "M_SESSION_EXPIRED");
        if medium == "email" {
            let fields = [("sid", sid.as_str()), ("token", token.as_str())];
            assert_eq!(open(&house, LINK, &fields).await.status, 400);
            assert_eq!(press(&house, &fields).await.status, 400);
            assert!(CONFIRM.ends_with("confirm"));
        }
        assert_eq!(state(&house, &sid), "pending");

        let house = house_with(&[]).await;
        let sid = crate::api::threepids::sid(&house, path, &wish(medium, 1, "secret", 1)).await;
        house.advance(HOUR * 24 - Duration::from_millis(1));
        let token = crate::api::threepids::token(&house, medium, &sid);
        submit(&house, medium, &sid, "secret", &token).await.ok();
    }
}

/// 3PID-49: a further message prolongs nothing.
#[tokio::test]
async fn _3pid_49_another_message_does_not_prolong_a_session() {
    let house = house_with(&[]).await;
    for (medium, path) in MEDIA {
        let first = sid(&house, path, &wish(medium, 1, "secret", 1)).await;
        house.advance(HOUR * 23);
        sid(&house, path, &wish(medium, 1, "secret", 2)).await;
        let token = token(&house, medium, &first);
        house.advance(HOUR);
        let reply = submit(&house, medium, &first, "secret", &token).await;
        not_submitted(&reply, "M_SESSION_EXPIRED");
    }
}

/// 3PID-49, L6: validated at 23 hours it holds at 46, and no longer at 48.
#[tokio::test]
async fn _3pid_49_a_validated_session_holds_for_24_hours_more() {
    for (medium, path) in MEDIA {
        let house = house_with(&[]).await;
        let mut sids = Vec::new();
        for secret in ["secret", "other"] {
            sids.push(sid(&house, path, &wish(medium, 1, secret, 1)).await);
        }
        house.advance(HOUR * 23);
        let right = token(&house, medium, &sids[0]);
        submit(&house, medium, &sids[0], "secret", &right)
            .await
            .ok();
        house.advance(HOUR * 23);
        // Submitted again at 46 hours, it is no younger for that.
        submit(&house, medium, &sids[0], "secret", &right)
            .await
            .ok();
        register(&house, medium, "alice", &sids[0]).await.ok();

        let house = house_with(&[]).await;
        let sid = sid(&house, path, &wish(medium, 1, "secret", 1)).await;
        house.advance(HOUR * 23);
        let right = token(&house, medium, &sid);
        submit(&house, medium, &sid, "secret", &right).await.ok();
        house.advance(HOUR * 23);
        submit(&house, medium, &sid, "secret", &right).await.ok();
        house.advance(HOUR * 2);
        let reply = submit(&house, medium, &sid, "secret", &right).await;
        not_submitted(&reply, "M_SESSION_EXPIRED");
        register(&house, medium, "alice", &sid)
            .await
            .refused("M_UNAUTHORIZED");
    }
}

/// A proof that has served is none any more, and its link is dead.
#[tokio::test]
async fn _3pid_43_a_spent_session_has_ended() {
    for (medium, path) in MEDIA {
        let house = house_with(&[]).await;
        let sid = sid(&house, path, &wish(medium, 1, "secret", 1)).await;
        let token = token(&house, medium, &sid);
        submit(&house, medium, &sid, "secret", &token).await.ok();
        register(&house, medium, "alice", &sid).await.ok();
        assert_eq!(state(&house, &sid), "spent");
        let reply = submit(&house, medium, &sid, "secret", &token).await;
        not_submitted(&reply, "M_SESSION_EXPIRED");
        register(&house, medium, "bob", &sid)
            .await
            .refused("M_UNAUTHORIZED");
    }
}
