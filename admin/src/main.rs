//! The program `gatehouse-admin`: reads the environment, runs the command, prints the report.

use std::{
    ffi::OsString,
    io::{Write, stderr, stdout},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Parser;
use gatehouse_admin::{
    Admin, Cli,
    environment::Environment,
    output,
    services::{Services, check_access},
};
use shared::{
    aws::{http_client, timeouts},
    clock::SystemClock,
    config::read_keys,
    rng::SystemRng,
    store::Store,
};

/// The exit code of every failure is 1, also of a wrong command line.
fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let done = match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(&cli).map_err(|error| (error, cli.json)),
        Err(error) if error.use_stderr() => {
            report_usage(&error, wants_json(&arguments));
            return ExitCode::FAILURE;
        }
        // The text of `--help` and `--version`.
        Err(text) => text
            .print()
            .and_then(|()| stdout().flush())
            .map(|()| true)
            .map_err(|error| (output::error(&error), false)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err((error, json)) => {
            report_failure(&format!("{error:#}"), json);
            ExitCode::FAILURE
        }
    }
}

/// Runs the command, prints its report and returns whether it succeeded.
fn run(cli: &Cli) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let admin = admin(!cli.json).await?;
        let report = Box::pin(admin.run(&cli.command)).await?;
        match output::print(&report.render(cli.json)) {
            Ok(()) => Ok(!report.failed),
            Err(error) => Err(admin.output_lost(&report, &error).await),
        }
    })
}

/// Reads credentials, region and `AWS_ENDPOINT_URL_DYNAMODB` from the environment, like every AWS tool. Every call has
/// a time limit.
async fn admin(show_progress: bool) -> anyhow::Result<Admin> {
    let environment = environment()?;
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts())
        .load()
        .await;
    check_access(&aws, &environment).await?;
    let environment = environment.with_secrets(&aws).await?;
    let (keys, tables) =
        read_keys(|name| environment.get(name)).context("the settings are invalid")?;
    let rng = Arc::new(SystemRng);
    let services = Services {
        dynamodb: aws_sdk_dynamodb::Client::new(&aws),
        ses: aws_sdk_ses::Client::new(&aws),
        sns: aws_sdk_sns::Client::new(&aws),
        tables,
    };
    let client = services.dynamodb.clone();
    Ok(Admin {
        store: Store::with_client(client, &services.tables, rng.clone()),
        services,
        keys,
        clock: Arc::new(SystemClock),
        rng,
        environment,
        show_progress,
    })
}

/// Other programs may set variables that are not UTF-8, but every valid setting is UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place of this program that reads the environment"
)]
fn environment() -> anyhow::Result<Environment> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_)
                if ["GATEHOUSE_", "AWS_"]
                    .iter()
                    .any(|own| name.starts_with(own)) =>
            {
                bail!("{name}: the value is not valid UTF-8");
            }
            Err(_) => {}
        }
    }
    Ok(Environment::of(variables))
}

/// Whether the output of a command line that cannot be parsed must be JSON.
fn wants_json(arguments: &[OsString]) -> bool {
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    options.any(|argument| argument == "--json")
}

fn report_usage(error: &clap::Error, json: bool) {
    if json {
        let text = error.render().to_string();
        report_failure(text.trim_start_matches("error: ").trim_end(), true);
    } else {
        // Nothing can be done if stderr is closed.
        let _ = error.print();
    }
}

fn report_failure(error: &str, json: bool) {
    let text = if json {
        serde_json::json!({ "error": error }).to_string()
    } else {
        format!("gatehouse-admin: {error}")
    };
    // Nothing can be done if stderr is closed.
    let _ = writeln!(stderr(), "{}", output::escaped(&text));
}
