//! What nobody may find of an identity server: its users' tokens and the secrets of sessions there
//! in no table and no log, their addresses and the sessions' ids in no log.

use std::time::Duration;

use kit::{Log, PASSWORD, PREFIXES};
use serde_json::{Value, json};

use crate::{
    api::support::post_as,
    flows::{
        addresses::EMAIL,
        canaries::Watch,
        identity_server::{IdServer, Manners, TOKEN},
        people::{END, password_of},
        support::{flows, wish, with},
    },
};

const ADDRESS: &str = "canary.address@example.org";
const SECRET: &str = "canary.client=secret_0123456789";
const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

fn creds(server: &IdServer, number: u8) -> Value {
    json!({
        "sid": format!("canary.session.{number}"), "client_secret": SECRET,
        "id_server": server.name, "id_access_token": TOKEN,
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

async fn walk(watch: &mut Watch, server: &IdServer) {
    let creds = creds(server, 1);
    let asked = json!({ "email": ADDRESS, "send_attempt": 1 });
    let asked = with(with(asked, &creds), &json!({ "sid": null }));
    let path = format!("{}/register/email/requestToken", PREFIXES[1]);
    let reply = watch.house.post(&path, &asked).await;
    watch.note(&reply);
    sign_up(watch, "nobody", &creds).await;
    server.session("canary.session.1", SECRET, "email", ADDRESS);
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
            json!({ "medium": "email", "address": ADDRESS, "id_server": server.name }),
        ),
    ] {
        let path = format!("{}/account/{end}", PREFIXES[1]);
        let reply = post_as(&watch.house, &token, &path, &body).await;
        watch.note(&reply);
    }
}

/// Bob comes while all is well, and goes while it is not; what is bound is undone in the background.
async fn farewell(watch: &mut Watch, server: &IdServer, manners: Option<Manners>) {
    server.behaves(None);
    server.session("canary.session.2", SECRET, "email", ADDRESS);
    let token = sign_up(watch, "bob", &creds(server, 2)).await;
    assert_eq!(server.bound().len(), 1);
    server.behaves(manners);
    let body = json!({ "auth": password_of("bob", PASSWORD, None) });
    let reply = post_as(&watch.house, &token, END, &body).await;
    reply.ok();
    watch.note(&reply);
    watch.house.deliver().await;
    for _ in 0..2 {
        watch.house.advance(Duration::from_mins(2));
        watch.house.tick().await;
        watch.search();
        server.behaves(None);
    }
    assert!(server.bound().is_empty());
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
        let server = IdServer::start("id.example.org");
        let entry = server.entry();
        let key = format!("ed25519 a_1 {SEED}");
        let settings = [
            ("GATEHOUSE_TRUSTED_ID_SERVERS", entry.as_str()),
            ("GATEHOUSE_THREEPID_VALIDATION", "delegated"),
            ("GATEHOUSE_SIGNING_KEY", key.as_str()),
            flows(EMAIL),
        ];
        let mut watch = Watch::start(&settings, &log).await;
        watch.house.expect_faults();
        watch.ignores_wire = true;
        let secrets = [SECRET, TOKEN, SEED, "canary.session"];
        watch.canaries.extend(secrets.map(str::to_owned));
        watch.unlogged.push("canary.address".to_owned());
        server.meets(&watch.house).await;
        let is_well = manners.is_none();
        server.behaves(manners.clone());
        walk(&mut watch, &server).await;
        assert!(server.bound().is_empty() && !server.seen().is_empty());
        assert_eq!(server.seen().len() > 5, is_well, "the walk went through");
        farewell(&mut watch, &server, manners).await;
    }
}
