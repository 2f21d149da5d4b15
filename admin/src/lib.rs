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

use std::sync::Arc;

use clap::{Parser, Subcommand};
use serde_json::Value;
use shared::{chance::Chance, clock::Clock, secrets::KeyRing, store::Store};

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
    pub chance: Arc<dyn Chance>,
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
