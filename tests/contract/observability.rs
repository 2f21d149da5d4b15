//! The names of metrics are a contract with dashboards and alarms: the document lists what there is.

use std::collections::BTreeSet;

use shared::metrics::Metric;

use crate::contract::files;

#[test]
fn the_document_lists_every_metric_with_its_unit() {
    let text = files::read("docs/observability.md");
    let (_, table) = text.split_once("| metric | unit |").unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<(String, String)> = rows
        .filter_map(|row| {
            let (name, rest) = row.split_once("` | ")?;
            let (unit, _) = rest.split_once(" |")?;
            Some((name.to_owned(), unit.to_owned()))
        })
        .collect();
    let metrics = Metric::ALL.iter();
    let known = metrics.map(|metric| (metric.name(), metric.unit().to_owned()));
    assert_eq!(listed, known.collect());
}
