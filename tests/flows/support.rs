//! Helpers of all flow tests: request bodies, concurrent requests, and assertions about the tables.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

pub(crate) mod account_helpers;
pub(crate) mod captcha_provider;
pub(crate) mod device_grant;
pub(crate) mod hash_counting;
pub(crate) mod homeserver;
pub(crate) mod identity_server;
pub(crate) mod mail_helpers;
pub(crate) mod oauth_pages;
pub(crate) mod oauth_tokens;
pub(crate) mod synapse;
pub(crate) mod threepid_helpers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use clap::Parser;
use gatehouse_admin::{Admin, Cli, Report};
use http::Request;
use serde_json::{Value, json};
use shared::{
    app::App,
    rng::{Rng, SystemRng},
};
use test_support::{PASSWORD, Reply, TestServer};
use tokio::sync::{Mutex, MutexGuard};

pub(crate) const DUMMY: &str = "m.login.dummy";
pub(crate) const TOKEN: &str = "m.login.registration_token";
pub(crate) const TERMS: &str = "m.login.terms";
pub(crate) const RECAPTCHA: &str = "m.login.recaptcha";

/// A flow of two stages that each need one request.
pub(crate) const TWO_STAGES: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.registration_token+m.login.dummy",
);

/// Policies in two languages.
pub(crate) const POLICIES: (&str, &str) = (
    "GATEHOUSE_TERMS",
    r#"{"privacy":{"version":"1.2","en":{"name":"Privacy","url":"https://example.org/en"},"fr":{"name":"Vie privée","url":"https://example.org/fr"}}}"#,
);

/// The setting that offers these flows.
pub(crate) fn flows(flows: &str) -> (&'static str, &str) {
    ("GATEHOUSE_REGISTRATION_FLOWS", flows)
}

/// A body that attempts `stage` in `session`.
pub(crate) fn stage(stage: &str, session: &str) -> Value {
    json!({ "auth": { "type": stage, "session": session } })
}

/// A body with a registration token, in a session or without one.
pub(crate) fn token_stage(token: &str, session: Option<&str>) -> Value {
    let mut body = json!({ "auth": { "type": TOKEN, "token": token } });
    if let Some(session) = session {
        body["auth"]["session"] = session.into();
    }
    body
}

/// Returns `a` with the members of `b` added or replaced.
pub(crate) fn with(mut a: Value, b: &Value) -> Value {
    for (name, value) in b.as_object().unwrap() {
        a[name] = value.clone();
    }
    a
}

/// The parameters of a new account.
pub(crate) fn registration(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD })
}

/// The `whoami` response for the access token in this response.
pub(crate) async fn whoami(server: &TestServer, answer: &Value) -> Value {
    let token = answer["access_token"].as_str().unwrap();
    server.whoami(token).await.ok()
}

/// Whether the name is available, according to the endpoint.
pub(crate) async fn is_free(server: &TestServer, name: &str) -> bool {
    let path = format!("/_matrix/client/v3/register/available?username={name}");
    let reply = server.get(&path).await;
    if reply.status == 200 {
        return true;
    }
    reply.error(400, "M_USER_IN_USE");
    false
}

/// The path of a fallback page.
pub(crate) fn page(prefix: &str, stage: &str, session: &str) -> String {
    format!("{prefix}/auth/{stage}/fallback/web?session={session}")
}

/// Submits a page's form.
pub(crate) async fn submit(server: &TestServer, path: &str, form: &str) -> Reply {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    server
        .send(request.body(form.as_bytes().to_vec()).unwrap())
        .await
}

/// All accounts in the tables: the localpart and the sort keys of the partition.
pub(crate) fn users(server: &TestServer) -> BTreeMap<String, BTreeSet<String>> {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in server.local.dynamodb().table("Accounts").unwrap() {
        if let Some(name) = row["pk"]["S"].as_str().unwrap().strip_prefix("USER#") {
            let sk = row["sk"]["S"].as_str().unwrap().to_owned();
            users.entry(name.to_owned()).or_default().insert(sk);
        }
    }
    users
}

/// Asserts that exactly these accounts exist, each with its account row, one password and one
/// device, and that no row is left over.
#[track_caller]
pub(crate) fn assert_users(server: &TestServer, expected: &[&str]) {
    let users = users(server);
    let names: Vec<&str> = users.keys().map(String::as_str).collect();
    assert_eq!(names, expected);
    assert_complete(&users);
}

/// Asserts that no account is incomplete.
#[track_caller]
pub(crate) fn assert_complete(users: &BTreeMap<String, BTreeSet<String>>) {
    for (name, rows) in users {
        let devices = rows.iter().filter(|sk| sk.starts_with("DEV#")).count();
        let others = rows
            .iter()
            .map(String::as_str)
            .filter(|sk| {
                !["DEV#", "TERMS#", "3PID#"]
                    .iter()
                    .any(|own| sk.starts_with(own))
            })
            .collect::<Vec<_>>();
        assert_eq!((others, devices), (vec!["A", "PW"], 1), "{name}: {rows:?}");
    }
}

/// The number of rows of a table.
pub(crate) fn count(server: &TestServer, table: &str) -> usize {
    server.local.dynamodb().table(table).unwrap().len()
}

/// The remaining uses of all limited registration tokens, share by share.
pub(crate) fn uses_left(server: &TestServer) -> Vec<i64> {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let shares = rows
        .iter()
        .filter(|row| row["sk"]["S"].as_str().unwrap().starts_with("S#"));
    shares
        .map(|row| row["left"]["N"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Waits until no other test with many concurrent requests runs. Two such tests at the same time would
/// compete for the processor until calls time out, and the SDK has one quota of retries for the whole
/// process.
pub(crate) async fn serial() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::const_new(());
    LOCK.lock().await
}

/// Runs `work` this many times concurrently. The results are in the order of their numbers.
pub(crate) async fn at_once<F>(times: usize, work: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let tasks: Vec<_> = (0..times)
        .map(|number| tokio::spawn(work(number)))
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// Sends registrations with the bodies for the numbers below `times` concurrently.
pub(crate) async fn register_at_once(
    server: &Arc<TestServer>,
    times: usize,
    body: impl Fn(usize) -> Value,
) -> Vec<Reply> {
    at_once(times, |number| {
        let (server, body) = (Arc::clone(server), body(number));
        async move { server.register(&body).await }
    })
    .await
}

/// The number of responses with each status and errcode.
pub(crate) fn tally(replies: &[Reply]) -> BTreeMap<(u16, String), usize> {
    let mut tally = BTreeMap::new();
    for reply in replies {
        let code = reply.json()["errcode"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        *tally.entry((reply.status.as_u16(), code)).or_default() += 1;
    }
    tally
}

/// The expected result of [`tally`].
pub(crate) fn tallied(expected: &[(u16, &str, usize)]) -> BTreeMap<(u16, String), usize> {
    let pairs = expected.iter();
    pairs
        .map(|(status, code, times)| ((*status, (*code).to_owned()), *times))
        .collect()
}

/// Runs the admin CLI, which must succeed. Each run has different random numbers.
pub(crate) async fn admin_run(server: &TestServer, arguments: &[&str]) -> Value {
    run_operator(server, arguments).await.unwrap().json
}

/// Runs the admin CLI. Each run has different random numbers.
pub(crate) async fn run_operator(
    server: &TestServer,
    arguments: &[&str],
) -> anyhow::Result<Report> {
    let admin = server.admin();
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let admin = Admin {
        store: another_process(server).store.clone(),
        rng,
        ..admin
    };
    let cli = Cli::try_parse_from(["gatehouse-admin"].iter().chain(arguments)).unwrap();
    Box::pin(admin.run(&cli.command)).await
}

/// Creates a registration token with these further arguments and returns it.
pub(crate) async fn new_token(server: &TestServer, arguments: &[&str]) -> String {
    let all = [&["registration-tokens", "create"], arguments].concat();
    admin_run(server, &all).await["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Another process of the same deployment, with the same tables and settings and with separate memory.
pub(crate) fn another_process(server: &TestServer) -> Arc<App> {
    process_of(server, "another")
}

/// Another process of this function.
pub(crate) fn process_of(server: &TestServer, function: &str) -> Arc<App> {
    let aws = server.local.aws(function);
    let clock = Arc::clone(server.local.clock());
    App::new(
        Arc::clone(server.local.config()),
        &aws,
        clock,
        Arc::new(SystemRng),
    )
}
