//! Concurrent registrations with one 3PID.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::api::{
    rows::{accounts, queued},
    threepids::{
        MEDIA, message_request, register_with, request_session, server_with, state, submit, token,
    },
};

/// 3PID-63: the requests spell the 3PID in two ways. Every session is validated.
#[tokio::test]
async fn threepid_68_concurrent_sign_ups_give_an_address_one_owner() {
    for (medium, path) in MEDIA {
        let server = Arc::new(server_with(&[]).await);
        let mut requests = JoinSet::new();
        for index in 0..10 {
            let secret = format!("secret{index}");
            let mut body = message_request(medium, 1, &secret, 1);
            if index % 2 == 1 {
                body["email"] = json!("USER1@Example.ORG");
                body["phone_number"] = json!("+44 7400 123457");
            }
            let sid = request_session(&server, path, &body).await;
            let token = token(&server, medium, &sid);
            submit(&server, medium, &sid, &secret, &token).await.ok();
            let server = Arc::clone(&server);
            requests.spawn(async move {
                let name = format!("user-{index}");
                let reply = register_with(&server, medium, &name, (&sid, &secret)).await;
                (reply, sid)
            });
        }
        let mut registered = 0;
        for (reply, sid) in requests.join_all().await {
            if reply.status == 200 {
                registered += 1;
                assert_eq!(state(&server, &sid), "spent");
            } else {
                reply.error(400, "M_THREEPID_IN_USE");
                assert_eq!(state(&server, &sid), "validated");
            }
        }
        assert_eq!((registered, accounts(&server)), (1, 1));
        assert_eq!(queued(&server), 10);
    }
}
