use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::{Calls, InvocationInfo, Lines, Meter, Metric, Timer};
use crate::{
    clock::{Clock, Timestamp},
    ids::{Localpart, ServerName},
    metrics,
    secrets::{KeyRing, Secret},
};

/// A clock that the test advances.
#[derive(Debug)]
struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Timestamp(1_800_000_000_000))))
    }

    fn wait(&self, ms: u64) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.plus(Duration::from_millis(ms));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The captured standard output of a function.
#[derive(Debug, Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let out = Self::default();
        let writer = out.clone();
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .event_format(Lines::default())
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        (out, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn ring() -> KeyRing {
    KeyRing::new(Secret::new(vec![7; 32]), None)
}

fn invocation(keys: &KeyRing, memory_mb: i32) -> InvocationInfo<'_> {
    InvocationInfo {
        message: "answered",
        stack: "gatehouse",
        operation: "register",
        memory_mb,
        cold_start: false,
        keys,
        fields: Map::from_iter([("http.status".to_owned(), json!(200))]),
    }
}

/// Checks the requirements of the embedded metric format: a list of directives, each with a namespace, sets of
/// at most thirty dimensions that are strings at the root, and metrics that are numbers at the root.
fn assert_embedded(line: &Value) {
    let metadata = &line["_aws"];
    assert!(metadata["Timestamp"].is_i64(), "{line}");
    let directives = metadata["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty());
    for directive in directives {
        assert_eq!(directive["Namespace"], "Gatehouse");
        for set in directive["Dimensions"].as_array().unwrap() {
            for name in set.as_array().unwrap() {
                assert!(line[name.as_str().unwrap()].is_string(), "{name}: {line}");
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{name}: {line}");
            assert!(
                ["Count", "Milliseconds", "Seconds"].contains(&metric["Unit"].as_str().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn the_line_contains_the_counts_of_its_own_request_only() {
    let (out, _guard) = Out::capture();
    let (clock, keys) = (ManualClock::new(), ring());
    metrics::count(Metric::Logins);
    let trace = "1-5759e988-bd862e3fe1be46a994272793".to_owned();
    let meter = Meter::new(Arc::clone(&clock) as _, Some(trace.clone()));
    let alice = Localpart::parse("alice", &ServerName::parse("example.org").unwrap()).unwrap();
    let work = async {
        assert_eq!(metrics::trace(), Some(trace));
        let timer = Timer::start();
        clock.wait(7);
        let calls = Calls {
            number: 1,
            read_units: 1.5,
            write_units: 6.0,
            ..Calls::default()
        };
        metrics::called(&timer, calls);
        metrics::hashing(async { clock.wait(30) }).await;
        metrics::stage("m.login.dummy");
        metrics::count(Metric::Registrations);
        metrics::user(&alice);
    };
    meter.measure(work).await;
    assert_eq!(metrics::trace(), None);
    meter.answered(200);
    meter.write_line(invocation(&keys, 1024));
    let [line] = &out.lines()[..] else {
        panic!("{:?}", out.lines())
    };
    assert_embedded(line);
    for (name, value) in [
        ("message", json!("answered")),
        ("http.status", json!(200)),
        ("duration_ms", json!(37)),
        ("trace.id", json!("1-5759e988-bd862e3fe1be46a994272793")),
        ("uia.completed", json!("m.login.dummy")),
        ("dynamodb.calls", json!(1)),
        ("dynamodb.read_units", json!(1.5)),
        ("dynamodb.write_units", json!(6.0)),
        ("dynamodb.ms", json!(7)),
        ("argon2.hashes", json!(1.0)),
        ("argon2.ms", json!(30)),
        // 1.5 × 0.125 + 6 × 0.625 + 0.2 + 1 GB × 37 ms × 13.3334
        ("cost.usd_micros", json!(4.631)),
        ("Requests", json!(1.0)),
        ("Errors5xx", json!(0.0)),
        ("Duration", json!(37.0)),
        ("Registrations", json!(1.0)),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    let text = line.to_string();
    assert!(
        line["user.hash"].is_string() && !text.contains("alice"),
        "{line}"
    );
    assert!(line.get("Logins").is_none() && line.get("cold_start").is_none());
}

#[tokio::test]
async fn a_5xx_has_an_operation_and_a_429_is_counted() {
    let (out, _guard) = Out::capture();
    let keys = ring();
    for status in [500, 429] {
        let meter = Meter::new(ManualClock::new(), None);
        meter.answered(status);
        meter.write_line(invocation(&keys, 0));
    }
    let lines = out.lines();
    for line in &lines {
        assert_embedded(line);
    }
    let sets = |line: &Value| -> Vec<Value> {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        directives
            .iter()
            .map(|directive| directive["Dimensions"].clone())
            .collect()
    };
    assert_eq!(
        sets(&lines[0]),
        [json!([["Stack"]]), json!([["Stack", "Operation"]])]
    );
    assert_eq!(lines[0]["Errors5xx"], 1.0);
    assert_eq!(lines[0].get("Limited"), None);
    assert_eq!(sets(&lines[1]), [json!([["Stack"]])]);
    assert_eq!(lines[1]["Limited"], 1.0);
    assert_eq!(lines[1]["Errors5xx"], 0.0);
}

#[test]
fn other_events_are_json_lines_with_their_span() {
    let (out, _guard) = Out::capture();
    let span = tracing::info_span!("request", request.id = "7");
    span.in_scope(|| tracing::error!(line = "no such line", "it failed"));
    let [line] = &out.lines()[..] else {
        panic!("{:?}", out.lines())
    };
    assert_eq!(line["fields"]["message"], "it failed");
    assert_eq!(line["span"]["request.id"], "7");
}

#[test]
fn a_trace_id_without_the_aws_form_is_ignored() {
    let id = "1-5759e988-bd862e3fe1be46a994272793";
    for header in [
        format!("Root={id}"),
        format!("Self=1-x;Root={id};Parent=53995c3f42cd8ad8;Sampled=1"),
    ] {
        assert_eq!(metrics::trace_id(&header).as_deref(), Some(id));
    }
    for header in [
        "",
        "1-5759e988-bd862e3fe1be46a994272793",
        "Root=2-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a99427279",
        "Root=1-5759e988-bd862e3fe1be46a994272793-1",
        "Root=1-alice@ex-bd862e3fe1be46a994272793",
        "Root=alice@example.org",
    ] {
        assert_eq!(metrics::trace_id(header), None, "{header}");
    }
}

#[test]
fn every_metric_is_listed_once() {
    let names: std::collections::BTreeSet<_> = Metric::ALL.into_iter().map(Metric::name).collect();
    assert_eq!(names.len(), Metric::ALL.len());
}
