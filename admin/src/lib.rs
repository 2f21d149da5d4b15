//! The operator's command: users, registration tokens, application services, and a doctor.
//!
//! Works on the tables directly, wherever `AWS_ENDPOINT_URL_DYNAMODB` or the account's credentials
//! point; the running functions see every change within a minute and need no deployment. Needs the
//! same keys (`GATEHOUSE_SECRET` or `GATEHOUSE_SECRET_ARN`) and `GATEHOUSE_TABLES` as they do, since
//! tokens are stored as keyed hashes. Knows the store's verbs and no table, but for the doctor, which
//! knows what tables the template makes.

pub mod appservices;
mod doctor;
pub mod environment;
mod progress;
pub mod registration_tokens;
pub mod services;
pub mod times;
pub mod users;

use std::{fmt::Write, sync::Arc};

use clap::{Parser, Subcommand};
use serde_json::Value;
use shared::{clock::Clock, rng::Rng, secrets::KeyRing, store::Store};

use crate::{environment::Environment, services::Services};

/// The command line.
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
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tokens handed out for sign-up (`m.login.registration_token`)
    #[command(subcommand)]
    RegistrationTokens(registration_tokens::Command),
    /// Application services: bridges, bots
    #[command(subcommand)]
    Appservices(appservices::Command),
    /// Accounts: look at one, lock, suspend or end it
    #[command(subcommand)]
    Users(users::Command),
    /// Look for what is wrong with tables, secret, settings, mail, text messages, clock
    Doctor,
}

/// What the commands work with.
#[derive(Debug)]
pub struct Admin {
    /// The tables.
    pub store: Store,
    /// The keys under which tokens are hashed.
    pub keys: KeyRing,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// The clients of AWS, for what the store has no verb for.
    pub services: Services,
    /// Where settings are found that only some commands need.
    pub environment: Environment,
    /// Whether somebody watches how far long work is.
    pub watched: bool,
}

/// What a command has to say: the same as JSON and as text.
#[derive(Debug)]
pub struct Report {
    /// For programs.
    pub json: Value,
    /// For people, without a line end at the end.
    pub text: String,
    /// Whether not all is well: the command fails when it has said so.
    pub failed: bool,
}

impl Report {
    /// All is well.
    pub fn of(json: Value, text: String) -> Self {
        Self {
            json,
            text,
            failed: false,
        }
    }

    /// What is printed, without what would tell a terminal to do something. In JSON such characters stand in
    /// strings alone, where their escape means the same; those below U+0020 are written so already.
    pub fn printed(&self, json: bool) -> String {
        let text = if json {
            &self.json.to_string()
        } else {
            &self.text
        };
        let mut printed = String::with_capacity(text.len());
        for c in text.chars() {
            if c.is_control() && c != '\n' && c != '\t' {
                // Writing into a string does not fail.
                let _ = write!(printed, "\\u{:04x}", u32::from(c));
            } else {
                printed.push(c);
            }
        }
        printed
    }
}

impl Admin {
    /// Does what was asked.
    pub async fn run(&self, command: &Command) -> anyhow::Result<Report> {
        match command {
            Command::RegistrationTokens(command) => registration_tokens::run(self, command).await,
            Command::Appservices(command) => appservices::run(self, command).await,
            Command::Users(command) => users::run(self, command).await,
            Command::Doctor => Ok(doctor::run(self).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_printed_tells_a_terminal_nothing_and_programs_everything() {
        let json = json!({ "display_name": "\u{9b}31m\u{7f}\u{1b}[2J\n\u{e9}" });
        let report = Report::of(json.clone(), format!("{json:#}\n\u{9d}"));
        for printed in [report.printed(true), report.printed(false)] {
            assert!(printed.contains(r"\u009b31m\u007f\u001b[2J\né"));
            assert!(!printed.chars().any(|c| c.is_control() && c != '\n'));
        }
        let read: Value = serde_json::from_str(&report.printed(true)).unwrap();
        assert_eq!(read, json);
    }
}
