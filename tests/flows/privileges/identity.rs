//! The walk past identity servers.

use std::collections::BTreeSet;

use gatehouse_local::tap::Use;
use kit::PREFIXES;
use serde_json::json;

use super::start_every_function;
use crate::{
    api::support::post_as,
    flows::identity_server::{IdServer, TOKEN},
};

/// An address is bound and unbound, with limits on.
pub(super) async fn walk() -> BTreeSet<Use> {
    let server = IdServer::start("id.example.org");
    let house = IdServer::house(&[&server], &[("GATEHOUSE_LIMITS", "on")]).await;
    start_every_function(&house).await;
    let user = house.sign_up("alice").await;
    let token = user["access_token"].as_str().unwrap();
    server.session("1", "secret", "email", "alice@example.org");
    for (end, body) in [
        (
            "bind",
            json!({
                "client_secret": "secret", "sid": "1", "id_server": server.name, "id_access_token": TOKEN,
            }),
        ),
        (
            "unbind",
            json!({ "medium": "email", "address": "alice@example.org" }),
        ),
    ] {
        let path = format!("{}/account/3pid/{end}", PREFIXES[1]);
        post_as(&house, token, &path, &body).await.ok();
    }
    house.local.tap().used()
}
