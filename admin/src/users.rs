//! Users: the stored data of a user, and the operator's changes to an account.

mod deactivate;
pub(crate) mod import;
mod record;
mod reset;
mod status;

use anyhow::{Context, bail};
use clap::Subcommand;
use shared::{
    ids::{Localpart, ServerName},
    store::Moderation,
};

use crate::{Admin, Report};

/// The maximum number of attempts to change an account. An attempt fails if the account has changed since it was
/// read.
const MAX_ATTEMPTS: usize = 5;

/// The commands for users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show an account: its status, addresses, devices and bindings
    Show {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Print everything that is stored about a user as JSON, without secrets and hashes
    Export {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Lock an account: it cannot be used until it is unlocked; its devices stay logged in
    Lock {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Undo a lock; an account that was suspended before is suspended again
    Unlock {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Suspend an account: its user can do little except log in, log out and deactivate it
    Suspend {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Undo a suspension
    Unsuspend {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Set a random password and show it once; every device is logged out
    ResetPassword {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Make a link with which a user with an e-mail address confirms a password reset
    ///
    /// The link only validates the address. The printed request then sets the password. If the user can
    /// receive e-mail, "forgot password" in the client does both. If the account has no e-mail address,
    /// use `reset-password`.
    ResetLink {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
        /// The URL at which clients reach this service; default: `GATEHOUSE_PUBLIC_URL`
        #[arg(long)]
        public_url: Option<String>,
    },
    /// Import users from another server; docs/importing.md describes the file
    Import(import::Import),
    /// Deactivate an account permanently: delete its devices, password and addresses; its username stays taken
    Deactivate {
        /// The username, or the user ID if GATEHOUSE_SERVER_NAME is set
        #[arg(allow_hyphen_values = true)]
        name: String,
        /// Record that only the necessary data may be kept, as a user can request
        #[arg(long)]
        erase: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<Report> {
    let user = |name: &str| localpart(admin, name);
    match command {
        Command::Show { name } => record::show(admin, &user(name)?).await,
        Command::Export { name } => record::export(admin, &user(name)?).await,
        Command::Lock { name } => status::change(admin, &user(name)?, Moderation::Lock).await,
        Command::Unlock { name } => status::change(admin, &user(name)?, Moderation::Unlock).await,
        Command::Suspend { name } => status::change(admin, &user(name)?, Moderation::Suspend).await,
        Command::Unsuspend { name } => {
            status::change(admin, &user(name)?, Moderation::Unsuspend).await
        }
        Command::ResetPassword { name } => reset::password(admin, &user(name)?).await,
        Command::ResetLink { name, public_url } => {
            reset::link(admin, &user(name)?, public_url.as_deref()).await
        }
        Command::Import(import) => import::run(admin, import).await,
        Command::Deactivate { name, erase, yes } => {
            deactivate::run(admin, &user(name)?, *erase, *yes).await
        }
    }
}

/// Parses a username in its stored form, or a complete user ID of this server.
pub(crate) fn localpart(admin: &Admin, text: &str) -> anyhow::Result<Localpart> {
    let name = username(text, admin.server_name().as_ref())?;
    Localpart::stored(name).with_context(|| {
        format!("`{text}` is not a username; give the part of the user ID between `@` and `:`, in lower case")
    })
}

/// The username in a username or in a complete user ID of this server. Does not check its characters.
fn username<'a>(text: &'a str, own: Option<&ServerName>) -> anyhow::Result<&'a str> {
    let user_id = text.strip_prefix('@').and_then(|rest| rest.split_once(':'));
    match (user_id, own) {
        (None, _) => Ok(text),
        (Some((name, server)), Some(own)) if own.as_str() == server => Ok(name),
        (Some((_, server)), Some(own)) => {
            bail!("`{text}` is a user of `{server}`, but this server is `{own}`")
        }
        (Some((name, _)), None) => bail!(
            "set GATEHOUSE_SERVER_NAME, so that a complete user ID can be checked, or give only `{name}`"
        ),
    }
}

fn account_not_found(user: &Localpart) -> String {
    format!("there is no account `{}`", user.as_str())
}
