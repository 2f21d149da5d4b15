//! The scenario with the tokens of the OAuth 2.0 API and a homeserver: the registration of a client, and every start, use
//! and end of a session.
use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use test_support::TestServer;

use super::start_every_function;
use crate::{
    api::{
        oauth2_registration::{register, registered},
        support::text,
    },
    flows::{
        homeserver::interrupt,
        support::{
            account_helpers::{ADDRESSES, sign_up_with},
            homeserver::Homeserver,
            oauth_pages::{NATIVE_URI, OAUTH, metadata},
            oauth_tokens::{OAuthServer, TOKEN, assert_error, send},
            threepid_helpers::{ALICE, EMAIL},
        },
    },
};

/// The ID of a client that registers twice.
async fn client(server: &TestServer) -> String {
    let metadata = metadata("native", NATIVE_URI);
    registered(&register(server, &metadata).await);
    let client = registered(&register(server, &metadata).await);
    text(&client, "client_id").to_owned()
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let settings = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let (_homeserver, server) = Homeserver::with_server(&settings).await;
    server.expect_faults();
    start_every_function(&server).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let client = client(&server).await;
    let oauth = OAuthServer { server, client };
    let server = &oauth.server;
    let pause = async || {
        server.advance(Duration::from_mins(20));
        interrupt(server, "alice");
    };

    // An old refresh token ends a session.
    let code = oauth.code().await;
    interrupt(server, "alice");
    let first = send(server, TOKEN, &code).await.ok();
    let second = oauth.refresh(&first).await.ok();
    oauth.whoami(&second).await.ok();
    let third = oauth.refresh(&second).await.ok();
    oauth.refresh(&third).await.ok();
    pause().await;
    let refused = oauth.refresh(&first).await;
    assert_error(&refused, 400, "invalid_grant");

    // A code that is used again ends a session.
    pause().await;
    let code = oauth.code().await;
    send(server, TOKEN, &code).await.ok();
    pause().await;
    let refused = send(server, TOKEN, &code).await;
    assert_error(&refused, 400, "invalid_grant");

    // Revocation by the client, and by someone else with a token that nobody has used yet.
    for client in [oauth.client.as_str(), "unknown"] {
        pause().await;
        let tokens = oauth.log_in().await;
        let next = oauth.refresh(&tokens).await.ok();
        pause().await;
        let token = text(&next, "refresh_token");
        oauth.revoke_as(client, token).await.ok();
    }
    server.advance(Duration::from_mins(20));
    server.deliver().await;
    server.local.proxy().used()
}
