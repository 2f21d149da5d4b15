//! The cost of the tokens of the OAuth 2.0 API: two round trips for an exchange and for a refresh.

use std::time::Duration;

use crate::{
    api::{
        oauth2_registration::{register, registered},
        support::{homeserver::FunctionUrl, text},
    },
    flows::{
        cost::CostTable,
        support::{
            oauth_pages::{NATIVE_URI, metadata},
            oauth_tokens::{OAuthServer, TOKEN, changed, form, send},
        },
    },
};

/// A server with a client that has registered with the API. The registration expires unless the client exchanges a code.
async fn start(limits: &str) -> OAuthServer {
    let oauth = OAuthServer::with(&[("GATEHOUSE_LIMITS", limits)]).await;
    let client = register(&oauth.server, &metadata("native", NATIVE_URI)).await;
    let client = text(&registered(&client), "client_id").to_owned();
    OAuthServer { client, ..oauth }
}

async fn tokens(limits: &str) -> CostTable {
    let oauth = start(limits).await;
    let server = &oauth.server;
    let url = FunctionUrl::of(server);
    let mut costs = CostTable::default();
    for what in ["first exchange of a client", "exchange"] {
        let code = oauth.code().await;
        server.advance(Duration::from_mins(1));
        let wrong = changed(&code, "code_verifier", &"x".repeat(43));
        if what == "exchange" {
            costs
                .measure("refused exchange", server, send(server, TOKEN, &wrong))
                .await;
        }
        costs
            .measure(what, server, send(server, TOKEN, &code))
            .await
            .ok();
    }
    let first = oauth.log_in().await;
    server.advance(Duration::from_mins(1));
    let unknown = form(&[
        ("grant_type", "refresh_token"),
        ("client_id", &oauth.client),
        ("refresh_token", "ghs_x"),
    ]);
    costs
        .measure("malformed refresh", server, send(server, TOKEN, &unknown))
        .await;
    let second = costs
        .measure("refresh", server, oauth.refresh(&first))
        .await
        .ok();
    costs
        .measure("refresh, repeated", server, oauth.refresh(&first))
        .await
        .ok();
    costs
        .measure("first use", server, oauth.whoami(&second))
        .await
        .ok();
    costs
        .measure("use", server, oauth.whoami(&second))
        .await
        .ok();
    let token = second["access_token"].as_str().unwrap();
    costs
        .measure("introspection", server, url.introspect(token))
        .await;
    server.advance(Duration::from_mins(1));
    costs.measure("replay", server, oauth.refresh(&first)).await;
    costs
        .measure(
            "refresh of an ended session",
            server,
            oauth.refresh(&second),
        )
        .await;
    let tokens = oauth.log_in().await;
    server.advance(Duration::from_mins(1));
    let token = tokens["access_token"].as_str().unwrap();
    costs.measure("revoke", server, oauth.revoke(token)).await;
    costs
        .measure("revoke, repeated", server, oauth.revoke(token))
        .await;
    costs
        .measure("revoke, malformed", server, oauth.revoke("x"))
        .await;
    costs
}

#[tokio::test]
async fn oauth_tokens_without_limits() {
    tokens("off").await.assert(
        "first exchange of a client: GetItem OAuth + GetItem OAuth > TransactWriteItems Accounts&OAuth = 2r 8w
        refused exchange: GetItem OAuth + GetItem OAuth = 2r 0w
        exchange: GetItem OAuth + GetItem OAuth > TransactWriteItems Accounts&OAuth = 2r 6w
        malformed refresh: nothing
        refresh: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
        refresh, repeated: BatchGetItem Accounts = 2r 0w
        first use: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
        use: BatchGetItem Accounts = 2r 0w
        introspection: BatchGetItem Accounts = 2r 0w
        replay: BatchGetItem Accounts > Query Accounts > TransactWriteItems Accounts = 3r 2w
        refresh of an ended session: BatchGetItem Accounts = 2r 0w
        revoke: BatchGetItem Accounts > TransactWriteItems Accounts = 2r 2w
        revoke, repeated: BatchGetItem Accounts = 2r 0w
        revoke, malformed: nothing",
    );
}

#[tokio::test]
async fn oauth_tokens_with_limits() {
    tokens("on").await.assert(
        "first exchange of a client: GetItem OAuth + GetItem OAuth > TransactWriteItems Accounts&OAuth = 2r 8w
        refused exchange: GetItem OAuth + GetItem OAuth > UpdateItem Limits = 2r 1w
        exchange: GetItem OAuth + GetItem OAuth > TransactWriteItems Accounts&OAuth = 2r 6w
        malformed refresh: UpdateItem Limits = 0r 1w
        refresh: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
        refresh, repeated: BatchGetItem Accounts = 2r 0w
        first use: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Accounts = 2r 3w
        use: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 2r 2w
        introspection: BatchGetItem Accounts = 2r 0w
        replay: BatchGetItem Accounts > Query Accounts > TransactWriteItems Accounts > UpdateItem Limits = 3r 3w
        refresh of an ended session: BatchGetItem Accounts > UpdateItem Limits > UpdateItem Limits = 2r 1w
        revoke: UpdateItem Limits > BatchGetItem Accounts > TransactWriteItems Accounts = 2r 3w
        revoke, repeated: UpdateItem Limits > UpdateItem Limits > BatchGetItem Accounts = 2r 1w
        revoke, malformed: UpdateItem Limits > UpdateItem Limits = 0r 1w",
    );
}
