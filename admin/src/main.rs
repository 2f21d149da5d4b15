//! The program `gatehouse-admin`: reads the environment, runs the command, prints the report.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use gatehouse_admin::{Admin, Cli, Report, environment::Environment, services::Services};
use shared::{
    aws::http_client,
    clock::SystemClock,
    config::{Config, read_keys},
    rng::SystemRng,
    store::Store,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(report) => {
            print(&report, cli.json);
            if report.failed {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            report_failure(&error, cli.json);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { Box::pin(admin(!cli.json).await?.run(&cli.command)).await })
}

/// A write error is ignored, because it occurs when the reader has closed the pipe.
fn print(report: &Report, json: bool) {
    let _ = writeln!(std::io::stdout(), "{}", report.render(json));
}

/// Reads credentials, region and `AWS_ENDPOINT_URL_DYNAMODB` from the environment, like every AWS tool.
async fn admin(show_progress: bool) -> anyhow::Result<Admin> {
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client())
        .load()
        .await;
    Config::check_encoding(std::env::vars_os()).context("the settings are invalid")?;
    let environment = environment().with_secrets(&aws).await?;
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

/// Variables that are not UTF-8 are left out: a setting that is not UTF-8 is an error before this.
fn environment() -> Environment {
    let variables = std::env::vars_os();
    Environment::of(
        variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}

#[expect(
    clippy::print_stderr,
    reason = "a command reports its failure on stderr"
)]
fn report_failure(error: &anyhow::Error, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") }));
    } else {
        eprintln!("gatehouse-admin: {error:#}");
    }
}
