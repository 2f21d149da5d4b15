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

#[test]
fn alarms_and_dashboard_are_about_metrics_that_are_written() {
    let template = files::read("template.yaml");
    let drawn = template.split("[\"Gatehouse\", \"").skip(1);
    let watched = template
        .split("Namespace: Gatehouse\n      MetricName: ")
        .skip(1);
    let named: BTreeSet<&str> = drawn
        .chain(watched)
        .filter_map(|rest| rest.split(['"', '\n']).next())
        .collect();
    assert!(named.contains("Registrations") && named.contains("OutboxOldestAge"));
    let known: BTreeSet<String> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    for name in named {
        assert!(known.contains(name), "nobody writes {name}");
    }
}
