//! The arithmetic of docs/costs.md, checked with the numbers on the page, and the prices in other files.
#![expect(
    clippy::expect_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::BTreeMap;

use serde_yaml_ng::Value;

use crate::contract::files;

/// The rows of a generated table, by their first cell, without the two lines of the header.
fn table(name: &str) -> BTreeMap<String, Vec<String>> {
    let page = files::read("docs/costs.md");
    let (_, from) = page
        .split_once(&format!("<!-- generated: {name} -->\n"))
        .expect("the table begins");
    let (table, _) = from.split_once("<!-- /generated").expect("the table ends");
    table
        .lines()
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            let mut cells = cells.map(|cell| cell.trim().trim_matches('*').to_owned());
            (cells.next().expect("a first cell"), cells.collect())
        })
        .collect()
}

fn number(text: &str) -> f64 {
    text.replace(',', "").parse().expect("a number")
}

fn numbers(cells: &[String]) -> Vec<f64> {
    cells.iter().map(|cell| number(cell)).collect()
}

fn data() -> Value {
    serde_yaml_ng::from_str(&files::read("docs/costs.yaml")).expect("YAML")
}

/// The price of one unit.
fn price(data: &Value, name: &str) -> f64 {
    let price = &data["prices"][name];
    let field = |field: &str| price[field].as_f64().expect("a number");
    field("usd") / field("per")
}

/// The rows of the tables about sign-ups, with the names of their prices.
const COMPONENTS: [(&str, &str); 6] = [
    ("API Gateway, requests", "api_requests"),
    ("Lambda, requests", "lambda_requests"),
    ("Lambda, GB-seconds", "lambda_time"),
    ("DynamoDB, write units", "writes"),
    ("DynamoDB, read units", "reads"),
    ("Secrets Manager, reads at function starts", "secret_reads"),
];

/// The cells of two rows with equally many columns.
fn columns(quantities: &[String], costs: &[String]) -> Vec<(f64, f64)> {
    assert_eq!(quantities.len(), costs.len());
    let quantities = numbers(quantities).into_iter();
    quantities.zip(numbers(costs)).collect()
}

#[test]
fn the_cost_of_sign_ups_is_quantities_times_prices() {
    let (quantities, costs, data) = (table("sign-up-quantities"), table("sign-ups"), data());
    for (row, name) in COMPONENTS {
        // GB-seconds are rounded to two decimals.
        let rounding = if name == "lambda_time" { 0.005 } else { 0.0 };
        let price = price(&data, name);
        for (count, shown) in columns(&quantities[row], &costs[row]) {
            let expected = count * price * 1000.0;
            let tolerance = rounding * price * 1000.0 + 0.000_051;
            assert!(
                (expected - shown).abs() <= tolerance,
                "{name}: {count} cost {expected}, not {shown}"
            );
        }
    }
    for (row, cost, name) in [
        ("logs, kB", "CloudWatch Logs", "logs"),
        ("responses, kB", "data transfer", "transfer"),
    ] {
        for (kilobytes, shown) in columns(&quantities[row], &costs[cost]) {
            let expected = kilobytes * 1e6 / 1_073_741_824.0 * price(&data, name);
            assert!(
                (expected - shown).abs() <= 0.001,
                "{name}: {expected}, not {shown}"
            );
        }
    }
}

#[test]
fn the_totals_are_the_sums_of_their_rows() {
    for (name, step) in [("sign-ups", 0.000_1), ("refusals", 0.01)] {
        let rows = table(name);
        let labels = COMPONENTS.map(|(label, _)| label);
        let labels = labels.iter().chain(&["CloudWatch Logs", "data transfer"]);
        let total = numbers(&rows["total"]);
        let mut sums = vec![0.0; total.len()];
        for label in labels {
            for (sum, cost) in sums.iter_mut().zip(numbers(&rows[*label])) {
                *sum += cost;
            }
        }
        for (sum, total) in sums.iter().zip(total) {
            // Eight rows and the total are rounded.
            assert!(
                (sum - total).abs() <= 4.5 * step,
                "{name}: {sum}, not {total}"
            );
        }
    }
    let fixed = table("fixed");
    let required = [
        "key ring",
        "alarms",
        "schedule of `deliver`",
        "dashboard",
        "packages in S3",
    ];
    for column in [1, 2] {
        let sum: f64 = required
            .iter()
            .map(|row| number(&fixed[*row][column]))
            .sum();
        let total = number(&fixed["total"][column]);
        assert!((sum - total).abs() <= 0.003, "{sum}, not {total}");
    }
}

#[test]
fn the_maximum_is_the_default_rate_times_the_refusals() {
    let parameters: Value =
        serde_yaml_ng::from_str(&files::read("infra/parameters.yaml")).expect("YAML");
    let rate = parameters["Parameters"]["ApiRate"]["Default"].as_f64();
    let requests = rate.expect("a default") * 2_592_000.0;
    let refusals = table("refusals");
    let totals = numbers(&refusals["total"]);
    let ceiling = table("ceiling");
    assert_eq!(ceiling.len(), 7);
    for (row, column) in [
        ("429 by Gatehouse", 0),
        ("401, wrong password", 1),
        ("404", 3),
    ] {
        let cells = numbers(&ceiling[row]);
        assert!((cells[0] - requests).abs() < 1.0, "{row}: {}", cells[0]);
        assert!(
            (cells[1] - totals[column]).abs() < 0.011,
            "{row}: {}",
            cells[1]
        );
        let expected = cells[1] * requests / 1e6;
        assert!(
            (cells[2] - expected).abs() <= 0.5 + 0.006 * requests / 1e6,
            "{row}: {}",
            cells[2]
        );
    }
}

#[test]
fn the_cost_of_introspections_is_users_times_prices() {
    let (rows, data) = (table("introspections"), data());
    let plan = &data["introspections"];
    let users = plan["users"].as_sequence().expect("users").iter();
    let users: Vec<f64> = users.map(|users| users.as_f64().expect("users")).collect();
    let cache = plan["seconds"].as_f64().expect("seconds");
    let row = |name: &str| numbers(&rows[name]);
    let total = row("total");
    for (column, users) in users.into_iter().enumerate() {
        let rate = users / cache;
        let requests = rate * 2_592_000.0;
        assert!((row("requests a month")[column] - requests).abs() < 1.0);
        assert!((row("requests a second")[column] - rate).abs() <= 0.051);
        assert!((row("read units a second")[column] - 2.0 * rate).abs() <= 0.051);
        // Each request takes less than a tenth of a second.
        let executions = row("concurrent executions")[column];
        assert!((executions - (rate / 10.0).ceil()).abs() < 0.1);
        let parts = [
            ("Lambda, requests", price(&data, "lambda_requests")),
            ("DynamoDB, read units", 2.0 * price(&data, "reads")),
            (
                "Lambda, GB-seconds",
                0.25 * 0.01 * price(&data, "lambda_time"),
            ),
        ];
        for (label, each) in parts {
            let shown = row(label)[column];
            assert!((shown - requests * each).abs() < 0.006, "{label}: {shown}");
        }
        let others = ["CloudWatch Logs", "data transfer"].map(|label| row(label)[column]);
        let sum = parts.iter().map(|(label, _)| row(label)[column]);
        let sum = sum.sum::<f64>() + others.iter().sum::<f64>();
        assert!((sum - total[column]).abs() < 0.03, "{sum}");
        let api = row("without the function URL: API Gateway, in addition")[column];
        assert!((api - requests * price(&data, "api_requests")).abs() < 0.006);
        assert!(
            api > total[column],
            "the page says that API Gateway costs more"
        );
    }
}

/// The log lines and the dashboard contain prices, too.
#[test]
fn prices_are_the_same_in_code_dashboard_and_documentation() {
    let data = data();
    let line = files::read("shared/crates/model/src/metrics/line.rs");
    for (constant, name) in [
        ("READ_UNIT", "reads"),
        ("WRITE_UNIT", "writes"),
        ("INVOCATION", "lambda_requests"),
        ("GIGABYTE_SECOND", "lambda_time"),
    ] {
        let (_, from) = line
            .split_once(&format!("const {constant}: f64 = "))
            .expect("a price");
        let (value, _) = from.split_once(';').expect("an end");
        let micros: f64 = value.replace('_', "").parse().expect("a number");
        let expected = price(&data, name) * 1e6;
        assert!(
            (micros - expected).abs() < 1e-9,
            "{constant}: {micros}, not {expected}"
        );
    }
    let dashboard = files::read("infra/monitoring.yaml");
    for (expression, name) in [
        ("requests * 3.5 / 1000000", "api_requests"),
        ("mails * 0.1 / 1000", "emails"),
    ] {
        assert!(dashboard.contains(expression), "no `{expression}`");
        let mut parts = expression.split(' ').skip(2);
        let usd: f64 = parts.next().expect("a price").parse().expect("a number");
        let per: f64 = parts.nth(1).expect("a divisor").parse().expect("a number");
        assert!((usd / per - price(&data, name)).abs() < 1e-12, "{name}");
    }
}
