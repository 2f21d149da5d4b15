//! The table about the requests of a homeserver.

use anyhow::Result;

use super::{
    Data,
    quantities::Source,
    tables::{COMPONENTS, SECONDS_A_MONTH, grouped, header, row},
};

/// The requests that Lambda passes to one process of a function in a second, however short they are.
const REQUESTS_OF_A_PROCESS: f64 = 10.0;

pub(super) fn table(data: &Data, source: &Source<'_>) -> Result<Vec<String>> {
    let plan = &data.introspections;
    let request = source.column(&plan.request, 0.0)?;
    let rates: Vec<f64> = plan
        .users
        .iter()
        .map(|users| users / plan.seconds)
        .collect();
    let titles = plan
        .users
        .iter()
        .map(|users| format!("{} users", grouped(*users, 0)));
    let titles: Vec<String> = std::iter::once("A month, US dollars".to_owned())
        .chain(titles)
        .collect();
    let mut table = header(
        &titles.iter().map(String::as_str).collect::<Vec<_>>(),
        "---:",
    );
    let mut line = |label: &str, digits: usize, of_rate: &dyn Fn(f64) -> f64| {
        let cells = rates.iter().map(|rate| grouped(of_rate(*rate), digits));
        table.push(row(&std::iter::once(label.to_owned())
            .chain(cells)
            .collect::<Vec<_>>()));
    };
    let mut total = 0.0;
    for (price, label) in COMPONENTS {
        let each = data.cost(price, request.of(price))?;
        if price != "api_requests" && each > 0.0 {
            total += each;
            line(label, 2, &|rate| rate * SECONDS_A_MONTH * each);
        }
    }
    let api = data.cost("api_requests", request.of("api_requests"))?;
    line("total", 2, &|rate| rate * SECONDS_A_MONTH * total);
    line(
        "without the function URL: API Gateway, in addition",
        2,
        &|rate| rate * SECONDS_A_MONTH * api,
    );
    line("requests a month", 0, &|rate| rate * SECONDS_A_MONTH);
    line("requests a second", 1, &|rate| rate);
    let reads = request.of("reads");
    line("read units a second", 1, &|rate| rate * reads);
    let busy = data.estimates.request_ms / 1000.0;
    line("concurrent executions", 0, &|rate| {
        (rate * busy).max(rate / REQUESTS_OF_A_PROCESS).ceil()
    });
    Ok(table)
}
