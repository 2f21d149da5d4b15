//! What nobody may find of an address: the client's secret, the link's token, the code and the
//! client's own link in no table and no log; the address and the session's id in no log.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod purposes;

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use shared::threepid_validation;
use test_support::{Log, PREFIXES, Reply, TestServer};

use crate::flows::{
    addresses::{
        Asked, EMAIL, MAIL, MSISDN, NUMBER, SMS, code_to, confirm, form_of, link_to, mail_to,
        path_of, request_token, text_to,
    },
    canaries::Watch,
    support::{DUMMY, flows, page, stage, submit, wish, with},
};

const ADDRESS: &str = "canary.address@example.org";
const SECRET: &str = "canary.client=secret_0123456789";
const NEXT_LINK: &str = "https://app.example.org/canary-next-link?client_secret=canary-inside";

/// A house that listens, and that has been told of every secret there will be.
async fn watch(offered: &str, log: &Log, more: &[(&str, &str)]) -> Watch {
    let hosts = ("GATEHOUSE_NEXT_LINK_HOSTS", "app.example.org");
    let settings = [&[flows(offered), MAIL, SMS, hosts], more].concat();
    let mut watch = Watch::start(&settings, log).await;
    watch.ignores_wire = true;
    let secrets = [SECRET, NEXT_LINK, "canary-inside"];
    watch.canaries.extend(secrets.map(str::to_owned));
    // Digits of the kind that stand in a table are in many a log line: the whole number, in any
    // form in which it would be written.
    let numbers = ["canary.address", NUMBER.1, NUMBER.0, "07400123456"];
    watch.unlogged.extend(numbers.map(str::to_owned));
    watch
}

/// Asks for a message, and takes note of everything that is derived from it.
async fn ask(watch: &mut Watch, body: &Value) -> Asked {
    ask_for(watch, "register", body).await
}

/// The same, for this purpose.
async fn ask_for(watch: &mut Watch, purpose: &str, body: &Value) -> Asked {
    let mut body = body.clone();
    body["next_link"] = json!(NEXT_LINK);
    let stage = if body.get("email").is_some() {
        EMAIL
    } else {
        MSISDN
    };
    let path = request_token(PREFIXES[1], stage).replace("register", purpose);
    let reply = watch.server.post(&path, &body).await;
    let answer = reply.ok();
    let asked = Asked {
        stage,
        sid: answer["sid"].as_str().unwrap().to_owned(),
        secret: SECRET.to_owned(),
        address: body
            .get("email")
            .unwrap_or(&answer["msisdn"])
            .as_str()
            .unwrap()
            .to_owned(),
        answer: answer.clone(),
    };
    watch.unlogged.push(asked.sid.clone());
    take_note(watch, &asked);
    watch.note(&reply);
    asked
}

/// The link's token and the code of a session as it is now.
fn take_note(watch: &mut Watch, asked: &Asked) {
    let row = asked.row(&watch.server);
    let (sid, keys) = (&asked.sid, &watch.server.local.config().keys);
    let generation = row["generation"]["S"].as_str().unwrap();
    let secret = if asked.stage == EMAIL {
        threepid_validation::link_token(keys, sid, generation)
    } else {
        let sends = row["sends"]["N"].as_str().unwrap().parse().unwrap();
        threepid_validation::code(keys, sid, generation, sends)
    };
    watch.canaries.push(secret.reveal().clone());
}

/// A message is delivered, and read.
async fn arrives(watch: &Watch, asked: &Asked) -> String {
    watch.server.deliver().await;
    watch.search();
    if asked.stage == EMAIL {
        link_to(&watch.server, &asked.address)
    } else {
        code_to(&watch.server, &asked.address)
    }
}

#[track_caller]
fn none_is_in_the_sessions(server: &TestServer, canaries: &[&str]) {
    let rows = server.local.dynamodb().table("UiaSessions").unwrap();
    let text = Value::from(rows).to_string();
    for canary in canaries {
        assert!(!text.contains(canary), "{canary} is in a UIA session");
    }
}

/// L4, incident 12: at every step of a sign-up by mail and by text message.
#[tokio::test]
async fn l4_nothing_of_a_validation_stands_in_a_log_or_in_clear_in_a_table() {
    let (log, _guard) = Log::capture();
    let offered = format!("{EMAIL}+{MSISDN}+{DUMMY}");
    let mut watch = watch(&offered, &log, &[]).await;
    let session = watch.begin(&wish("alice")).await;
    let mail = ask(&mut watch, &mail_to(ADDRESS, SECRET, 1)).await;
    watch.register(&mail.attempt(Some(&session))).await;
    let link = arrives(&watch, &mail).await;
    let opened = watch.server.get(path_of(&link)).await;
    // Nor does a crawler's look at it, or a link that was broken on its way.
    watch.note(&opened);
    let broken = watch.server.get(&format!("{}x", path_of(&link))).await;
    assert_eq!(broken.status, 400);
    watch.note(&broken);
    let went = confirm(&watch.server, &link).await;
    assert_eq!(went.status, 303);
    watch.search();
    let body = watch
        .register(&json!({ "auth": { "session": session } }))
        .await;
    assert_eq!(body["completed"], json!([EMAIL]));
    let text = ask(&mut watch, &text_to(NUMBER.0, SECRET, 1)).await;
    watch.register(&text.attempt(Some(&session))).await;
    let code = arrives(&watch, &text).await;
    let wrong = if code == "987654" { "987655" } else { "987654" };
    watch.canaries.push(wrong.to_owned());
    for code in [wrong, &code] {
        let reply = text.enter(&watch.server, code).await;
        watch.note(&reply);
    }
    watch.register(&text.attempt(Some(&session))).await;
    none_is_in_the_sessions(&watch.server, &[ADDRESS, NUMBER.1, &mail.sid, &text.sid]);
    let answer = watch.register(&stage(DUMMY, &session)).await;
    assert!(answer["access_token"].is_string(), "{answer}");
    none_is_in_the_sessions(&watch.server, &[ADDRESS, NUMBER.1, &mail.sid, &text.sid]);
    assert!(
        log.text().contains("requestToken"),
        "the log is listened to"
    );
    assert!(log.text().contains("sent"), "deliver's too");
}

/// L4: on the pages, where the house itself is the client.
#[tokio::test]
async fn l4_nothing_of_a_validation_on_a_page_stands_in_a_log_or_in_clear_in_a_table() {
    let (log, _guard) = Log::capture();
    let mut watch = watch(&format!("{EMAIL}+{MSISDN}"), &log, &[]).await;
    let session = watch.begin(&wish("alice")).await;
    let path = page(PREFIXES[0], EMAIL, &session);
    let form = "email=canary.address%40example.org";
    for form in [form, "action=check", "action=restart", form] {
        let reply = submit(&watch.server, &path, form).await;
        watch.note(&reply);
        watch.server.deliver().await;
        watch.search();
    }
    let link = link_to(&watch.server, ADDRESS);
    let (_, fields) = form_of(&watch.server, &link).await;
    let token = fields.split("token=").nth(1).unwrap().to_owned();
    watch.canaries.push(token);
    confirm(&watch.server, &link).await;
    watch.search();
    let reply = watch.server.get(&path).await;
    watch.note(&reply);
    watch
        .register(&json!({ "auth": { "session": session } }))
        .await;
    let path = page(PREFIXES[0], MSISDN, &session);
    let reply = submit(&watch.server, &path, "country=GB&phone_number=07400123456").await;
    watch.note(&reply);
    watch.server.deliver().await;
    let code = code_to(&watch.server, NUMBER.1);
    watch.canaries.push(code.clone());
    let reply = submit(&watch.server, &path, &format!("action=check&code={code}")).await;
    assert_eq!(reply.status, 200);
    watch.note(&reply);
    none_is_in_the_sessions(&watch.server, &[ADDRESS, NUMBER.1]);
    let answer = watch
        .register(&json!({ "auth": { "session": session } }))
        .await;
    assert!(answer["access_token"].is_string(), "{answer}");
}

/// L4, incident 22: what fails is logged with its causes, and without any of it.
#[tokio::test]
async fn l4_nothing_of_a_validation_stands_in_the_log_of_a_failure() {
    let (log, _guard) = Log::capture();
    let denied = ("GATEHOUSE_EMAIL_DENIED", r"denied.*@.*");
    let mut watch = watch(&format!("{EMAIL} {MSISDN}"), &log, &[denied]).await;
    watch.unlogged.push("denied-canary".to_owned());
    let post = async |watch: &mut Watch, path: &str, body: &Value| -> Reply {
        let reply = watch.server.post(path, body).await;
        watch.note(&reply);
        reply
    };
    let path = request_token(PREFIXES[1], EMAIL);
    for address in [
        "denied-canary@example.org",
        "canary.address@example.org@canary.address",
        "<canary.address>",
    ] {
        let reply = post(&mut watch, &path, &mail_to(address, SECRET, 1)).await;
        assert!(reply.status.is_client_error());
    }
    let mail = ask(&mut watch, &mail_to(ADDRESS, SECRET, 1)).await;
    let text = ask(&mut watch, &text_to(NUMBER.0, SECRET, 1)).await;
    for (number, asked) in [&mail, &text].into_iter().enumerate() {
        let wish = wish(&format!("user{number}"));
        watch.register(&with(wish, &asked.attempt(None))).await;
    }
    // Providers that are out of order, tables that are, and then a day too late.
    watch.server.expect_faults();
    for kind in [
        FaultKind::Rejected,
        FaultKind::Throttle,
        FaultKind::InternalError,
        FaultKind::ConnectionReset,
    ] {
        watch
            .server
            .local
            .aws_fakes()
            .inject(Fault::new(kind).times(2));
        watch.server.deliver().await;
        watch.server.advance(Duration::from_mins(3));
        watch.server.tick().await;
        watch.search();
    }
    for function in [
        "RegisterEmailRequestToken",
        "ValidateSubmitToken",
        "ValidateConfirm",
    ] {
        watch
            .server
            .local
            .proxy()
            .inject(Fault::new(FaultKind::ConnectionReset).by(function).times(8));
    }
    let reply = post(&mut watch, &path, &mail_to(ADDRESS, SECRET, 2)).await;
    assert_eq!(reply.status, 500);
    let token = watch.canaries.last().cloned().unwrap();
    let reply = text.enter(&watch.server, &token).await;
    assert_eq!(reply.status, 500);
    watch.note(&reply);
    let link = format!("/_matrix/client/v3/validate/email/confirm?sid={}", mail.sid);
    let form = format!("sid={}&token={token}", mail.sid);
    let reply = submit(&watch.server, &link, &form).await;
    assert_eq!(reply.status, 500);
    watch.note(&reply);
    watch.server.local.proxy().clear_faults();
    watch.server.advance(Duration::from_hours(25));
    watch.server.tick().await;
    let reply = text.enter(&watch.server, &token).await;
    assert!(reply.status.is_client_error());
    watch.note(&reply);
    assert!(log.text().contains("through our fault"));
}
