//! Users: what is stored of one, and what an operator does to an account.

mod deactivate;
mod import;
mod record;
mod reset;
mod status;

use anyhow::Context;
use clap::Subcommand;
use shared::{ids::Localpart, store::Moderation};

use crate::{Admin, Report};

/// How often a change is made again on top of somebody else's.
const TRIES: usize = 5;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show an account: its status, addresses, devices, bindings
    Show {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Write all that is stored of a user as JSON, without secrets and hashes
    Export {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Let nobody use an account until it is unlocked; its devices stay logged in
    Lock {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Undo a lock; who was suspended before it is suspended again
    Unlock {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Let a user do little but log in and out, and leave
    Suspend {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Undo a suspension
    Unsuspend {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Set a random password and show it, this once; every device is logged out
    ResetPassword {
        /// The user's name, as it stands between `@` and `:`
        name: String,
    },
    /// Make a link by which a user with an e-mail address confirms that they want a new password
    ///
    /// The password itself is set with the request that is printed beside it: no page of this server
    /// does that. Where the user gets mail, "forgot password" in their client does all of it; where
    /// there is no address, `reset-password` does.
    ResetLink {
        /// The user's name, as it stands between `@` and `:`
        name: String,
        /// Where clients reach this service; without it `GATEHOUSE_PUBLIC_URL`
        #[arg(long)]
        public_url: Option<String>,
    },
    /// Import users from another server; docs/importing.md says what the file is like
    Import(import::Import),
    /// End an account for good: its devices, password and addresses go, its name stays taken
    Deactivate {
        /// The user's name, as it stands between `@` and `:`
        name: String,
        /// Note that nothing is to be kept that need not be, as its user might have asked
        #[arg(long)]
        erase: bool,
        /// Do not ask whether it is meant
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

/// The name as it is stored. A whole user ID is not taken apart: which server is meant is not known
/// here.
fn localpart(name: &str) -> anyhow::Result<Localpart> {
    Localpart::stored(name).with_context(|| {
        format!("`{name}` is no user's name: give what stands between `@` and `:`, in lower case")
    })
}

fn nobody(user: &Localpart) -> String {
    format!("there is no account `{}`", user.as_str())
}
