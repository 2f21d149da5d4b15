//! The tables in Markdown.

use anyhow::Result;

use super::{
    Column, Data, Kind, Step,
    quantities::{GIGABYTE, Quantities, Source},
    template::Stack,
};

/// The components of a request's cost that no setting changes, with the labels of their rows.
pub(super) const COMPONENTS: [(&str, &str); 8] = [
    ("api_requests", "API Gateway, requests"),
    ("lambda_requests", "Lambda, requests"),
    ("lambda_time", "Lambda, GB-seconds"),
    ("writes", "DynamoDB, write units"),
    ("reads", "DynamoDB, read units"),
    ("logs", "CloudWatch Logs"),
    ("transfer", "data transfer"),
    ("secret_reads", "Secrets Manager, reads at function starts"),
];
pub(super) const SECONDS_A_MONTH: f64 = 30.0 * 86_400.0;
pub(super) const MILLION: f64 = 1_000_000.0;

pub(super) fn prices(data: &Data) -> Vec<String> {
    let mut table = header(&["Item", "Price"], "---:");
    let mut prices: Vec<_> = data.prices.values().collect();
    prices.sort_by_key(|price| &price.item);
    table.extend(prices.iter().map(|price| {
        let (item, source) = (&price.item, &price.source);
        let amount = if price.per > 1.0 {
            format!("${} for {}", plain(price.usd), grouped(price.per, 0))
        } else {
            format!("${}", plain(price.usd))
        };
        row(&[format!("[{item}]({source})"), amount])
    }));
    table
}

/// The quantities of one operation of each column.
pub(super) fn quantities(source: &Source<'_>, columns: &[Column]) -> Result<Vec<String>> {
    let all: Vec<Quantities> = read(source, columns, 1.0)?;
    let mut table = header_of("One sign-up", columns);
    for (price, label) in COMPONENTS {
        let (label, factor, digits) = match price {
            "logs" => ("logs, kB".to_owned(), GIGABYTE / 1000.0, 1),
            "transfer" => ("responses, kB".to_owned(), GIGABYTE / 1000.0, 1),
            "lambda_time" => (label.to_owned(), 1.0, 2),
            _ => (label.to_owned(), 1.0, 0),
        };
        let cells = all
            .iter()
            .map(|one| grouped(one.of(price) * factor, digits));
        table.push(row_of(label, cells));
    }
    for (price, label) in [("emails", "e-mails"), ("texts", "text messages")] {
        let cells = all.iter().map(|one| grouped(one.of(price), 0));
        table.push(row_of(label.to_owned(), cells));
    }
    Ok(table)
}

pub(super) fn sign_ups(data: &Data, source: &Source<'_>) -> Result<Vec<String>> {
    let columns = &data.sign_ups;
    let all = read(source, columns, 1.0)?;
    let mut table = header_of("1,000 sign-ups, US dollars", columns);
    table.extend(components(data, &all, 1000.0, 4)?);
    let preflight = total(data, &preflight(source)?)?;
    for (price, quantity, label) in [
        ("emails", "emails", "e-mails by SES"),
        ("texts", "texts", "text messages by SNS (Germany)"),
        ("traces", "lambda_requests", "with `Tracing=Active`: X-Ray"),
        ("logs", "access_logs", "with `ApiLogRole`: access log"),
        ("firewall_requests", "api_requests", "with `WafRate`: WAF"),
    ] {
        let costs = all
            .iter()
            .map(|one| data.cost(price, one.of(quantity) * 1000.0));
        let costs: Vec<f64> = costs.collect::<Result<_>>()?;
        table.push(row_of(
            label.to_owned(),
            costs.iter().map(|cost| grouped(*cost, 4)),
        ));
    }
    let costs = all
        .iter()
        .map(|one| one.of("api_requests") * preflight * 1000.0);
    let label = "from a web page of another origin: an OPTIONS request before each request";
    table.push(row_of(label.to_owned(), costs.map(|cost| grouped(cost, 4))));
    Ok(table)
}

pub(super) fn refusals(data: &Data, source: &Source<'_>) -> Result<Vec<String>> {
    let all = read(source, &data.refusals, flood(data))?;
    let mut table = header_of("1,000,000 requests, US dollars", &data.refusals);
    table.extend(components(data, &all, MILLION, 2)?);
    for (price, quantity, label) in [
        (
            "firewall_requests",
            "firewall_requests",
            "with `WafRate`: WAF, without its fixed price",
        ),
        ("logs", "access_logs", "with `ApiLogRole`: access log"),
    ] {
        let costs = all
            .iter()
            .map(|one| data.cost(price, one.of(quantity) * MILLION));
        let costs: Vec<f64> = costs.collect::<Result<_>>()?;
        table.push(row_of(
            label.to_owned(),
            costs.iter().map(|cost| grouped(*cost, 2)),
        ));
    }
    Ok(table)
}

pub(super) fn ceiling(data: &Data, source: &Source<'_>, stack: &Stack) -> Result<Vec<String>> {
    let requests = stack.api_rate * SECONDS_A_MONTH;
    let mut table = header(
        &[
            "All requests are",
            "Requests a month",
            "A million, US dollars",
            "A month, US dollars",
        ],
        "---:",
    );
    let mut line = |name: &str, count: f64, each: f64| {
        table.push(row(&[
            name.to_owned(),
            grouped(count, 0),
            grouped(each * MILLION, 2),
            grouped(each * count, 0),
        ]));
    };
    for column in data.refusals.iter().chain(&data.sign_ups[..1]) {
        let reaches_function = column.steps.iter().any(|step| step.kind == Kind::Request);
        if reaches_function {
            let each = total(data, &source.column(column, flood(data))?)?;
            line(&column.name, requests, each);
        }
    }
    let emails = data.estimates.emails_a_day * 30.0;
    line(
        "in addition: e-mails, at the default of `DailyEmails`",
        emails,
        data.cost("emails", 1.0)?,
    );
    // X-Ray records the first request of each second and five percent of the others.
    let traces = SECONDS_A_MONTH + (requests - SECONDS_A_MONTH).max(0.0) * 0.05;
    line(
        "in addition: traces, with `Tracing=Active`",
        traces,
        data.cost("traces", 1.0)?,
    );
    Ok(table)
}

fn preflight(source: &Source<'_>) -> Result<Quantities> {
    let step = Step {
        kind: Kind::Preflight,
        function: None,
        units: None,
        hashes: 0.0,
        times: 1.0,
    };
    source.column(&column("OPTIONS", step), 0.0)
}

pub(super) fn column(name: &str, step: Step) -> Column {
    Column {
        name: name.to_owned(),
        steps: vec![step],
        emails: 0.0,
        texts: 0.0,
    }
}

/// The starts of a function for each request of a flood.
fn flood(data: &Data) -> f64 {
    data.estimates.starts_in_a_thousand / 1000.0
}

fn read(source: &Source<'_>, columns: &[Column], starts: f64) -> Result<Vec<Quantities>> {
    let all = columns.iter().map(|column| source.column(column, starts));
    all.collect()
}

/// The cost of one operation without messages and optional features.
fn total(data: &Data, quantities: &Quantities) -> Result<f64> {
    let costs = COMPONENTS
        .iter()
        .map(|(price, _)| data.cost(price, quantities.of(price)));
    costs.sum()
}

/// The rows of the components, and their total.
fn components(data: &Data, all: &[Quantities], scale: f64, digits: usize) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for (price, label) in COMPONENTS {
        let costs = all
            .iter()
            .map(|one| data.cost(price, one.of(price) * scale));
        let costs: Vec<f64> = costs.collect::<Result<_>>()?;
        let cells = costs.iter().map(|cost| grouped(*cost, digits));
        rows.push(row_of(label.to_owned(), cells));
    }
    let totals = all.iter().map(|one| total(data, one));
    let totals: Vec<f64> = totals.collect::<Result<_>>()?;
    let cells = totals
        .iter()
        .map(|cost| format!("**{}**", grouped(cost * scale, digits)));
    rows.push(row_of("**total**".to_owned(), cells));
    Ok(rows)
}

fn header_of(first: &str, columns: &[Column]) -> Vec<String> {
    let titles = std::iter::once(first).chain(columns.iter().map(|column| column.name.as_str()));
    header(&titles.collect::<Vec<_>>(), "---:")
}

/// The lines above the rows. The first column is aligned to the left, the others as given.
pub(super) fn header(titles: &[&str], others: &str) -> Vec<String> {
    let owned = |text: &&str| (*text).to_owned();
    let mut lines = vec!["---".to_owned()];
    lines.extend(titles.iter().skip(1).map(|_| others.to_owned()));
    vec![
        row(&titles.iter().map(owned).collect::<Vec<_>>()),
        row(&lines),
    ]
}

fn row_of(first: String, cells: impl Iterator<Item = String>) -> String {
    row(&std::iter::once(first).chain(cells).collect::<Vec<_>>())
}

pub(super) fn row(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| {
        let space = if cell.is_empty() { "" } else { " " };
        format!("{space}{cell} |")
    });
    format!("|{}", cells.collect::<String>())
}

/// A price with at least two digits.
fn plain(number: f64) -> String {
    let text = number.to_string();
    match text.split_once('.') {
        None => text,
        Some((_, digits)) if digits.len() >= 2 => text,
        Some(_) => format!("{number:.2}"),
    }
}

/// A number with this many decimals and with commas between groups of three digits.
pub(super) fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        Some(rest) => format!("{grouped}.{rest}"),
        None => grouped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_and_decimals() {
        assert_eq!(grouped(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(grouped(999.0, 0), "999");
        assert_eq!(grouped(0.0004, 3), "0.000");
        assert_eq!(
            [plain(3.5), plain(13.3334), plain(120.0)],
            ["3.50", "13.3334", "120"]
        );
    }
}
