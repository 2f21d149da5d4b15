//! The text of the console's lines.

use std::fmt;

use serde_json::Value;
use shared::{clock::Timestamp, metrics::Metric};
use tracing::field::{Field, Visit};

/// Whether lines have colors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) color: bool,
}

impl Style {
    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn status(self, status: u16) -> String {
        let text = status.to_string();
        match status {
            500.. => self.error(&text),
            400.. => self.warning(&text),
            300.. => self.paint("36", &text),
            _ => self.paint("32", &text),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The time of day in UTC, for example `07:37:03.412`.
pub(super) fn time_of_day(at: Timestamp) -> String {
    let ms = at.0.rem_euclid(86_400_000);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", ms % 1000)
}

/// A request that was answered.
#[derive(Debug, Default)]
pub(super) struct RequestLine {
    pub(super) method: String,
    /// The path without the query.
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) milliseconds: f64,
    /// The calls to `DynamoDB`. `None` if no function answered.
    pub(super) calls: Option<u64>,
    pub(super) errcode: Option<String>,
}

impl RequestLine {
    pub(super) fn render(&self, time: &str, style: Style) -> String {
        let mut line = style.dim(time);
        if self.status >= 500 {
            line.extend([" ", &style.error("ERROR")]);
        }
        line.extend([" ", &self.method, " ", &self.path, " "]);
        line.push_str(&style.status(self.status));
        if let Some(errcode) = &self.errcode {
            line.extend([" ", errcode]);
        }
        line.extend([", ", &rounded(self.milliseconds), " ms"]);
        if let Some(calls) = self.calls {
            line.extend([", ", &counted(calls, "DynamoDB call")]);
        }
        line
    }
}

impl Visit for RequestLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "method" => value.clone_into(&mut self.method),
            "path" => value.clone_into(&mut self.path),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = u16::try_from(value).unwrap_or_default();
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "milliseconds" {
            self.milliseconds = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The line of a worker's report. Returns `None` if the worker has handled no message, because the schedule runs each
/// minute.
pub(super) fn delivery_line(report: &Value, time: &str, style: Style) -> Option<String> {
    let count = |metric: Metric| number(&report[metric.name()]);
    let outcomes: Vec<String> = [
        (Metric::MessagesSent, "sent"),
        (Metric::MessagesRetried, "to be sent again"),
        (Metric::MessagesFailed, "failed"),
        (Metric::MessagesGivenUp, "expired"),
    ]
    .into_iter()
    .filter(|(metric, _)| count(*metric) > 0)
    .map(|(metric, outcome)| format!("{} {outcome}", counted(count(metric), "message")))
    .collect();
    if outcomes.is_empty() {
        return None;
    }
    let operation = report["Operation"].as_str().unwrap_or("worker");
    let lost = count(Metric::MessagesFailed) + count(Metric::MessagesGivenUp);
    let level = if lost > 0 {
        format!("{} ", style.warning("WARN"))
    } else {
        String::new()
    };
    Some(format!(
        "{} {level}{operation}: {}, {} ms, {}",
        style.dim(time),
        outcomes.join(", "),
        number(&report["duration_ms"]),
        counted(number(&report["dynamodb.calls"]), "DynamoDB call"),
    ))
}

/// A count of the report. Metrics are floating-point numbers there.
fn number(value: &Value) -> u64 {
    let whole = value.as_u64();
    let text = value.as_f64().map(|number| format!("{number:.0}"));
    whole.or_else(|| text?.parse().ok()).unwrap_or_default()
}

/// `1 message`, `2 messages`.
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Milliseconds, with one decimal place below 10.
fn rounded(milliseconds: f64) -> String {
    if milliseconds < 10.0 {
        format!("{milliseconds:.1}")
    } else {
        format!("{milliseconds:.0}")
    }
}
