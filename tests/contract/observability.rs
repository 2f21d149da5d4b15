//! Metric names are an interface for dashboards and alarms, so the documentation lists all of them.

use std::collections::BTreeSet;

use shared::metrics::Metric;

use crate::contract::files;

#[test]
fn the_documentation_lists_every_metric_with_its_unit() {
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
fn alarms_and_dashboards_use_existing_metrics() {
    let template = files::read("template.yaml");
    let on_dashboard = template.split("[\"Gatehouse\", \"").skip(1);
    let in_alarms = template
        .split("Namespace: Gatehouse\n      MetricName: ")
        .skip(1);
    let named: BTreeSet<&str> = on_dashboard
        .chain(in_alarms)
        .filter_map(|rest| rest.split(['"', '\n']).next())
        .collect();
    assert!(named.contains("Registrations") && named.contains("OutboxOldestAge"));
    let known: BTreeSet<String> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    for name in named {
        assert!(known.contains(name), "no code writes the metric {name}");
    }
}
