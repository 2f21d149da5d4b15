//! The table of fixed costs.

use anyhow::Result;

use super::{
    Data, Kind, Step,
    quantities::{GIGABYTE, Quantities, Source},
    tables::{MILLION, column, grouped, header, row},
    template::Stack,
};

const MINUTES_A_MONTH: f64 = 43_800.0;

/// A row of the fixed costs: the quantities by price, and the calculation in words.
type Fixed<'a> = (&'a str, String, Vec<Quantity>);
/// A quantity with the name of its price.
type Quantity = (&'static str, f64);

pub(super) fn table(data: &Data, source: &Source<'_>, stack: &Stack) -> Result<Vec<String>> {
    let titles = [
        "A month",
        "Calculation",
        "US dollars",
        "After free allowances",
    ];
    let mut table = header(&titles, "---:");
    let (mut sum, mut reduced) = (0.0, 0.0);
    let required = required(source, stack)?;
    let all: Vec<_> = required.iter().flat_map(|entry| entry.2.clone()).collect();
    for entry in &required {
        let (full, after) = both(data, &entry.2, &[])?;
        sum += full;
        reduced += after;
        table.push(fixed_row(entry, full, after));
    }
    let bold = |cost| format!("**{}**", grouped(cost, 3));
    let total = "**total**".to_owned();
    table.push(row(&[total, String::new(), bold(sum), bold(reduced)]));
    for entry in &optional(source, stack) {
        let (full, after) = both(data, &entry.2, &all)?;
        table.push(fixed_row(entry, full, after));
    }
    Ok(table)
}

/// The costs that every stack has.
fn required(source: &Source<'_>, stack: &Stack) -> Result<[Fixed<'static>; 5]> {
    let schedule = schedule(source)?;
    let runs = ["lambda_requests", "lambda_time", "reads", "writes", "logs"];
    let runs = runs.map(|price| (price, schedule.of(price) * MINUTES_A_MONTH));
    let packages = source.estimates.artifact_bytes;
    Ok([
        ("key ring", "one secret".into(), vec![("secrets", 1.0)]),
        (
            "alarms",
            format!("{} metrics", grouped(stack.alarm_metrics, 0)),
            vec![("alarm_metrics", stack.alarm_metrics)],
        ),
        (
            "schedule of `deliver`",
            format!("{} runs", grouped(MINUTES_A_MONTH, 0)),
            runs.to_vec(),
        ),
        (
            "dashboard",
            "one".into(),
            vec![("dashboards", stack.dashboards)],
        ),
        (
            "packages in S3",
            format!("{} MB for each deployment", grouped(packages / MILLION, 0)),
            vec![("artifact_storage", packages / GIGABYTE)],
        ),
    ])
}

/// The costs that depend on settings and on use.
fn optional(source: &Source<'_>, stack: &Stack) -> [Fixed<'static>; 5] {
    let more = stack.optional_alarm_metrics - stack.alarm_metrics;
    let bytes = 1000.0 * source.estimates.account_bytes;
    [
        (
            "alarms of e-mail, text messages, captcha and homeserver",
            format!("{} metrics", grouped(more, 0)),
            vec![("alarm_metrics", more)],
        ),
        (
            "`Tracing=Active`",
            "a trace for each run of the schedule".into(),
            vec![("traces", MINUTES_A_MONTH)],
        ),
        (
            "`WafRate`",
            "one web ACL with one rule".into(),
            vec![("firewall", 1.0)],
        ),
        (
            "1,000 accounts",
            format!(
                "{} MB in the table, and its recovery",
                grouped(bytes / MILLION, 0)
            ),
            vec![
                ("table_storage", bytes / GIGABYTE),
                ("recovery_storage", bytes / GIGABYTE),
            ],
        ),
        (
            "metrics of requests and messages",
            format!(
                "at most {}, each if it receives a value",
                grouped(source.metrics, 0)
            ),
            vec![("metrics", source.metrics)],
        ),
    ]
}

fn fixed_row(entry: &Fixed<'_>, full: f64, after: f64) -> String {
    row(&[
        entry.0.to_owned(),
        entry.1.clone(),
        grouped(full, 3),
        grouped(after, 3),
    ])
}

/// The cost of these quantities in addition to others, and the part of it that exceeds the free allowances.
fn both(data: &Data, quantities: &[Quantity], others: &[Quantity]) -> Result<(f64, f64)> {
    let (mut full, mut after) = (0.0, 0.0);
    for &(price, quantity) in quantities {
        let free = data.free.get(price).copied().unwrap_or_default();
        let others = others.iter().filter(|(other, _)| *other == price);
        let others: f64 = others.map(|(_, quantity)| quantity).sum();
        let charged = |quantity: f64| data.cost(price, (quantity - free).max(0.0));
        full += data.cost(price, quantity)?;
        after += charged(others + quantity)? - charged(others)?;
    }
    Ok((full, after))
}

/// One run of the schedule.
fn schedule(source: &Source<'_>) -> Result<Quantities> {
    let step = Step {
        kind: Kind::Request,
        function: Some("deliver".into()),
        units: Some("refusals: schedule, nothing due".into()),
        hashes: 0.0,
        times: 1.0,
    };
    source.column(&column("the schedule", step), 0.0)
}
