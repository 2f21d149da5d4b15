//! The command `gatehouse-admin`: reads the environment, does what was asked, prints the report.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use gatehouse_admin::{Admin, Cli};
use shared::{
    aws::http_client, chance::SystemChance, clock::SystemClock, config::read_keys, store::Store,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report_failure(&error, cli.json);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn run(cli: &Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async { admin().await?.run(&cli.command).await })?;
    println!(
        "{}",
        if cli.json {
            report.json.to_string()
        } else {
            report.text
        }
    );
    Ok(())
}

/// The account or endpoint that the environment points at: credentials, region and
/// `AWS_ENDPOINT_URL_DYNAMODB` are read as every AWS tool reads them.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this command that reads the environment"
)]
async fn admin() -> anyhow::Result<Admin> {
    let (keys, tables) =
        read_keys(|name| std::env::var(name).ok()).context("the settings are not right")?;
    let aws = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client())
        .load()
        .await;
    let chance = Arc::new(SystemChance);
    let store = Store::with_client(aws_sdk_dynamodb::Client::new(&aws), &tables, chance.clone());
    Ok(Admin {
        store,
        keys,
        clock: Arc::new(SystemClock),
        chance,
    })
}

#[expect(clippy::print_stderr, reason = "a command tells its failure on stderr")]
fn report_failure(error: &anyhow::Error, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") }));
    } else {
        eprintln!("gatehouse-admin: {error:#}");
    }
}
