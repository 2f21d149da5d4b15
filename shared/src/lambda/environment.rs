//! The beginning of a function: its environment, its log.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    app::App, aws::Aws, chance::SystemChance, clock::SystemClock, config::Config, metrics::Lines,
};

/// What the environment says, put together and ready for the first event. All that is wrong with it
/// is told at once.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of a function that reads the environment"
)]
pub(super) async fn app() -> Result<(Arc<App>, Aws), String> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let lookup = |name: &str| variables.get(name).cloned();
    let misspelt = Config::unknown_settings(variables.keys().cloned());
    let (config, aws) = (Config::from_lookup(lookup), Aws::from_lookup(lookup));
    match (misspelt, config, aws) {
        (Ok(()), Ok(config), Ok(aws)) => {
            let (clock, chance) = (Arc::new(SystemClock), Arc::new(SystemChance));
            let app = App::new(Arc::new(config), &aws, clock, chance);
            if app.config.warm_up {
                app.warm_up().await;
            }
            Ok((app, aws))
        }
        (misspelt, config, aws) => {
            let faults = [
                misspelt.err().map(|f| f.to_string()),
                config.err().map(|f| f.to_string()),
                aws.err(),
            ];
            Err(faults.into_iter().flatten().collect::<Vec<_>>().join("\n"))
        }
    }
}

/// One JSON line an event, ours from `info`, others' from `warn`.
pub(super) fn start_log() {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::INFO)
        .with_target("deliver", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .event_format(Lines::default());
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}

#[expect(
    clippy::print_stderr,
    reason = "there is no log yet, or no request to log it with"
)]
pub(super) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("gatehouse cannot start:\n{error}");
    ExitCode::FAILURE
}
