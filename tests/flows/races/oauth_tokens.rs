//! Concurrent exchanges, refreshes and revocations of the OAuth 2.0 API.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use test_support::Reply;

use crate::flows::{
    races::{delayed, finish_overtaken, start_delayed},
    support::{
        at_once,
        oauth_pages::{DEVICE, oauth_rows},
        oauth_tokens::{Form, OAuthServer, TOKEN, assert_error, send},
        serial,
    },
};

const FUNCTION: &str = "Oauth2Token";
const MANY: usize = 50;

async fn send_many(oauth: &Arc<OAuthServer>, form: &Form) -> Vec<Reply> {
    at_once(MANY, |_| {
        let (oauth, form) = (Arc::clone(oauth), form.clone());
        async move { send(&oauth.server, TOKEN, &form).await }
    })
    .await
}

/// OA-77, OA-78: one exchange gets tokens, and the others end its session, because one of them may come from a thief.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_77_of_50_concurrent_exchanges_one_gets_tokens() {
    let _serial = serial().await;
    let oauth = Arc::new(OAuthServer::new().await);
    let code = oauth.code().await;
    let replies = send_many(&oauth, &code).await;
    let (granted, refused): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(granted.len(), 1);
    for reply in refused {
        assert_error(reply, 400, "invalid_grant");
    }
    let tokens = granted[0].ok();
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    assert_error(&oauth.refresh(&tokens).await, 400, "invalid_grant");
}

/// OA-77: two codes for one device. The later exchange replaces the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_77_concurrent_exchanges_for_one_device_leave_one() {
    let _serial = serial().await;
    let oauth = Arc::new(OAuthServer::new().await);
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(oauth.code().await);
    }
    let replies = at_once(codes.len(), |index| {
        let (oauth, code) = (Arc::clone(&oauth), codes[index].clone());
        async move { send(&oauth.server, TOKEN, &code).await.ok() }
    })
    .await;
    let mut valid = 0;
    for tokens in &replies {
        valid += usize::from(oauth.whoami(tokens).await.status == 200);
    }
    assert_eq!(valid, 1);
    let rows = oauth_rows(&oauth.server);
    assert_eq!(rows.iter().filter(|key| *key == "CLIENT").count(), 1);
}

/// OA-90, OA-91: two processes of one app, or fifty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_90_concurrent_refreshes_get_one_response() {
    let _serial = serial().await;
    let oauth = Arc::new(OAuthServer::new().await);
    let tokens = oauth.log_in().await;
    let replies = send_many(&oauth, &oauth.refresh_of(&tokens)).await;
    let bodies: BTreeSet<_> = replies.iter().map(|reply| reply.ok().to_string()).collect();
    assert_eq!(bodies.len(), 1);
    let next = replies[0].ok();
    assert_eq!(oauth.whoami(&next).await.ok()["device_id"], DEVICE);
    let late = send_many(&oauth, &oauth.refresh_of(&tokens)).await;
    assert!(late.iter().all(|reply| reply.ok() == next));
}

/// OA-105: a refresh that is slower than the revocation gets no tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_105_a_revocation_during_a_refresh_ends_the_session() {
    let oauth = Arc::new(OAuthServer::new().await);
    let tokens = oauth.log_in().await;
    let (own, form) = (Arc::clone(&oauth), oauth.refresh_of(&tokens));
    let slow = async move { send(&own.server, TOKEN, &form).await };
    let fault = delayed(FUNCTION, "UpdateItem");
    let slow = start_delayed(&oauth.server, fault, slow).await;
    let revoked = oauth.revoke(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!(revoked.status, 200);
    assert_error(&finish_overtaken(slow).await, 400, "invalid_grant");
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
}

/// OA-81: the account is deactivated between the read and the transaction of an exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_81_an_account_that_changes_meanwhile_gets_no_tokens() {
    for status in ["deactivated", "locked"] {
        let oauth = Arc::new(OAuthServer::new().await);
        let code = oauth.code().await;
        let own = Arc::clone(&oauth);
        let slow = async move { send(&own.server, TOKEN, &code).await };
        let fault = delayed(FUNCTION, "TransactWriteItems");
        let slow = start_delayed(&oauth.server, fault, slow).await;
        crate::api::support::set_status(&oauth.server, "alice", status);
        assert_error(&finish_overtaken(slow).await, 400, "invalid_grant");
        assert!(
            !oauth.server.dump().contains(&format!("DEV#{DEVICE}")),
            "{status}"
        );
    }
}

/// OA-92: two uses of an old refresh token end one session, and both get the same error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_92_concurrent_replays_end_the_session_once() {
    let _serial = serial().await;
    let oauth = Arc::new(OAuthServer::new().await);
    let first = oauth.log_in().await;
    let second = oauth.refresh(&first).await.ok();
    oauth.whoami(&second).await.ok();
    oauth.server.advance(Duration::from_mins(1));
    let replies = send_many(&oauth, &oauth.refresh_of(&first)).await;
    for reply in &replies {
        assert_error(reply, 400, "invalid_grant");
    }
    oauth.whoami(&second).await.error(401, "M_UNKNOWN_TOKEN");
}
