//! Registration tokens: create, list, revoke. A token is shown only once, when it is created.

use std::{fmt::Write, time::Duration};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use serde_json::{Value, json};
use shared::{
    clock::Timestamp,
    config::{LONGEST_DURATION, parse_duration},
    secrets::KeyPurpose,
    store::{RegistrationToken, RegistrationTokenRow},
    uia::registration_token::is_valid,
};

use crate::{Admin, Report, ShownOnce, times::with_rfc3339};

const RANDOM_CHARS: usize = 24;
const ID_CHARS: usize = 12;
const LAST_CHARS: usize = 4;
/// The minimum length of a token. The list shows the last four characters, which must not be more than half
/// of the token.
const MIN_CHARS: usize = 8;

/// The commands for registration tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a token and show it once
    Create {
        /// The number of accounts that can be registered with the token; default: unlimited
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        uses: Option<i64>,
        /// The lifetime, such as 12h or 7d; default: unlimited
        #[arg(long, value_parser = lifetime)]
        expires_in: Option<Duration>,
        /// A label for the list
        #[arg(long, default_value = "", allow_hyphen_values = true)]
        label: String,
        /// The token itself (A-Z a-z 0-9 . _ ~ -); default: a random token
        #[arg(long, allow_hyphen_values = true)]
        token: Option<String>,
    },
    /// List all tokens
    List,
    /// Revoke a token
    Revoke {
        /// The ID of the token, as listed
        // An ID is base64url, so it may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

fn lifetime(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| {
        let days = LONGEST_DURATION.as_secs() / (24 * 60 * 60);
        format!("must be a number with one of the units s, m, h, d, from 1s to {days}d")
    })
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
        is_valid(&token),
        "a token may have at most 64 characters of A-Z, a-z, 0-9, `.`, `_`, `~`, `-`"
    );
    ensure!(
        token.len() >= MIN_CHARS,
        "a token must have at least {MIN_CHARS} characters, so that it cannot be guessed"
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
        bail!("this token already exists");
    }
    let id = id(&new.hash);
    let text = format!("{token}\n(ID {id}; the token itself is not shown again)");
    let json = json!({ "id": id, "token": token, "label": label, "uses_allowed": uses, "expires": expires });
    let report = Report::success(with_rfc3339(json), text);
    Ok(Report {
        shown_once: Some(ShownOnce::RegistrationToken(new.hash)),
        ..report
    })
}

async fn list(admin: &Admin) -> anyhow::Result<Report> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    for hash in admin.store.list_registration_tokens().await? {
        // A token that was revoked in the meantime is not found.
        if let Some(row) = admin.store.find_registration_token(&hash).await? {
            let valid = row.is_good(admin.clock.now());
            let uses = row.token.uses.map_or("unlimited".to_owned(), |uses| {
                format!("{} of {uses} left", left(&row))
            });
            let state = if valid { "valid" } else { "no longer valid" };
            writeln!(
                text,
                "{}  …{}  {uses}  {state}  {}",
                id(&row.token.hash),
                row.token.last_four,
                row.token.label
            )?;
            rows.push(json!({
                "id": id(&row.token.hash), "last_four": row.token.last_four, "label": row.token.label, "uses_allowed": row.token.uses,
                "left": row.token.uses.map(|_| left(&row)), "expires": row.token.expires, "created": row.token.created, "good": valid,
            }));
        }
    }
    if rows.is_empty() {
        text.push_str("no registration tokens");
    }
    Ok(Report::success(
        with_rfc3339(Value::Array(rows)),
        text.trim_end().to_owned(),
    ))
}

async fn revoke(admin: &Admin, wanted_id: &str) -> anyhow::Result<Report> {
    let hashes = admin.store.list_registration_tokens().await?;
    let hash = hashes
        .iter()
        .find(|hash| id(hash) == wanted_id)
        .context("there is no token with this ID")?;
    admin.store.revoke_registration_token(hash).await?;
    Ok(Report::success(
        json!({ "revoked": wanted_id }),
        format!("revoked {wanted_id}"),
    ))
}

/// The ID of a token: the first characters of its hash, without the key ID.
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
