//! Identity servers: their access tokens and the client secrets of their sessions are in no table and
//! no log. Addresses and session IDs are in no log.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{Log, PASSWORD, PREFIXES};

use crate::{
    api::support::post_as,
    flows::{
        leaks::LeakDetector,
        support::{
            account_helpers::{DEACTIVATE_PATH, password_of},
            flows,
            identity_server::{IdServer, Misbehaviour, TOKEN},
            registration,
            threepid_helpers::EMAIL,
            with,
        },
    },
};

const ADDRESS: &str = "marker.address@example.org";
const SECRET: &str = "marker.client=secret_0123456789";
/// A client secret with an address is one session, which can be used once.
const OTHER_SECRET: &str = "marker.client=secret_9876543210";
const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

fn creds(id_server: &IdServer, number: u8) -> Value {
    json!({
        "sid": format!("marker.session.{number}"), "client_secret": SECRET,
        "id_server": id_server.name, "id_access_token": TOKEN,
    })
}

/// Registers with an address that the identity server has validated and that is bound there.
async fn sign_up(detector: &mut LeakDetector, name: &str, creds: &Value) -> String {
    let challenge = detector.register(&registration(name)).await;
    let auth = json!({
        "type": EMAIL, "threepid_creds": creds, "session": challenge["session"],
    });
    let body = json!({ "auth": auth, "bind_email": true });
    let account = detector.register(&body).await;
    let token = account["access_token"].as_str();
    token.unwrap_or_default().to_owned()
}

async fn live_account(detector: &mut LeakDetector, id_server: &IdServer) {
    let creds = creds(id_server, 1);
    let request = json!({ "email": ADDRESS, "send_attempt": 1 });
    let request = with(with(request, &creds), &json!({ "sid": null }));
    let path = format!("{}/register/email/requestToken", PREFIXES[1]);
    let reply = detector.server.post(&path, &request).await;
    detector.check(&reply);
    sign_up(detector, "nobody", &creds).await;
    id_server.session("marker.session.1", SECRET, "email", ADDRESS);
    let token = sign_up(detector, "alice", &creds).await;
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
        let reply = post_as(&detector.server, &token, &path, &body).await;
        detector.check(&reply);
    }
}

/// Bob registers while the identity server works and deactivates the account while the identity server
/// fails. The binding is removed in the background.
async fn deactivated_account(
    detector: &mut LeakDetector,
    id_server: &IdServer,
    misbehaviour: Option<Misbehaviour>,
) {
    id_server.set_misbehaviour(None);
    let mut creds = creds(id_server, 2);
    creds["client_secret"] = OTHER_SECRET.into();
    id_server.session("marker.session.2", OTHER_SECRET, "email", ADDRESS);
    let token = sign_up(detector, "bob", &creds).await;
    assert_eq!(id_server.bindings().len(), 1);
    id_server.set_misbehaviour(misbehaviour);
    let body = json!({ "auth": password_of("bob", PASSWORD, None) });
    let reply = post_as(&detector.server, &token, DEACTIVATE_PATH, &body).await;
    reply.ok();
    detector.check(&reply);
    detector.server.deliver().await;
    for _ in 0..2 {
        detector.server.advance(Duration::from_mins(2));
        detector.server.run_schedule().await;
        detector.search();
        id_server.set_misbehaviour(None);
    }
    assert!(id_server.bindings().is_empty());
}

/// L4, incident 22: the test covers every behaviour of the identity server.
#[tokio::test]
async fn l4_no_secret_of_an_identity_servers_users_leaks() {
    let echo = json!({ "errcode": "M_UNKNOWN", "error": format!("{ADDRESS} {TOKEN}") });
    for misbehaviour in [
        None,
        Some(Misbehaviour::Responds("400 Bad Request", echo.to_string())),
        Some(Misbehaviour::Responds(
            "500 Internal Server Error",
            ADDRESS.to_owned(),
        )),
        Some(Misbehaviour::ClosesEarly),
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
        let mut detector = LeakDetector::start(&settings, &log).await;
        detector.server.expect_faults();
        detector.ignores_sdk_trace = true;
        let secrets = [SECRET, TOKEN, SEED, "marker.session"];
        detector.secrets.extend(secrets.map(str::to_owned));
        detector.only_stored.push("marker.address".to_owned());
        id_server.learn_homeserver_keys(&detector.server).await;
        let works = misbehaviour.is_none();
        id_server.set_misbehaviour(misbehaviour.clone());
        live_account(&mut detector, &id_server).await;
        assert!(id_server.bindings().is_empty() && !id_server.requests().is_empty());
        assert_eq!(
            id_server.requests().len() > 5,
            works,
            "every request was sent"
        );
        deactivated_account(&mut detector, &id_server, misbehaviour).await;
    }
}
