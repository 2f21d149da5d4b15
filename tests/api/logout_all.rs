//! `POST /logout/all`.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::{
    logout::log_out,
    support::{add_appservice, password_login, post_as, whoami_as},
};

#[tokio::test]
async fn out_02_every_token_of_the_user_ends_in_one_transaction() {
    for prefix in PREFIXES {
        let server = TestServer::new().await;
        let (first, bob) = (server.sign_up("alice").await, server.sign_up("bob").await);
        let body = password_login("alice", PASSWORD);
        let second = server.post(&format!("{prefix}/login"), &body).await.ok();
        let path = format!("{prefix}/logout/all");
        let (reply, calls) = server.calls_of(log_out(&server, &path, &second)).await;
        assert_eq!(reply.ok(), json!({}));
        let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(operations, ["BatchGetItem", "TransactWriteItems"]);
        for ended in [&first, &second] {
            whoami_as(&server, ended)
                .await
                .error(401, "M_UNKNOWN_TOKEN");
        }
        whoami_as(&server, &bob).await.ok();
        let third = server.post(&format!("{prefix}/login"), &body).await.ok();
        whoami_as(&server, &third).await.ok();
    }
}

/// A bridge would conclude from `M_UNKNOWN_TOKEN` that its own token is invalid.
#[tokio::test]
async fn an_appservice_token_is_forbidden_where_it_cannot_be_used() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    for path in [
        "logout",
        "logout/all",
        "account/3pid/bind",
        "account/3pid/unbind",
    ] {
        let path = format!("{}/{path}", PREFIXES[0]);
        let reply = post_as(&server, &token, &path, &json!({})).await;
        reply.error(403, "M_FORBIDDEN");
        let reply = post_as(&server, "junk", &path, &json!({})).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
}
