//! The requests of a homeserver: the tokens that it asks about, and the secret that it shares with this server.

use serde_json::json;
use test_support::{Log, PASSWORD};

use crate::{
    api::support::{
        homeserver::{
            FunctionUrl, HOMESERVER_SECRET, introspection, introspection_with, sign_up_alice,
        },
        text,
    },
    flows::{
        leaks::LeakDetector,
        support::account_helpers::{LOGIN, login_of},
    },
};

const WRONG: &str = "marker of a wrong secret of a homeserver";

/// HS-02, TOK-18.
#[tokio::test]
async fn tok_18_an_introspection_leaks_no_token_and_no_secret() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&[], &log).await;
    let secrets = [PASSWORD, HOMESERVER_SECRET, WRONG];
    detector.secrets.extend(secrets.map(str::to_owned));
    let url = FunctionUrl::of(&detector.server);
    sign_up_alice(&detector.server).await;
    let body = login_of("alice", PASSWORD);
    let reply = detector.server.post(LOGIN, &body).await;
    let pair = detector.check(&reply);
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let reply = detector
        .server
        .post("/_matrix/client/v3/refresh", &body)
        .await;
    let next = detector.check(&reply);
    let refresh = text(&next, "refresh_token");
    for answer in [&pair, &next] {
        let token = text(answer, "access_token");
        let form = format!("token={token}");
        for request in [
            introspection(token),
            introspection(&format!("{token}x")),
            introspection(refresh),
            introspection_with(&format!("Bearer {WRONG}"), form.as_bytes()),
            introspection_with("", form.as_bytes()),
        ] {
            let reply = url.send(request).await;
            detector.check(&reply);
        }
    }
    let lines = log.request_lines();
    let of_function = lines
        .iter()
        .filter(|line| line["Operation"] == "oauth2-introspect");
    assert_eq!(of_function.count(), 10);
}
