//! The quantities that an operation consumes.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};

use super::{Column, Estimates, Kind, Step};
use crate::{declaration::Function, files};

/// Bytes in a GB, as AWS counts them.
pub(super) const GIGABYTE: f64 = 1_073_741_824.0;

/// The sources of quantities.
pub(super) struct Source<'a> {
    pub(super) root: &'a Path,
    pub(super) functions: &'a BTreeMap<&'a str, &'a Function>,
    pub(super) estimates: &'a Estimates,
    /// The number of custom metrics.
    pub(super) metrics: f64,
}

/// The quantities of one operation, by the names of the prices.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Quantities(BTreeMap<&'static str, f64>);

impl Quantities {
    pub(super) fn of(&self, price: &str) -> f64 {
        self.0.get(price).copied().unwrap_or_default()
    }

    fn add(&mut self, price: &'static str, quantity: f64) {
        *self.0.entry(price).or_default() += quantity;
    }
}

impl Source<'_> {
    /// The quantities of a column. `starts` is the number of times that each of its functions starts.
    pub(super) fn column(&self, column: &Column, starts: f64) -> Result<Quantities> {
        let mut all = Quantities::default();
        let mut started = BTreeMap::new();
        for step in &column.steps {
            self.step(&mut all, &mut started, step)
                .with_context(|| format!("docs/costs.yaml: {}", column.name))?;
        }
        for function in started.values() {
            let reads = f64::from(u8::from(function.key_ring));
            all.add("secret_reads", reads * starts);
            all.add(
                "lambda_time",
                starts * gigabyte_seconds(function, self.estimates.start_ms),
            );
        }
        all.add("emails", column.emails);
        all.add("texts", column.texts);
        Ok(all)
    }

    fn step<'a>(
        &'a self,
        all: &mut Quantities,
        started: &mut BTreeMap<&'a str, &'a Function>,
        step: &'a Step,
    ) -> Result<()> {
        let (times, estimates) = (step.times, self.estimates);
        let mut through_api = true;
        if step.kind == Kind::Request {
            let name = step
                .function
                .as_deref()
                .context("a step has no `function`")?;
            let function = self.functions.get(name);
            let function = *function.with_context(|| format!("no function `{name}`"))?;
            started.insert(name, function);
            through_api = function.is_endpoint();
            let ms = estimates.request_ms + step.hashes * estimates.hash_ms;
            all.add("lambda_requests", times);
            all.add("lambda_time", times * gigabyte_seconds(function, ms));
            all.add("logs", times * estimates.line_bytes / GIGABYTE);
            if let Some(units) = &step.units {
                let (reads, writes) = self.units(units)?;
                all.add("reads", times * reads);
                all.add("writes", times * writes);
            }
        } else {
            ensure!(
                step.function.is_none() && step.units.is_none(),
                "only requests reach a function"
            );
        }
        if through_api {
            let charged = f64::from(u8::from(step.kind != Kind::Throttled));
            all.add("api_requests", times * charged);
            all.add(
                "access_logs",
                times * estimates.access_line_bytes / GIGABYTE,
            );
            all.add("transfer", times * estimates.response_bytes / GIGABYTE);
        }
        if step.kind == Kind::Blocked {
            all.add("firewall_requests", times);
        }
        Ok(())
    }

    /// The read and write units of an operation, as the test asserts them.
    pub(super) fn units(&self, name: &str) -> Result<(f64, f64)> {
        let (file, operation) = name
            .split_once(": ")
            .context("`units` is not `<file>: <line>`")?;
        let path = format!("tests/flows/cost/{file}.rs");
        units_in(&files::read(self.root, &path)?, operation).with_context(|| path)
    }
}

fn gigabyte_seconds(function: &Function, ms: f64) -> f64 {
    f64::from(function.memory) / 1024.0 * ms / 1000.0
}

/// The units on the line of an operation, `<operation>: <calls> = <reads>r <writes>w`. Tables of servers without
/// limits do not count.
fn units_in(source: &str, operation: &str) -> Result<(f64, f64)> {
    let tables = source.split("\nconst ").skip(1);
    let tables = tables.filter(|table| !table.starts_with("WITHOUT_LIMITS"));
    let mut lines = tables
        .flat_map(str::lines)
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| *name == operation);
    let (_, cost) = lines
        .next()
        .with_context(|| format!("no line `{operation}`"))?;
    ensure!(
        lines.next().is_none(),
        "the line `{operation}` occurs twice"
    );
    let (_, units) = cost.rsplit_once(" = ").context("no units")?;
    let (reads, writes) = units.split_once("r ").context("no read units")?;
    let writes = writes.strip_suffix('w').context("no write units")?;
    Ok((reads.parse()?, writes.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_from_the_table_with_limits() {
        let source = "fn f() {}\n\nconst WITHOUT_LIMITS: &str = \"\n    a: GetItem X = 1r 0w\n\";\n\n\
                      const WITH_LIMITS: &str = \"\n    a: GetItem X > Put Y = 1.5r 2w\n    a, b: Put Y = 0r 3w\n\";\n";
        assert_eq!(units_in(source, "a").unwrap(), (1.5, 2.0));
        assert_eq!(units_in(source, "a, b").unwrap(), (0.0, 3.0));
        assert!(units_in(source, "c").is_err());
    }
}
