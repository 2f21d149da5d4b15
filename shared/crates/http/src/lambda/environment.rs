//! The beginning of a function: its environment, its log.

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

/// What the environment says, put together and ready for the first event: the secret has been read and,
/// at the same time, the connection to the tables opened.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of a function that reads the environment"
)]
pub(super) async fn app() -> Result<(Arc<App>, Aws), String> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let lookup = |name: &str| variables.get(name).cloned();
    let misspelt = Config::unknown_settings(variables.keys().cloned()).map_err(told);
    let aws = Aws::from_lookup(lookup);
    let (tables, reads_ahead) = config::read_tables(lookup).map_err(told)?;
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
    let settings = settings.map_err(told)?;
    let config = Config::from_lookup(settings.over(lookup)).map_err(told);
    let config = match (misspelt, config) {
        (Ok(()), Ok(config)) => Arc::new(config),
        // All that is wrong with the settings is told at once.
        (misspelt, config) => {
            let faults = [misspelt.err(), config.err()];
            return Err(faults.into_iter().flatten().collect::<Vec<_>>().join("\n"));
        }
    };
    let app = App::with_store(config, store, Arc::new(SystemClock), rng);
    app.use_prefetched(row).await;
    Ok((app, aws))
}

fn told(fault: impl std::fmt::Display) -> String {
    fault.to_string()
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
pub(super) fn fail(what: &str, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("gatehouse {what}:\n{error}");
    ExitCode::FAILURE
}
