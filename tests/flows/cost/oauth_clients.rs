//! The cost of clients of the OAuth 2.0 API that look for the server and register.

use serde_json::json;
use test_support::TestServer;

use crate::{
    api::oauth2_registration::{register, web_client},
    flows::{cost::CostTable, support::oauth_pages::OAUTH},
};

/// OA-27: a known client causes no write but the charge to its network.
#[tokio::test]
async fn oa_27_registrations_have_their_known_cost() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    let mut costs = CostTable::default();
    let metadata = server.get("/_matrix/client/v1/auth_metadata");
    costs.expect("metadata", &server, metadata, 200).await;
    let client = web_client();
    for what in ["client, new", "client, known"] {
        let work = register(&server, &client);
        costs.expect(what, &server, work, 201).await;
    }
    let wrong = json!({ "client_uri": "http://example.com" });
    let work = register(&server, &wrong);
    costs.expect("client, invalid", &server, work, 400).await;
    for _ in 0..8 {
        register(&server, &client).await;
    }
    let work = register(&server, &client);
    costs.expect("client, limited", &server, work, 429).await;
    costs.assert(COSTS);
}

const COSTS: &str = "
    metadata: nothing
    client, new: UpdateItem Limits > GetItem OAuth > UpdateItem Limits > PutItem OAuth = 1r 3w
    client, known: UpdateItem Limits > UpdateItem Limits > GetItem OAuth = 1r 1w
    client, invalid: nothing
    client, limited: UpdateItem Limits = 0r 0w
";
