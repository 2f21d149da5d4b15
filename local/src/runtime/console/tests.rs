use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use http::Request;
use serde_json::json;
use shared::clock::Timestamp;

use super::*;
use crate::{
    Local, Options,
    dynamodb::proxy::{Fault, FaultKind},
};

const PLAIN: Style = Style { color: false };
const COLORED: Style = Style { color: true };
const TIME: &str = "07:37:03.412";

/// The standard error of the program.
#[derive(Debug, Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    /// Captures the log of this thread.
    fn capture(format: LogFormat, color: bool) -> (Self, tracing::subscriber::DefaultGuard) {
        // If there is only one dispatcher, a thread without a dispatcher can disable a callsite for the whole process.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(tracing::subscriber::NoSubscriber::new()));
        let output = Self::default();
        let writer = output.clone();
        let filter = EnvFilter::new(DEFAULT_FILTER);
        let dispatch = subscriber(format, color, filter, move || writer.clone());
        (output, tracing::dispatcher::set_default(&dispatch))
    }

    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no panic"));
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }
}

fn local() -> Local {
    let lookup = |name: &str| (name == "GATEHOUSE_ARGON2").then(|| "m=8,t=1,p=1".to_owned());
    let options = Options {
        lookup: Arc::new(lookup),
        ..Options::default()
    };
    Local::start(options).expect("the server starts")
}

fn register() -> Request<Vec<u8>> {
    let body = json!({
        "username": "alice",
        "password": "ostrich lamp 8 quarrel",
        "auth": { "type": "m.login.dummy" },
    });
    let request = Request::post("/_matrix/client/v3/register?kind=user");
    let request = request.header("content-type", "application/json");
    request
        .body(body.to_string().into_bytes())
        .expect("a request")
}

fn whoami(query: &str) -> Request<Vec<u8>> {
    let request = Request::get(format!("/_matrix/client/v3/account/whoami{query}"));
    request.body(Vec::new()).expect("a request")
}

fn request(status: u16, calls: Option<u64>) -> RequestLine {
    RequestLine {
        method: "GET".to_owned(),
        path: "/_matrix/client/versions".to_owned(),
        status,
        milliseconds: 1.25,
        calls,
        errcode: (status >= 400).then(|| "M_UNKNOWN".to_owned()),
    }
}

#[test]
fn a_line_names_request_status_duration_and_calls() {
    let line = request(200, Some(2)).render(TIME, PLAIN);
    let expected = "07:37:03.412 GET /_matrix/client/versions 200, 1.2 ms, 2 DynamoDB calls";
    assert_eq!(line, expected);
    let line = request(404, None).render(TIME, PLAIN);
    assert_eq!(
        line,
        "07:37:03.412 GET /_matrix/client/versions 404 M_UNKNOWN, 1.2 ms"
    );
}

#[test]
fn a_server_error_is_marked_as_an_error() {
    let line = request(500, Some(1)).render(TIME, PLAIN);
    let expected =
        "07:37:03.412 ERROR GET /_matrix/client/versions 500 M_UNKNOWN, 1.2 ms, 1 DynamoDB call";
    assert_eq!(line, expected);
    let line = request(500, Some(1)).render(TIME, COLORED);
    assert!(line.contains("\x1b[1;31mERROR\x1b[0m"), "{line:?}");
    assert!(line.contains("\x1b[1;31m500\x1b[0m"), "{line:?}");
}

#[test]
fn each_status_class_has_its_color() {
    for (status, code) in [(200, "32"), (303, "36"), (401, "33"), (502, "1;31")] {
        let line = request(status, None).render(TIME, COLORED);
        assert!(
            line.contains(&format!("\x1b[{code}m{status}\x1b[0m")),
            "{line:?}"
        );
        let line = request(status, None).render(TIME, PLAIN);
        assert!(!line.contains('\x1b'), "{line:?}");
    }
}

#[test]
fn a_worker_has_a_line_only_if_it_handled_messages() {
    let report = |sent: f64, failed: f64| {
        json!({
            "Operation": "deliver",
            "duration_ms": 12,
            "dynamodb.calls": 4,
            "MessagesSent": sent,
            "MessagesFailed": failed,
            "OutboxOldestAge": 0.0,
        })
    };
    assert_eq!(delivery_line(&report(0.0, 0.0), TIME, PLAIN), None);
    let line = delivery_line(&report(1.0, 0.0), TIME, PLAIN);
    let expected = "07:37:03.412 deliver: 1 message sent, 12 ms, 4 DynamoDB calls";
    assert_eq!(line.as_deref(), Some(expected));
    let line = delivery_line(&report(1.0, 2.0), TIME, PLAIN);
    let expected =
        "07:37:03.412 WARN deliver: 1 message sent, 2 messages failed, 12 ms, 4 DynamoDB calls";
    assert_eq!(line.as_deref(), Some(expected));
}

#[test]
fn times_are_written_in_utc_with_milliseconds() {
    assert_eq!(time_of_day(Timestamp(1_709_210_096_789)), "12:34:56.789");
    assert_eq!(time_of_day(Timestamp(0)), "00:00:00.000");
}

#[tokio::test]
async fn each_request_has_one_line_with_its_calls() {
    let (output, _guard) = Output::capture(LogFormat::Text, false);
    let local = local();
    output.take();
    let answer = local.call(register()).await;
    assert_eq!(answer.status(), 200);
    let calls = local.proxy().take_calls().len();
    let lines = output.take();
    let [line] = &lines[..] else {
        panic!("{lines:#?}")
    };
    let (time, rest) = line.split_once(' ').expect("a time");
    assert_eq!(time.len(), TIME.len());
    let start = "POST /_matrix/client/v3/register 200, ";
    assert!(rest.starts_with(start), "{line}");
    let end = format!(" ms, {calls} DynamoDB calls");
    assert!(calls > 1 && rest.ends_with(&end), "{line}");

    let preflight = Request::options("/_matrix/client/v3/register").body(Vec::new());
    local.call(preflight.expect("a request")).await;
    let lines = output.take();
    let [line] = &lines[..] else {
        panic!("{lines:#?}")
    };
    assert!(
        line.contains(" OPTIONS /_matrix/client/v3/register 200, "),
        "{line}"
    );
    assert!(line.ends_with(" ms"), "no function answers it: {line}");
}

#[tokio::test]
async fn a_line_has_no_query_token_or_address() {
    let (output, _guard) = Output::capture(LogFormat::Text, false);
    let local = local();
    output.take();
    let peer = [192, 0, 2, 7].into();
    local.call_from(peer, whoami("?access_token=secret")).await;
    let lines = output.take();
    let [line] = &lines[..] else {
        panic!("{lines:#?}")
    };
    assert!(line.contains(" 401 M_UNKNOWN_TOKEN, "), "{line}");
    for secret in ["access_token", "secret", "?", "192.0.2.7"] {
        assert!(!line.contains(secret), "{line}");
    }
}

#[tokio::test]
async fn a_failed_request_has_its_causes_and_an_error_line() {
    let (output, _guard) = Output::capture(LogFormat::Text, true);
    let local = local();
    output.take();
    let fault = Fault::new(FaultKind::InternalError).by("Register");
    local.proxy().inject(fault.times(100));
    let answer = local.call(register()).await;
    assert!(answer.status().is_server_error());
    let lines = output.take();
    let error = "\x1b[1;31mERROR\x1b[0m ";
    let (last, before) = lines.split_last().expect("lines");
    assert!(
        last.contains(&format!("{error}POST /_matrix/")),
        "{lines:#?}"
    );
    let is_cause = |line: &String| line.contains(error) && line.contains("request.id");
    assert!(before.iter().any(is_cause), "{lines:#?}");
}

#[tokio::test]
async fn the_json_form_has_the_lines_of_lambda_alone() {
    let (output, _guard) = Output::capture(LogFormat::Json, false);
    let local = local();
    output.take();
    local.call(register()).await;
    let lines = output.take();
    let [line] = &lines[..] else {
        panic!("{lines:#?}")
    };
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["http.route"], "/_matrix/client/v3/register");
    assert!(line["_aws"]["CloudWatchMetrics"].is_array(), "{line}");
}
