//! What nobody may find of an identity server: its users' tokens and the secrets of sessions there
//! in no table and no log, their addresses and the sessions' ids in no log.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{Log, PASSWORD, PREFIXES};

use crate::{
    api::support::post_as,
    flows::{
        leaks::registration::Watch,
        support::{
            account_helpers::{END, password_of},
            flows,
            identity_server::{IdServer, Manners, TOKEN},
            threepid_helpers::EMAIL,
            wish, with,
        },
    },
};

const ADDRESS: &str = "canary.address@example.org";
const SECRET: &str = "canary.client=secret_0123456789";
const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

fn creds(id_server: &IdServer, number: u8) -> Value {
    json!({
        "sid": format!("canary.session.{number}"), "client_secret": SECRET,
        "id_server": id_server.name, "id_access_token": TOKEN,
    })
}

/// A sign-up with an address that the identity server has validated, and that is bound there.
async fn sign_up(watch: &mut Watch, name: &str, creds: &Value) -> String {
    let challenge = watch.register(&wish(name)).await;
    let auth = json!({
        "type": EMAIL, "threepid_creds": creds, "session": challenge["session"],
    });
    let body = json!({ "auth": auth, "bind_email": true });
    let account = watch.register(&body).await;
    let token = account["access_token"].as_str();
    token.unwrap_or_default().to_owned()
}

async fn walk(watch: &mut Watch, id_server: &IdServer) {
    let creds = creds(id_server, 1);
    let asked = json!({ "email": ADDRESS, "send_attempt": 1 });
    let asked = with(with(asked, &creds), &json!({ "sid": null }));
    let path = format!("{}/register/email/requestToken", PREFIXES[1]);
    let reply = watch.server.post(&path, &asked).await;
    watch.note(&reply);
    sign_up(watch, "nobody", &creds).await;
    id_server.session("canary.session.1", SECRET, "email", ADDRESS);
    let token = sign_up(watch, "alice", &creds).await;
    for (end, body) in [
        ("3pid/bind", creds.clone()),
        (
            "3pid/unbind",
            json!({ "medium": "email", "address": ADDRESS }),
        ),
        ("3pid/bind", creds.clone()),
        (
            "3pid/delete",
            json!({ "medium": "email", "address": ADDRESS, "id_server": id_server.name }),
        ),
    ] {
        let path = format!("{}/account/{end}", PREFIXES[1]);
        let reply = post_as(&watch.server, &token, &path, &body).await;
        watch.note(&reply);
    }
}

/// Bob comes while all is well, and goes while it is not; what is bound is undone in the background.
async fn farewell(watch: &mut Watch, id_server: &IdServer, manners: Option<Manners>) {
    id_server.behaves(None);
    id_server.session("canary.session.2", SECRET, "email", ADDRESS);
    let token = sign_up(watch, "bob", &creds(id_server, 2)).await;
    assert_eq!(id_server.bound().len(), 1);
    id_server.behaves(manners);
    let body = json!({ "auth": password_of("bob", PASSWORD, None) });
    let reply = post_as(&watch.server, &token, END, &body).await;
    reply.ok();
    watch.note(&reply);
    watch.server.deliver().await;
    for _ in 0..2 {
        watch.server.advance(Duration::from_mins(2));
        watch.server.tick().await;
        watch.search();
        id_server.behaves(None);
    }
    assert!(id_server.bound().is_empty());
}

/// L4, incident 22: whatever the identity server does.
#[tokio::test]
async fn l4_nothing_of_an_identity_servers_users_stands_in_a_log_or_in_clear_in_a_table() {
    let echo = json!({ "errcode": "M_UNKNOWN", "error": format!("{ADDRESS} {TOKEN}") });
    for manners in [
        None,
        Some(Manners::Says("400 Bad Request", echo.to_string())),
        Some(Manners::Says(
            "500 Internal Server Error",
            ADDRESS.to_owned(),
        )),
        Some(Manners::BreaksOff),
    ] {
        let (log, _guard) = Log::capture();
        let id_server = IdServer::start("id.example.org");
        let entry = id_server.entry();
        let key = format!("ed25519 a_1 {SEED}");
        let settings = [
            ("GATEHOUSE_TRUSTED_ID_SERVERS", entry.as_str()),
            ("GATEHOUSE_THREEPID_VALIDATION", "delegated"),
            ("GATEHOUSE_SIGNING_KEY", key.as_str()),
            flows(EMAIL),
        ];
        let mut watch = Watch::start(&settings, &log).await;
        watch.server.expect_faults();
        watch.ignores_wire = true;
        let secrets = [SECRET, TOKEN, SEED, "canary.session"];
        watch.canaries.extend(secrets.map(str::to_owned));
        watch.unlogged.push("canary.address".to_owned());
        id_server.meets(&watch.server).await;
        let is_well = manners.is_none();
        id_server.behaves(manners.clone());
        walk(&mut watch, &id_server).await;
        assert!(id_server.bound().is_empty() && !id_server.seen().is_empty());
        assert_eq!(id_server.seen().len() > 5, is_well, "the walk went through");
        farewell(&mut watch, &id_server, manners).await;
    }
}
