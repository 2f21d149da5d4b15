//! The admin CLI `gatehouse-admin`: users, registration tokens, application services, the import of accounts, and
//! `doctor`.
//!
//! The CLI works directly on the tables of `AWS_ENDPOINT_URL_DYNAMODB` or of the AWS account. Every change takes
//! effect in the running functions within a minute, without a deployment. Tokens are stored as keyed hashes, so
//! the CLI needs the same keys (`GATEHOUSE_SECRET` or `GATEHOUSE_SECRET_ARN`) and `GATEHOUSE_TABLES` as the
//! functions. All commands access the tables only through the store, except `doctor`, which compares the tables
//! with the template.

pub mod appservices;
mod batch;
mod doctor;
pub mod environment;
mod explain;
pub mod homeserver;
pub mod output;
mod progress;
pub mod registration_tokens;
pub mod services;
pub mod synapse;
pub mod times;
pub mod users;

use std::{io, sync::Arc};

use clap::{Parser, Subcommand};
use serde_json::Value;
use shared::{clock::Clock, ids::ServerName, rng::Rng, secrets::KeyRing, store::Store};

use crate::{environment::Environment, services::Services};

/// The arguments of the command line.
#[derive(Debug, Parser)]
#[command(
    name = "gatehouse-admin",
    about = "Manages a Gatehouse account service",
    version
)]
pub struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

/// The groups of commands, and `doctor`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tokens that allow a registration (`m.login.registration_token`)
    #[command(subcommand)]
    RegistrationTokens(registration_tokens::Command),
    /// Application services: bridges and bots
    #[command(subcommand)]
    Appservices(appservices::Command),
    /// Accounts: show, lock, suspend, deactivate, import
    #[command(subcommand)]
    Users(users::Command),
    /// The homeserver that uses this server for all accounts: pending updates, comparison and repair
    #[command(subcommand)]
    Homeserver(homeserver::Command),
    /// Import the accounts of a homeserver from its database
    #[command(subcommand)]
    Import(synapse::Command),
    /// Check tables, secret, settings, e-mail, text messages and clock, and print how to fix each problem
    Doctor,
}

/// The context of the commands.
#[derive(Debug)]
pub struct Admin {
    /// The DynamoDB tables.
    pub store: Store,
    /// The keys of the token hashes.
    pub keys: KeyRing,
    /// The time of changes, and of the expiry of registration tokens.
    pub clock: Arc<dyn Clock>,
    /// The source of random values.
    pub rng: Arc<dyn Rng>,
    /// The AWS clients, for calls that the store does not have.
    pub services: Services,
    /// The settings that only some commands need.
    pub environment: Environment,
    /// Whether long commands show their progress, and `doctor` prints each result when it is known.
    pub show_progress: bool,
}

/// A secret that a report contains and that cannot be shown again.
#[derive(Debug)]
pub enum ShownOnce {
    /// A registration token with this hash.
    RegistrationToken(String),
    /// A new password.
    Password,
}

/// The result of a command, as JSON and as text with the same content.
#[derive(Debug)]
pub struct Report {
    /// The JSON, for programs.
    pub json: Value,
    /// The text, without a line break at the end.
    pub text: String,
    /// Whether the command must end with a failure after printing the report.
    pub failed: bool,
    /// The secret in the report, if there is one.
    pub shown_once: Option<ShownOnce>,
}

impl Report {
    /// The report of a successful command.
    pub fn success(json: Value, text: String) -> Self {
        Self {
            json,
            text,
            failed: false,
            shown_once: None,
        }
    }

    /// The output, with control characters escaped, because they could control the terminal. In JSON, control
    /// characters occur only in strings, where the escape sequence has the same meaning. Characters below U+0020
    /// are already escaped there.
    pub fn render(&self, json: bool) -> String {
        let text = if json {
            &self.json.to_string()
        } else {
            &self.text
        };
        output::escaped(text)
    }
}

impl Admin {
    /// Runs a command. If DynamoDB prevents it, the error also names the cause.
    pub async fn run(&self, command: &Command) -> anyhow::Result<Report> {
        let done = match command {
            Command::RegistrationTokens(command) => registration_tokens::run(self, command).await,
            Command::Appservices(command) => appservices::run(self, command).await,
            Command::Users(command) => users::run(self, command).await,
            Command::Homeserver(command) => homeserver::run(self, command).await,
            Command::Import(command) => synapse::run(self, command).await,
            Command::Doctor => doctor::run(self).await,
        };
        match done {
            Ok(report) => Ok(report),
            Err(error) => Err(explain::explain(self, error).await),
        }
    }

    /// Handles a report that could not be printed, and returns the error. A registration token that nobody has seen is
    /// revoked.
    pub async fn output_lost(&self, report: &Report, error: &io::Error) -> anyhow::Error {
        let consequence = match &report.shown_once {
            None => "the command itself was carried out".to_owned(),
            Some(ShownOnce::Password) => {
                "the new password was set, but is lost; run the command again".to_owned()
            }
            Some(ShownOnce::RegistrationToken(hash)) => {
                match self.store.revoke_registration_token(hash).await {
                    Ok(()) => "the token was revoked; run the command again".to_owned(),
                    Err(error) => format!("the token could not be revoked ({error}); revoke it"),
                }
            }
        };
        output::error(error).context(consequence)
    }

    /// The name of the homeserver, if it is set.
    pub(crate) fn server_name(&self) -> Option<ServerName> {
        let name = self.environment.get("GATEHOUSE_SERVER_NAME")?;
        ServerName::parse(name.trim())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_output_has_no_control_characters_and_is_complete() {
        let json = json!({ "display_name": "\u{9b}31m\u{7f}\u{1b}[2J\n\u{e9}" });
        let report = Report::success(json.clone(), format!("{json:#}\n\u{9d}"));
        for output in [report.render(true), report.render(false)] {
            assert!(output.contains(r"\u009b31m\u007f\u001b[2J\né"));
            assert!(!output.chars().any(|c| c.is_control() && c != '\n'));
        }
        let read: Value = serde_json::from_str(&report.render(true)).unwrap();
        assert_eq!(read, json);
    }

    #[test]
    fn a_token_id_may_begin_with_a_hyphen() {
        for arguments in [
            ["registration-tokens", "revoke", "-7kX", "--json"],
            ["registration-tokens", "revoke", "--json", "-7kX"],
            ["--json", "registration-tokens", "revoke", "-7kX"],
        ] {
            let cli = Cli::try_parse_from(["gatehouse-admin"].iter().chain(&arguments)).unwrap();
            let Command::RegistrationTokens(registration_tokens::Command::Revoke { id }) =
                cli.command
            else {
                panic!("another command");
            };
            assert_eq!(id, "-7kX");
            assert!(cli.json);
        }
    }
}
