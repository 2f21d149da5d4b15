//! The log line of each request: its members, and its counts, which must equal the counts of the
//! DynamoDB proxy.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use gatehouse_local::dynamodb::proxy::{Call, Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{Log, PASSWORD, TestServer};

use crate::flows::support::{
    DUMMY, TOKEN, TWO_STAGES, flows, new_token, registration, stage,
    threepid_helpers::{ALICE, EMAIL, MAIL, request_mail},
    token_stage, with,
};

/// Returns the last line and asserts that its counts equal the calls that the DynamoDB proxy has
/// recorded.
#[track_caller]
fn last(log: &Log, calls: &[Call]) -> Value {
    let line = log.request_lines().pop().unwrap();
    assert_eq!(line["dynamodb.calls"], calls.len(), "{line}");
    for (name, sum) in [
        ("dynamodb.read_units", sum(calls, |call| call.read_units)),
        ("dynamodb.write_units", sum(calls, |call| call.write_units)),
    ] {
        assert_eq!(line[name], sum, "{name}: {line}");
    }
    line
}

fn sum(calls: &[Call], units: impl Fn(&Call) -> f64) -> f64 {
    calls.iter().map(units).fold(0.0, |sum, units| sum + units)
}

#[track_caller]
fn assert_says(line: &Value, members: &[(&str, Value)]) {
    for (name, value) in members {
        assert_eq!(line.get(*name), Some(value), "{name}: {line}");
    }
}

#[tokio::test]
async fn the_lines_of_a_sign_up_show_its_funnel() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[TWO_STAGES, ("GATEHOUSE_LIMITS", "on")]).await;
    let token = new_token(&server, &[]).await;

    let ((_, session), calls) = server.calls_of(server.begin(&registration("alice"))).await;
    let begun = last(&log, &calls);
    let route = json!("/_matrix/client/v3/register");
    assert_says(
        &begun,
        &[
            ("message", json!("answered")),
            ("Stack", json!("gatehouse")),
            ("Operation", json!("register")),
            ("http.method", json!("POST")),
            ("http.route", route),
            ("http.status", json!(401)),
            ("cold_start", json!(true)),
            ("uia.next", json!(TOKEN)),
            ("Requests", json!(1.0)),
            ("Errors5xx", json!(0.0)),
            ("SignUpsBegun", json!(1.0)),
        ],
    );
    assert!(begun.get("Hashes").is_none() && begun.get("user.hash").is_none());

    let body = token_stage(&token, Some(&session));
    let (_, calls) = server.calls_of(server.register(&body)).await;
    let staged = last(&log, &calls);
    assert_says(
        &staged,
        &[
            ("uia.completed", json!(TOKEN)),
            ("uia.next", json!(DUMMY)),
            ("SignUpStages", json!(1.0)),
        ],
    );
    assert!(staged.get("SignUpsBegun").is_none() && staged.get("cold_start").is_none());

    let body = stage(DUMMY, &session);
    let (reply, calls) = server.calls_of(server.register(&body)).await;
    let made = last(&log, &calls);
    assert_says(
        &made,
        &[
            ("http.status", json!(200)),
            ("uia.completed", json!(DUMMY)),
            ("SignUpStages", json!(1.0)),
            ("Registrations", json!(1.0)),
            ("argon2.hashes", json!(1.0)),
        ],
    );
    assert!(made["cost.usd_micros"].as_f64().unwrap() > 4.0, "{made}");

    // A replayed response does not count a second registration.
    let answer = reply.ok();
    assert_eq!(server.register(&body).await.ok(), answer);
    let again = log.request_lines().pop().unwrap();
    assert!(again.get("Registrations").is_none(), "{again}");

    // The lines identify a user consistently, and without the name.
    let token = answer["access_token"].as_str().unwrap();
    server.whoami(token).await.ok();
    let asked = log.request_lines().pop().unwrap();
    assert_eq!(asked["Operation"], "account-whoami");
    assert_eq!(asked["user.hash"], made["user.hash"]);
    for line in log.request_lines() {
        assert!(!line.to_string().contains("alice"), "{line}");
    }
}

#[tokio::test]
async fn the_lines_of_logins_show_their_results() {
    let (log, _guard) = Log::capture();
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    let login = |password: &str| {
        json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": password,
        })
    };
    let path = "/_matrix/client/v3/login";
    let good = server.calls_of(server.post(path, &login(PASSWORD))).await;
    good.0.ok();
    let line = last(&log, &good.1);
    assert_says(&line, &[("Logins", json!(1.0)), ("Hashes", json!(1.0))]);
    assert!(line["user.hash"].is_string());
    let bad = server.calls_of(server.post(path, &login("wrong"))).await;
    bad.0.error(403, "M_FORBIDDEN");
    let line = last(&log, &bad.1);
    assert_says(
        &line,
        &[
            ("errcode", json!("M_FORBIDDEN")),
            ("LoginsFailed", json!(1.0)),
            ("Hashes", json!(1.0)),
        ],
    );
    assert!(line.get("Logins").is_none() && line.get("user.hash").is_none());
}

#[tokio::test]
async fn a_failure_is_logged_with_its_operation_and_retries() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[flows(DUMMY)]).await;
    server.local.proxy().inject(Fault::new(FaultKind::Throttle));
    let body = with(registration("alice"), &json!({ "auth": { "type": DUMMY } }));
    let (reply, calls) = server.calls_of(server.register(&body)).await;
    reply.ok();
    let throttled = last(&log, &calls);
    assert_eq!(throttled["Errors5xx"], 0.0);
    // The repetition succeeded. The alarm is for calls that stay throttled.
    assert!(throttled.get("TableThrottles").is_none(), "{throttled}");
    let lasting = Fault::new(FaultKind::Throttle).times(9);
    server.local.proxy().inject(lasting);
    let (reply, calls) = server
        .calls_of(server.register(&registration("carol")))
        .await;
    assert_eq!(reply.status, 429);
    assert_eq!(last(&log, &calls)["TableThrottles"], 1.0);
    server.local.proxy().clear_faults();
    server.expect_faults();
    server
        .local
        .proxy()
        .inject(Fault::new(FaultKind::ConnectionReset).times(9));
    let (reply, calls) = server.calls_of(server.register(&registration("bob"))).await;
    assert_eq!(reply.status, 500);
    let failed = last(&log, &calls);
    assert_says(
        &failed,
        &[
            ("http.status", json!(500)),
            ("errcode", json!("M_UNKNOWN")),
            ("Errors5xx", json!(1.0)),
        ],
    );
    let directives = failed["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    let sets: Vec<_> = directives.iter().map(|one| &one["Dimensions"]).collect();
    assert_eq!(
        sets,
        [&json!([["Stack"]]), &json!([["Stack", "Operation"]])]
    );
}

#[tokio::test]
async fn a_message_can_be_traced_from_request_to_delivery() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[flows(EMAIL), MAIL]).await;
    let asked = server
        .calls_of(request_mail(&server, ALICE, "secret"))
        .await;
    let queued = last(&log, &asked.1);
    assert_says(&queued, &[("MessagesQueued", json!(1.0))]);
    let trace = queued["trace.id"].as_str().unwrap().to_owned();
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    assert_eq!(rows[0]["trace"]["S"], trace);

    server.local.proxy().take_calls();
    server.deliver().await;
    let delivered = last(&log, &server.local.proxy().take_calls());
    assert_says(
        &delivered,
        &[
            ("message", json!("worked")),
            ("Operation", json!("deliver")),
            ("MessagesSent", json!(1.0)),
        ],
    );
    let text = log.text();
    let sent = text
        .lines()
        .find(|line| line.contains(" sent ") && line.contains("message.kind"));
    let sent = sent.unwrap();
    assert!(sent.contains(&trace), "{sent}");
}

#[tokio::test]
async fn the_schedule_logs_the_age_of_the_oldest_message() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[flows(EMAIL), MAIL]).await;
    server.run_schedule().await;
    let idle = log.request_lines().pop().unwrap();
    assert!(idle.get("OutboxOldestAge").is_none(), "{idle}");
    request_mail(&server, ALICE, "secret").await;
    server.advance(std::time::Duration::from_secs(90));
    server.run_schedule().await;
    let line = log.request_lines().pop().unwrap();
    assert_eq!(line["OutboxOldestAge"], 90.0);
    assert_eq!(line["MessagesSent"], 1.0);
}
