//! Users: the stored data of a user, and the operator's changes to an account.

mod deactivate;
mod import;
mod record;
mod reset;
mod status;

use anyhow::Context;
use clap::Subcommand;
use shared::{ids::Localpart, store::Moderation};

use crate::{Admin, Report};

/// The maximum number of attempts to change an account. An attempt fails if the account has changed since it was
/// read.
const MAX_ATTEMPTS: usize = 5;

/// The commands for users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show an account: its status, addresses, devices and bindings
    Show {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Print everything that is stored about a user as JSON, without secrets and hashes
    Export {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Lock an account: it cannot be used until it is unlocked; its devices stay logged in
    Lock {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Undo a lock; an account that was suspended before is suspended again
    Unlock {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Suspend an account: its user can do little except log in, log out and deactivate it
    Suspend {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Undo a suspension
    Unsuspend {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Set a random password and show it once; every device is logged out
    ResetPassword {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
    },
    /// Make a link with which a user with an e-mail address confirms a password reset
    ///
    /// The link only validates the address. The printed request then sets the password. If the user can
    /// receive e-mail, "forgot password" in the client does both. If the account has no e-mail address,
    /// use `reset-password`.
    ResetLink {
        /// The localpart: the part of the user ID between `@` and `:`
        name: String,
        /// The URL at which clients reach this service; default: `GATEHOUSE_PUBLIC_URL`
        #[arg(long)]
        public_url: Option<String>,
    },
    /// Import users from another server; docs/importing.md describes the file
    Import(import::Import),
    /// Deactivate an account permanently: delete its devices, password and addresses; its username stays taken
    Deactivate {
        /// The localpart: the part of the user ID between `@` and `:`
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
    match command {
        Command::Show { name } => record::show(admin, &localpart(name)?).await,
        Command::Export { name } => record::export(admin, &localpart(name)?).await,
        Command::Lock { name } => status::change(admin, name, Moderation::Lock).await,
        Command::Unlock { name } => status::change(admin, name, Moderation::Unlock).await,
        Command::Suspend { name } => status::change(admin, name, Moderation::Suspend).await,
        Command::Unsuspend { name } => status::change(admin, name, Moderation::Unsuspend).await,
        Command::ResetPassword { name } => reset::password(admin, &localpart(name)?).await,
        Command::ResetLink { name, public_url } => {
            reset::link(admin, &localpart(name)?, public_url.as_deref()).await
        }
        Command::Import(import) => import::run(admin, import).await,
        Command::Deactivate { name, erase, yes } => {
            deactivate::run(admin, &localpart(name)?, *erase, *yes).await
        }
    }
}

/// Parses a username in its stored form. A complete user ID is rejected, because the server name is
/// not a required setting of the command.
fn localpart(name: &str) -> anyhow::Result<Localpart> {
    Localpart::stored(name).with_context(|| {
        format!("`{name}` is not a username; give the part of the user ID between `@` and `:`, in lower case")
    })
}

fn account_not_found(user: &Localpart) -> String {
    format!("there is no account `{}`", user.as_str())
}
