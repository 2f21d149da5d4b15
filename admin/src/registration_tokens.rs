//! Registration tokens: made, listed, revoked. A token is shown once, when it is made.

use std::{fmt::Write, time::Duration};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use serde_json::{Value, json};
use shared::{
    clock::Timestamp,
    config::parse_duration,
    secrets::KeyPurpose,
    store::{RegistrationToken, RegistrationTokenRow},
    uia::registration_token::is_lawful,
};

use crate::{Admin, Report};

const RANDOM_CHARS: usize = 24;
const ID_CHARS: usize = 12;
const LAST_CHARS: usize = 4;
/// A token shorter than this would be half told by its last four characters.
const MIN_CHARS: usize = 8;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token and show it, this once
    Create {
        /// How many accounts it is good for; any number without this
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        uses: Option<i64>,
        /// How long it is good, such as 12h or 7d; for ever without this
        #[arg(long, value_parser = lifetime)]
        expires_in: Option<Duration>,
        /// What you call it
        #[arg(long, default_value = "")]
        label: String,
        /// The token itself (A-Z a-z 0-9 . _ ~ -); a random one without this
        #[arg(long)]
        token: Option<String>,
    },
    /// List all tokens
    List,
    /// Revoke a token
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

fn lifetime(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a number with one of the units s, m, h, d".to_owned())
}

pub(crate) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<Report> {
    match command {
        Command::Create {
            uses,
            expires_in,
            label,
            token,
        } => {
            let expires = expires_in.map(|lifetime| admin.clock.now().plus(lifetime));
            create(admin, *uses, expires, label, token.as_deref()).await
        }
        Command::List => list(admin).await,
        Command::Revoke { id } => revoke(admin, id).await,
    }
}

async fn create(
    admin: &Admin,
    uses: Option<i64>,
    expires: Option<Timestamp>,
    label: &str,
    token: Option<&str>,
) -> anyhow::Result<Report> {
    let alphabet = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let token = token.map_or_else(|| admin.rng.text(alphabet, RANDOM_CHARS), str::to_owned);
    ensure!(
        is_lawful(&token),
        "a token has at most 64 characters of A-Z, a-z, 0-9, `.`, `_`, `~`, `-`"
    );
    ensure!(
        token.len() >= MIN_CHARS,
        "a token has at least {MIN_CHARS} characters, or it can be guessed"
    );
    let new = RegistrationToken {
        hash: admin
            .keys
            .hash(KeyPurpose::RegistrationToken, token.as_bytes()),
        label: label.to_owned(),
        last_four: token[token.len() - LAST_CHARS..].to_owned(),
        uses,
        expires,
        created: admin.clock.now(),
    };
    if !admin.store.create_registration_token(&new).await? {
        bail!("there is such a token already");
    }
    let id = id(&new.hash);
    let text = format!("{token}\n(id {id}; the token itself is not shown again)");
    let json = json!({ "id": id, "token": token, "label": label, "uses_allowed": uses, "expires": expires });
    Ok(Report::of(json, text))
}

async fn list(admin: &Admin) -> anyhow::Result<Report> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    for hash in admin.store.list_registration_tokens().await? {
        // One that was revoked in between is no longer there.
        if let Some(row) = admin.store.find_registration_token(&hash).await? {
            let good = row.is_good(admin.clock.now());
            let uses = row.token.uses.map_or("any number".to_owned(), |uses| {
                format!("{} of {uses} left", left(&row))
            });
            let state = if good { "good" } else { "not good any more" };
            writeln!(
                text,
                "{}  …{}  {uses}  {state}  {}",
                id(&row.token.hash),
                row.token.last_four,
                row.token.label
            )?;
            rows.push(json!({
                "id": id(&row.token.hash), "last_four": row.token.last_four, "label": row.token.label, "uses_allowed": row.token.uses,
                "left": row.token.uses.map(|_| left(&row)), "expires": row.token.expires, "created": row.token.created, "good": good,
            }));
        }
    }
    if rows.is_empty() {
        text.push_str("no registration tokens");
    }
    Ok(Report::of(Value::Array(rows), text.trim_end().to_owned()))
}

async fn revoke(admin: &Admin, wanted: &str) -> anyhow::Result<Report> {
    let hashes = admin.store.list_registration_tokens().await?;
    let hash = hashes
        .iter()
        .find(|hash| id(hash) == wanted)
        .context("there is no token with this id")?;
    admin.store.revoke_registration_token(hash).await?;
    Ok(Report::of(
        json!({ "revoked": wanted }),
        format!("revoked {wanted}"),
    ))
}

/// The beginning of the hash itself, behind the key's id: enough to tell tokens apart.
fn id(hash: &str) -> String {
    hash.split_once('.')
        .map_or(hash, |(_, hash)| hash)
        .chars()
        .take(ID_CHARS)
        .collect()
}

fn left(row: &RegistrationTokenRow) -> i64 {
    row.left.iter().map(|(_, left)| left).sum()
}
