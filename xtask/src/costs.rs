//! The tables of `docs/costs.md`: prices, cost of sign-ups, refused requests and introspections, fixed costs, maximum
//! cost.
//!
//! `docs/costs.yaml` has the prices, the estimates and the steps. The units of DynamoDB come from the tables of
//! `tests/flows/cost`, the sizes of functions from their declarations, the alarms and the throttle from the template.

mod fixed;
mod introspections;
mod quantities;
mod tables;
mod template;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{
    declaration::Function,
    files::{self, File},
    text,
};

const DATA: &str = "docs/costs.yaml";
const PAGE: &str = "docs/costs.md";
/// The page whose table lists the custom metrics.
const METRICS: &str = "docs/observability.md";

/// The content of `docs/costs.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    prices: BTreeMap<String, Price>,
    free: BTreeMap<String, f64>,
    estimates: Estimates,
    sign_ups: Vec<Column>,
    refusals: Vec<Column>,
    introspections: Introspections,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    item: String,
    usd: f64,
    per: f64,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Estimates {
    request_ms: f64,
    hash_ms: f64,
    start_ms: f64,
    line_bytes: f64,
    access_line_bytes: f64,
    response_bytes: f64,
    account_bytes: f64,
    artifact_bytes: f64,
    starts_in_a_thousand: f64,
    emails_a_day: f64,
}

/// A column of a table: an operation of one or more steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    steps: Vec<Step>,
    #[serde(default)]
    emails: f64,
    #[serde(default)]
    texts: f64,
}

/// The requests of a homeserver about the tokens of users who are always active.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Introspections {
    /// The numbers of users, each with one device.
    users: Vec<f64>,
    /// The time for which the homeserver keeps a response.
    seconds: f64,
    request: Column,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    kind: Kind,
    /// The function that handles a step of the kind `request`.
    function: Option<String>,
    /// `<file>: <line>` of a table in `tests/flows/cost`.
    units: Option<String>,
    #[serde(default)]
    hashes: f64,
    #[serde(default = "once")]
    times: f64,
}

fn once() -> f64 {
    1.0
}

/// The last component that a request reaches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A function.
    #[default]
    Request,
    /// API Gateway, which answers OPTIONS itself.
    Preflight,
    /// API Gateway, which rejects the request because of `ApiRate`. AWS does not charge for such a request.
    Throttled,
    /// WAF. The prices do not exclude the request at API Gateway, so the table includes it.
    Blocked,
}

impl Data {
    fn read(root: &Path) -> Result<Self> {
        serde_yaml_ng::from_str(&files::read(root, DATA)?).context(DATA)
    }

    /// The price of this quantity in US dollars.
    fn cost(&self, name: &str, quantity: f64) -> Result<f64> {
        let price = self.prices.get(name);
        let price = price.with_context(|| format!("{DATA} has no price `{name}`"))?;
        Ok(quantity * price.usd / price.per)
    }
}

/// The number of rows of the table that lists the custom metrics.
fn metrics(page: &str) -> f64 {
    let table = page.split("| metric | unit |").nth(1).unwrap_or_default();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with("| `"));
    rows.map(|_| 1.0).sum()
}

/// The page with its tables.
pub(crate) fn page(root: &Path, functions: &[Function], template: &File) -> Result<File> {
    let data = Data::read(root)?;
    let stack = template::Stack::parse(&template.text).context("template.yaml")?;
    let memory: BTreeMap<_, _> = functions
        .iter()
        .map(|function| (function.stem.as_str(), function))
        .collect();
    let source = quantities::Source {
        root,
        functions: &memory,
        estimates: &data.estimates,
        metrics: metrics(&files::read(root, METRICS)?),
    };
    let blocks = [
        ("prices", tables::prices(&data)),
        (
            "sign-up-quantities",
            tables::quantities(&source, &data.sign_ups)?,
        ),
        ("sign-ups", tables::sign_ups(&data, &source)?),
        ("refusals", tables::refusals(&data, &source)?),
        ("introspections", introspections::table(&data, &source)?),
        ("fixed", fixed::table(&data, &source, &stack)?),
        ("ceiling", tables::ceiling(&data, &source, &stack)?),
    ];
    let mut page = files::read(root, PAGE)?;
    for (name, table) in blocks {
        let begin = format!("<!-- generated: {name} -->");
        let end = format!("<!-- /generated: {name} -->");
        page = text::replace_block(&page, &begin, &end, &table).context(PAGE)?;
    }
    Ok(File {
        path: PAGE.to_owned(),
        text: page,
    })
}
