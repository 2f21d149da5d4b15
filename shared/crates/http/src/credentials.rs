//! Identifiers and passwords: the password check of a login and of the password stage.
//!
//! Every identifier causes the same reads, hashes and charges. An unknown name, an unknown 3PID, an
//! account without a password, a wrong password and an attempt beyond the limit of the account produce the same
//! response (UIA-45, UIA-46). The limits of the client's network are charged before the password is hashed.

mod attempt;

pub use attempt::PasswordAttempt;

use attempt::AccountLimit;

use crate::{
    app::App,
    clock::Timestamp,
    error::{ErrorCode, MatrixError, reject_as_error},
    http::{Body, ClientNetwork},
    ids::Localpart,
    limits::{self, Limit, LimitError},
    metrics::{self, Metric},
    passwords::{HashError, PasswordCheck, PasswordHash},
    secrets::{Secret, sha256_base64},
    store::{AccountRow, AccountStatus, LoginFacts, StoreError},
    threepids::{self, Medium, ThreePid},
};

/// The message for wrong credentials. It mentions the limit of the account, because a correct password beyond that
/// limit gets the same response.
pub const WRONG: &str = "The user or the password is wrong, or there were too many attempts for this account. \
    Try again later, or reset the password";

/// The account that a request names.
#[derive(Clone, PartialEq, Eq)]
pub enum Identifier {
    /// A username of this server, whether an account has it or not.
    User(Localpart),
    /// The account that has this 3PID.
    ThreePid(ThreePid),
    /// Text that identifies no account of this server: a user of another server or an invalid 3PID.
    Unknown(String),
}

crate::opaque_debug!(Identifier);

/// An account whose password was verified.
#[derive(Debug)]
pub struct Verified {
    /// The localpart of the user ID.
    pub localpart: Localpart,
    /// The account as it was read.
    pub account: AccountRow,
    /// The time of the last password change.
    pub password_changed_at: Timestamp,
    /// The stored hash, if its cost or pepper is outdated.
    pub outdated: Option<String>,
}

/// The reason why no account was verified.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The account or the password is wrong.
    #[error("the credentials are wrong")]
    Wrong,
    /// The attempt exceeds a rate limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Hashing failed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CredentialError> for MatrixError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Wrong => Self::new(ErrorCode::Forbidden, WRONG),
            CredentialError::Limit(error) => error.into(),
            CredentialError::Hash(error) => error.into(),
            CredentialError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(CredentialError);

impl Identifier {
    /// Reads `identifier`, or the deprecated members in its place (UIA-41 to UIA-44). Returns `None` if the
    /// body has neither.
    pub fn parse(app: &App, body: &Body) -> Result<Option<Self>, MatrixError> {
        let given = body.optional::<serde_json::Map<String, serde_json::Value>>("identifier")?;
        let Some(given) = given else {
            if let Some(user) = body.optional::<String>("user")? {
                return Ok(Some(Self::user(app, &user)));
            }
            return Self::threepid(body);
        };
        let members = Body::from(given);
        let missing = |name: &str| {
            MatrixError::new(
                ErrorCode::MissingParam,
                format!("`{name}` is missing from `identifier`"),
            )
        };
        match members.optional::<String>("type")?.as_deref() {
            Some("m.id.user") => {
                let user = members.optional::<String>("user")?;
                Ok(Some(Self::user(app, &user.ok_or_else(|| missing("user"))?)))
            }
            // One example in the specification has no `type`.
            kind @ (Some("m.id.thirdparty") | None) => Self::threepid(&members)?
                .ok_or_else(|| missing(kind.map_or("type", |_| "medium")))
                .map(Some),
            Some("m.id.phone") => {
                let country = members.optional::<String>("country")?;
                let country = country.ok_or_else(|| missing("country"))?;
                let phone = match members.optional::<String>("phone")? {
                    Some(phone) => phone,
                    None => members
                        .optional::<String>("number")?
                        .ok_or_else(|| missing("phone"))?,
                };
                Ok(Some(Self::phone(&country, &phone)))
            }
            Some(_) => Err(MatrixError::new(
                ErrorCode::InvalidParam,
                "The `type` of `identifier` is unknown",
            )),
        }
    }

    /// Parses the text that a user enters in a login form (OA-58): a username or a user ID, an e-mail address, or a phone
    /// number that starts with `+` and its calling code.
    pub fn typed(app: &App, text: &str) -> Self {
        let text = threepids::trim(text);
        let is_phone = |rest: &str| {
            let is_allowed = |c: char| c.is_ascii_digit() || " -().".contains(c);
            rest.chars().all(is_allowed) && rest.chars().any(|c| c.is_ascii_digit())
        };
        let medium = match text.strip_prefix('+') {
            Some(rest) if is_phone(rest) => Medium::Msisdn,
            _ if !text.starts_with('@') && text.contains('@') => Medium::Email,
            _ => return Self::user(app, text),
        };
        threepids::parse_named(medium, text).map_or(Self::Unknown(text.to_owned()), Self::ThreePid)
    }

    /// Parses a full user ID or a localpart (UIA-41).
    fn user(app: &App, text: &str) -> Self {
        let server = &app.config.server_name;
        let text = threepids::trim(text);
        let local = match text.strip_prefix('@') {
            None => Some(text),
            Some(rest) => rest
                .split_once(':')
                .filter(|(_, host)| *host == server.as_str())
                .map(|(local, _)| local),
        };
        local
            .and_then(|local| Localpart::parse(local, server).ok())
            .map_or_else(|| Self::Unknown(text.to_owned()), Self::User)
    }

    fn threepid(members: &Body) -> Result<Option<Self>, MatrixError> {
        let (medium, address) = (
            members.optional::<String>("medium")?,
            members.optional::<String>("address")?,
        );
        let missing =
            |name: &str| MatrixError::new(ErrorCode::MissingParam, format!("`{name}` is missing"));
        let (medium, address) = match (medium, address) {
            (None, None) => return Ok(None),
            (medium, address) => (
                medium.ok_or_else(|| missing("medium"))?,
                address.ok_or_else(|| missing("address"))?,
            ),
        };
        let found =
            Medium::parse(&medium).and_then(|medium| threepids::parse_named(medium, &address));
        Ok(Some(found.map_or(Self::Unknown(address), Self::ThreePid)))
    }

    /// Parses a phone number as dialled in `country` (UIA-43), even if this server sends no text messages to that
    /// country.
    fn phone(country: &str, typed: &str) -> Self {
        threepids::canonical_phone(country, typed).map_or_else(
            || Self::Unknown(format!("{country} {typed}")),
            Self::ThreePid,
        )
    }

    /// The name of the identifier's rate-limit buckets.
    fn key(&self) -> String {
        match self {
            Self::User(name) => format!("user {}", name.as_str()),
            Self::ThreePid(threepid) => format!("{} {}", threepid.medium, threepid.address),
            Self::Unknown(text) => format!("nobody {text}"),
        }
    }
}

/// Verifies the password of an account. Computes one hash for every identifier.
pub async fn verify(
    app: &App,
    identifier: &Identifier,
    password: &Secret,
    network: ClientNetwork,
) -> Result<Verified, CredentialError> {
    let (verified, attempt) = check(app, identifier, password, network, None).await?;
    attempt.refund(app).await;
    Ok(verified)
}

/// Verifies the password of a login, which has an additional rate limit. The caller refunds the attempt,
/// concurrently with its other writes.
pub async fn verify_login(
    app: &App,
    identifier: &Identifier,
    password: &Secret,
    network: ClientNetwork,
) -> Result<(Verified, PasswordAttempt), CredentialError> {
    check(app, identifier, password, network, Some(Limit::Login)).await
}

async fn check(
    app: &App,
    identifier: &Identifier,
    password: &Secret,
    network: ClientNetwork,
    endpoint: Option<Limit>,
) -> Result<(Verified, PasswordAttempt), CredentialError> {
    let key = identifier.key();
    let (by_network, found) = tokio::join!(
        attempt::charge(app, &key, network, endpoint),
        find(app, identifier, network)
    );
    // The response to a request beyond these limits is the same for every account, and nothing else is charged.
    let by_network = by_network?;
    let Found {
        localpart,
        facts,
        limit,
    } = found?;
    let usable = facts
        .as_ref()
        .filter(|facts| facts.account.status != AccountStatus::Deactivated);
    let hash = usable.and_then(|facts| facts.password.clone());
    let stored = hash.as_ref().map(|hash| hash.phc.clone());
    let password_changed_at = hash
        .as_ref()
        .map(|hash| hash.changed_at)
        .unwrap_or_default();
    // The hash takes longer than the charge, so the time of the charge cannot be observed.
    let (by_account, outcome) = tokio::join!(limit.charge(app), app.hasher.verify(password, hash));
    let (by_account, outcome) = (by_account?, outcome?);
    let (Some(facts), Some(mut spent), true) = (facts, by_account, outcome != PasswordCheck::Wrong)
    else {
        metrics::count(Metric::LoginsFailed);
        return Err(CredentialError::Wrong);
    };
    spent.push(by_network);
    let attempt = PasswordAttempt::new(spent, network);
    let verified = Verified {
        localpart,
        account: facts.account,
        password_changed_at,
        outdated: stored.filter(|_| outcome == PasswordCheck::Outdated),
    };
    Ok((verified, attempt))
}

/// Replaces a password hash that differs in algorithm, cost or pepper from a new one, after a login. A failure must not
/// fail the login.
pub async fn upgrade_hash(app: &App, verified: &Verified, password: &Secret) {
    let Some(outdated) = &verified.outdated else {
        return;
    };
    if let Ok(hash) = app.hasher.hash(password, &*app.rng).await {
        let store = &app.store;
        let _ = store
            .replace_password_hash(&verified.localpart, outdated, &hash)
            .await;
    }
}

/// Whether the members contain an identifier and a password. If either is missing, the stage is rejected before
/// hashing and no attempt is charged.
pub fn has_credentials(app: &App, members: &Body) -> bool {
    matches!(members.optional::<String>("password"), Ok(Some(_)))
        && matches!(Identifier::parse(app, members), Ok(Some(_)))
}

/// Charges a password attempt for the user of the access token, concurrently with the read of the password hash.
/// Attempts without an access token do not use up the quota of the token holder.
pub async fn charge_token_holder(
    app: &App,
    user: &Localpart,
    network: ClientNetwork,
) -> Result<(), LimitError> {
    limits::consume_all(app, &attempt::of_token_holder(user, network)).await
}

/// Refunds the charge of [`charge_token_holder`] if nothing was hashed.
pub async fn refund_token_holder(app: &App, user: &Localpart, network: ClientNetwork) {
    limits::refund_all(app, &attempt::of_token_holder(user, network)).await;
}

/// Verifies the password of the access token's user, after [`charge_token_holder`]. Computes one hash, even if no
/// hash is stored. The limit for all networks together is charged concurrently with the hash and not earlier: the
/// token is valid at this point, so a client without a valid token cannot use up the quota of the account owner. Each
/// password has a separate quota: after a password reset, the guesses of an attacker with a stolen token do not keep the
/// account owner from using the new password.
/// Returns the charge to refund, because a correct password is not counted.
pub async fn verify_token_holder(
    app: &App,
    user: &Localpart,
    hash: Option<PasswordHash>,
    password: &Secret,
    network: ClientNetwork,
) -> Result<(Limit, String), CredentialError> {
    let changed_at = hash.as_ref().map(|hash| hash.changed_at);
    let limit = Limit::TokenHolderPasswordAttempts;
    let key = format!("{} {}", user.as_str(), changed_at.unwrap_or_default().0);
    let (charged, outcome) = tokio::join!(
        limits::consume(app, limit, &key),
        app.hasher.verify(password, hash)
    );
    // The limit takes precedence over the outcome of the hash: the outcome would disclose the result of an attempt
    // beyond the limit.
    charged?;
    match outcome? {
        PasswordCheck::Wrong => {
            metrics::count(Metric::LoginsFailed);
            Err(CredentialError::Wrong)
        }
        PasswordCheck::Right | PasswordCheck::Outdated => {
            // A lost refund costs one attempt, so the error is ignored.
            let _ = limits::refund(app, limit, &key).await;
            Ok(attempt::by_network(
                &Identifier::User(user.clone()).key(),
                network,
            ))
        }
    }
}

/// Marks the network as one that the account owner has used. Password attempts from other networks then do not lock
/// the account owner out on this network. A failure is ignored.
pub async fn trust_network(app: &App, user: &Localpart, network: ClientNetwork) {
    let _ = limits::mark_known_network(app, user.as_str(), network).await;
}

/// The account that an identifier names.
struct Found {
    /// The localpart of the account, or a decoy that no account can have.
    localpart: Localpart,
    /// The account and its password hash.
    facts: Option<LoginFacts>,
    /// The limit of attempts for all networks together.
    limit: AccountLimit,
}

/// Reads the account that the identifier names. If there is no such account, reads a decoy name instead and finds
/// nothing. The limit for all networks together belongs to the account's localpart: if each 3PID of the account had a
/// separate limit, each would allow as many attempts again.
async fn find(
    app: &App,
    identifier: &Identifier,
    network: ClientNetwork,
) -> Result<Found, StoreError> {
    let name = match identifier {
        Identifier::User(name) => Some(name.clone()),
        Identifier::ThreePid(threepid) => app.store.find_owner(threepid).await?,
        Identifier::Unknown(_) => None,
    };
    let (is_real, account) = match &name {
        Some(name) => (true, name.as_str().to_owned()),
        None => (false, identifier.key()),
    };
    let localpart = name.unwrap_or_else(|| decoy(app, identifier));
    let (limit, facts) = AccountLimit::read(app, &localpart, account, network).await?;
    Ok(Found {
        localpart,
        facts: facts.filter(|_| is_real),
        limit,
    })
}

/// A localpart that no account can have. It is read if the identifier names no account.
fn decoy(app: &App, identifier: &Identifier) -> Localpart {
    let hash = sha256_base64(identifier.key().as_bytes()).to_ascii_lowercase();
    let text = format!("_{}", hash.get(..20).unwrap_or_default());
    Localpart::parse(&text, &app.config.server_name).unwrap_or_else(|_| Localpart::shortest())
}
