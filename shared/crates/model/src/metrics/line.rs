//! The log line of a request or event: one JSON object, for people, for CloudWatch Logs Insights and, in the
//! embedded metric format, for the metrics.
//!
//! [The
//! format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html)
//! requires its members at the root of the line, but the JSON formatter of `tracing` nests fields. Therefore
//! the line passes through `tracing` as one string, and [`Lines`] writes only that string.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

use super::{Meter, Metric, Tally};
use crate::{
    clock::Timestamp,
    secrets::{KeyPurpose, KeyRing},
};

const NAMESPACE: &str = "Gatehouse";
/// The target of the `tracing` events that contain such a line in their field `line`.
pub const LINE_TARGET: &str = module_path!();

/// Prices in millionths of a US dollar, on demand in us-east-1 as of November 2026
/// (aws.amazon.com/dynamodb/pricing/on-demand, aws.amazon.com/lambda/pricing, Arm). They are precise enough to
/// find expensive operations and cost regressions.
const READ_UNIT: f64 = 0.125;
const WRITE_UNIT: f64 = 0.625;
const INVOCATION: f64 = 0.2;
const GIGABYTE_SECOND: f64 = 13.333_4;

/// The members of the line that are not counted.
#[derive(Debug)]
pub struct InvocationInfo<'a> {
    /// The event in one word, such as `answered`.
    pub message: &'static str,
    /// The prefix of the table names. On AWS it is the name of the stack.
    pub stack: &'a str,
    /// The package of the function.
    pub operation: &'a str,
    /// The memory of the function in MB; 0 if unknown.
    pub memory_mb: i32,
    /// Whether this is the first invocation of its process.
    pub cold_start: bool,
    /// The keys for the hash of the user.
    pub keys: &'a KeyRing,
    /// Additional members, such as the status.
    pub fields: Map<String, Value>,
}

impl Meter {
    /// Writes the log line with the target [`LINE_TARGET`].
    pub fn write_line(&self, info: InvocationInfo<'_>) {
        let ms = self.ms();
        let line = line(
            self.started,
            ms,
            &self.tally().clone(),
            self.trace.as_deref(),
            info,
        );
        let line = Value::Object(line).to_string();
        tracing::info!(line);
    }

    /// Counts a request with this response status.
    pub fn answered(&self, status: u16) {
        let ms = self.ms();
        let metrics = &mut self.tally().metrics;
        metrics.insert(Metric::Requests, 1.0);
        metrics.insert(Metric::Errors5xx, f64::from(u8::from(status >= 500)));
        metrics.insert(Metric::Duration, number(ms));
        if status == 429 {
            metrics.insert(Metric::Limited, 1.0);
        }
    }
}

fn line(
    at: Timestamp,
    ms: i64,
    tally: &Tally,
    trace: Option<&str>,
    info: InvocationInfo<'_>,
) -> Map<String, Value> {
    let mut line = info.fields;
    let mut set = |name: &str, value: Value| {
        line.insert(name.to_owned(), value);
    };
    set("message", info.message.into());
    set("Stack", info.stack.into());
    set("Operation", info.operation.into());
    set("duration_ms", ms.into());
    if info.cold_start {
        set("cold_start", true.into());
    }
    if let Some(trace) = trace {
        set("trace.id", trace.into());
    }
    if let Some(user) = &tally.user {
        let hash = info
            .keys
            .hash(KeyPurpose::LoggedUser, user.as_str().as_bytes());
        set("user.hash", hash.into());
    }
    if !tally.stages.is_empty() {
        set("uia.completed", tally.stages.join(" ").into());
    }
    let calls = tally.calls;
    if calls.number > 0 {
        set("dynamodb.calls", calls.number.into());
        set("dynamodb.read_units", calls.read_units.into());
        set("dynamodb.write_units", calls.write_units.into());
        set("dynamodb.ms", calls.ms.into());
    }
    if let Some(hashes) = tally.metrics.get(&Metric::Hashes) {
        set("argon2.hashes", (*hashes).into());
        set("argon2.ms", tally.hash_ms.into());
    }
    if tally.scores > 0 {
        set("zxcvbn.scores", tally.scores.into());
        set("zxcvbn.ms", tally.score_ms.into());
    }
    let gigabyte_seconds = f64::from(info.memory_mb) / 1024.0 * number(ms) / 1000.0;
    let cost = calls.read_units * READ_UNIT
        + calls.write_units * WRITE_UNIT
        + INVOCATION
        + gigabyte_seconds * GIGABYTE_SECOND;
    set("cost.usd_micros", ((cost * 1000.0).round() / 1000.0).into());
    for (metric, value) in &tally.metrics {
        set(&metric.name(), (*value).into());
    }
    if !tally.metrics.is_empty() {
        set("_aws", metadata(at, tally));
    }
    line
}

/// The `_aws` member, which makes CloudWatch extract metrics from the line. Each combination of dimension
/// values costs money, and Lambda counts and times the invocations of each function for free. Therefore only
/// the metric that Lambda cannot provide, 5xx responses, has the dimension `Operation`, and only if the response is
/// a 5xx response.
fn metadata(at: Timestamp, tally: &Tally) -> Value {
    let directive = |dimensions: &[&str], metrics: &mut dyn Iterator<Item = Metric>| {
        let metrics: Vec<Value> = metrics
            .map(|metric| json!({ "Name": metric.name(), "Unit": metric.unit() }))
            .collect();
        json!({ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics })
    };
    let mut directives = vec![directive(&["Stack"], &mut tally.metrics.keys().copied())];
    let failed = tally.metrics.get(&Metric::Errors5xx);
    if failed.is_some_and(|failed| *failed > 0.0) {
        let dimensions = ["Stack", "Operation"];
        directives.push(directive(&dimensions, &mut [Metric::Errors5xx].into_iter()));
    }
    json!({ "Timestamp": at.0, "CloudWatchMetrics": directives })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a duration never exceeds 2^53 milliseconds"
)]
fn number(ms: i64) -> f64 {
    ms as f64
}

/// Writes one JSON object per line: the string of [`Meter::write_line`] unchanged, and every other event in the
/// JSON format of `tracing`.
#[derive(Debug)]
pub struct Lines(Format<Json>);

impl Default for Lines {
    /// Events contain their current span.
    fn default() -> Self {
        let format = Format::default().json();
        Self(format.with_current_span(true).with_span_list(false))
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != LINE_TARGET {
            return self.0.format_event(context, writer, event);
        }
        let mut raw = Raw(writer, Ok(()));
        event.record(&mut raw);
        raw.1
    }
}

/// Writes the field `line` unchanged.
struct Raw<'a>(Writer<'a>, fmt::Result);

impl Visit for Raw<'_> {
    fn record_str(&mut self, _: &Field, line: &str) {
        self.1 = writeln!(self.0, "{line}");
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
