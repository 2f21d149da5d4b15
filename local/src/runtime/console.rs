//! The log of `cargo run` on standard error: one readable line for each request, or the JSON lines of Lambda.
//!
//! A function reports each invocation as one JSON object, which CloudWatch reads. The console stores the counts
//! of that report until the gateway has answered the request, and then writes one line with both. Query strings,
//! headers, bodies and client addresses are not in the line, because they may contain secrets.

mod line;

use std::{fmt, io};

use serde_json::Value;
use shared::{
    clock::{Clock, SystemClock},
    metrics::{LINE_TARGET, Lines},
};
use tracing::{
    Dispatch, Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::filter_fn,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter, format::Writer,
        layer as fmt_layer,
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use self::line::{RequestLine, Style, delivery_line, time_of_day};

/// The target of the gateway's span around a request, and of its event when the request is answered.
pub(crate) const REQUEST_TARGET: &str = "gatehouse_local::request";

/// The filter if `RUST_LOG` is not set. The crates of Gatehouse share a prefix.
const DEFAULT_FILTER: &str = "warn,dynoxide=error,gatehouse_=info";

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line for each request, with the time in UTC.
    #[default]
    Text,
    /// The JSON lines that the functions write on Lambda.
    Json,
}

/// Starts the log of this process on standard error. Standard output is for the lines that scripts read.
pub fn start_log(format: LogFormat, color: bool) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    subscriber(format, color, filter, io::stderr).init();
}

/// A subscriber that writes the events that pass `filter` to `writer`. Only the text form has `color`.
fn subscriber<W>(format: LogFormat, color: bool, filter: EnvFilter, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt_layer().with_writer(writer);
    match format {
        LogFormat::Text => {
            let console = Console(Style { color });
            Dispatch::new(registry.with(layer.event_format(console)))
        }
        LogFormat::Json => {
            let lines = layer.json().event_format(Lines::default());
            // On Lambda the gateway writes no line.
            let of_functions = filter_fn(|metadata| metadata.target() != REQUEST_TARGET);
            Dispatch::new(registry.with(lines.with_filter(of_functions)))
        }
    }
}

/// Formats events as readable lines.
#[derive(Debug)]
struct Console(Style);

/// The parts of a function's report for the line of its request. They are stored in the span of the gateway.
#[derive(Debug, Default)]
struct Report {
    calls: u64,
    errcode: Option<String>,
}

impl<S, N> FormatEvent<S, N> for Console
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = time_of_day(SystemClock.now());
        let target = event.metadata().target();
        if target == LINE_TARGET {
            let report = json_line(event);
            if report.get("http.method").is_some() {
                store_report(context, &report);
                return Ok(());
            }
            return match delivery_line(&report, &time, self.0) {
                Some(line) => writeln!(writer, "{line}"),
                None => Ok(()),
            };
        }
        if target == REQUEST_TARGET {
            let mut line = RequestLine::default();
            event.record(&mut line);
            if let Some(report) = take_report(context) {
                (line.calls, line.errcode) = (Some(report.calls), report.errcode);
            }
            return writeln!(writer, "{}", line.render(&time, self.0));
        }
        let level = *event.metadata().level();
        write!(writer, "{} ", self.0.dim(&time))?;
        match level {
            Level::ERROR => write!(writer, "{} ", self.0.error("ERROR"))?,
            Level::WARN => write!(writer, "{} ", self.0.warning("WARN"))?,
            other => write!(writer, "{other} ")?,
        }
        write!(writer, "{target}: ")?;
        context.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, " {}{{{fields}}}", span.name())?;
            }
        }
        writeln!(writer)
    }
}

/// Stores the report of a function until the gateway has answered the request.
fn store_report<S, N>(context: &FmtContext<'_, S, N>, report: &Value)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut spans = context.event_scope().into_iter().flatten();
    let Some(span) = spans.find(|span| span.metadata().target() == REQUEST_TARGET) else {
        return;
    };
    span.extensions_mut().replace(Report {
        calls: report["dynamodb.calls"].as_u64().unwrap_or_default(),
        errcode: report["errcode"].as_str().map(str::to_owned),
    });
}

/// The stored report of the request. Returns `None` if no function answered.
fn take_report<S, N>(context: &FmtContext<'_, S, N>) -> Option<Report>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    context.lookup_current()?.extensions_mut().remove()
}

/// The JSON object of a function's report.
fn json_line(event: &Event<'_>) -> Value {
    struct Text(Value);
    impl Visit for Text {
        fn record_str(&mut self, _: &Field, text: &str) {
            self.0 = serde_json::from_str(text).unwrap_or_default();
        }
        fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
    }
    let mut text = Text(Value::Null);
    event.record(&mut text);
    text.0
}

#[cfg(test)]
mod tests;
