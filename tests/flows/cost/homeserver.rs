//! The cost of the requests of a homeserver. Every use of an access token may cause one, so an introspection makes one
//! read, and no write but at the first use of a refreshed token.

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{
        homeserver::{FunctionUrl, introspection, introspection_with, sign_up_alice},
        text,
    },
    flows::{
        cost::CostTable,
        support::account_helpers::{LOGIN, login_of},
    },
};

#[tokio::test]
async fn requests_of_the_homeserver_have_their_known_cost() {
    let server = TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let url = FunctionUrl::of(&server);
    sign_up_alice(&server).await;
    let pair = server.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let next = server.post("/_matrix/client/v3/refresh", &body).await.ok();
    let token = text(&next, "access_token");
    let mut costs = CostTable::default();
    for (what, token) in [
        ("introspection, first use", token),
        ("introspection", token),
        ("introspection, replaced", text(&pair, "access_token")),
        ("introspection, malformed", "gha_x"),
    ] {
        let work = url.send(introspection(token));
        costs.expect(what, &server, work, 200).await;
    }
    let work = url.send(introspection_with("Bearer wrong", b"token=x"));
    costs
        .expect("introspection, wrong secret", &server, work, 401)
        .await;
    costs.assert(COSTS);
}

const COSTS: &str = "
    introspection, first use: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
    introspection: BatchGetItem Accounts = 2r 0w
    introspection, replaced: BatchGetItem Accounts = 2r 0w
    introspection, malformed: nothing
    introspection, wrong secret: nothing
";
