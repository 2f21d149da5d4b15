//! Start of a function: environment variables and log.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    app::{self, App},
    aws::Aws,
    clock::SystemClock,
    config::{self, Config},
    key_ring::KeySettings,
    metrics::Lines,
    rng::{Rng, SystemRng},
    store::Store,
};

/// The app and the AWS settings from the environment variables. The secret is read and the
/// connection to the tables is opened at the same time, so that the first event needs neither.
#[expect(
    clippy::disallowed_methods,
    reason = "the only code of a function that reads the environment"
)]
pub(super) async fn app() -> Result<(Arc<App>, Aws), String> {
    // `std::env::vars` would panic if a value is not UTF-8.
    let variables: Vec<_> = std::env::vars_os().collect();
    let misspelt = Config::check_environment(&variables).map_err(message);
    let variables: BTreeMap<String, String> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let lookup = |name: &str| variables.get(name).cloned();
    let aws = Aws::from_lookup(lookup);
    let (tables, reads_ahead) = config::read_tables(lookup).map_err(message)?;
    let aws = aws?;
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let store = Store::new(&aws, &tables, Arc::clone(&rng));
    let warm_up = async {
        if reads_ahead {
            app::warm_up(&store).await
        } else {
            None
        }
    };
    let secrets = aws.sdk_config(aws.endpoints.secrets_manager.as_deref());
    let (settings, row) =
        tokio::join!(KeySettings::fetch_if_used(&secrets, lookup, &*rng), warm_up);
    let settings = settings.map_err(message)?;
    let config = Config::from_lookup(settings.over(lookup)).map_err(message);
    let config = match (misspelt, config) {
        (Ok(()), Ok(config)) => Arc::new(config),
        // All errors of the settings are reported at once, so that the operator can correct them together.
        (misspelt, config) => {
            let errors = [misspelt.err(), config.err()];
            return Err(errors.into_iter().flatten().collect::<Vec<_>>().join("\n"));
        }
    };
    let app = App::with_store(config, store, Arc::new(SystemClock), rng);
    app.use_prefetched(row).await;
    Ok((app, aws))
}

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Starts the log: one JSON line for each event. The level is `info` for Gatehouse and `warn` for
/// dependencies.
pub(super) fn start_log() {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .event_format(Lines::default());
    tracing_subscriber::registry()
        .with(lines)
        .with(log_filter())
        .init();
}

/// The crates of Gatehouse share a prefix. The crates of the functions do not have it, and only
/// `deliver` logs below `warn`.
fn log_filter() -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("gatehouse_", LevelFilter::INFO)
        .with_target("deliver", LevelFilter::INFO)
}

#[expect(
    clippy::print_stderr,
    reason = "the log may not have been started, and no request is in progress"
)]
pub(super) fn exit_with(problem: &str, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{problem}:\n{error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;
    use crate::metrics::LINE_TARGET;

    #[test]
    fn the_log_filter_enables_request_lines() {
        let filter = log_filter();
        assert!(filter.would_enable(LINE_TARGET, &Level::INFO));
        assert!(filter.would_enable("deliver::dispatcher", &Level::INFO));
        assert!(!filter.would_enable("aws_config", &Level::INFO));
    }
}
