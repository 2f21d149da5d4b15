//! Who somebody says they are, and whether they know the password: for logging in, and for the
//! stage that asks for a password.
//!
//! Whoever is named, the same is read, hashed and charged: a name that nobody has, an address that
//! nobody has, an account without a password and a wrong password are one answer (UIA-45, UIA-46).
//! Guesses are charged before they are hashed. Knows nothing of what follows.

mod guess;

pub use guess::Guess;

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

/// Whom a request names.
#[derive(Clone, PartialEq, Eq)]
pub enum Identifier {
    /// A user of this server, whether there is one of that name or not.
    User(Localpart),
    /// Whoever has this address.
    ThreePid(ThreePid),
    /// Nobody that there could be: another server's user, an address that is none. With it, what
    /// was typed.
    Nobody(String),
}

crate::opaque_debug!(Identifier);

/// Somebody whose password was right.
#[derive(Debug)]
pub struct Verified {
    /// Who.
    pub localpart: Localpart,
    /// Their account.
    pub account: AccountRow,
    /// When the password was set.
    pub password_set: Timestamp,
    /// The stored hash, if a new one would be another (its cost or pepper have changed).
    pub outdated: Option<String>,
}

/// Why nobody is verified.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nobody, or another password.
    #[error("the credentials are wrong")]
    Wrong,
    /// Too many guesses.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Hashing failed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CredentialError> for MatrixError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Wrong => {
                Self::new(ErrorCode::Forbidden, "The user or the password is wrong")
            }
            CredentialError::Limit(error) => error.into(),
            CredentialError::Hash(error) => error.into(),
            CredentialError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(CredentialError);

impl Identifier {
    /// Reads `identifier`, or the members that stood in its place once (UIA-41 to UIA-44); `None`
    /// if nobody is named.
    pub fn parse(app: &App, body: &Body) -> Result<Option<Self>, MatrixError> {
        let given = body.optional::<serde_json::Map<String, serde_json::Value>>("identifier")?;
        let Some(given) = given else {
            if let Some(user) = body.optional::<String>("user")? {
                return Ok(Some(Self::user(app, &user)));
            }
            return Self::address(body);
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
            // The specification's own example has no type.
            kind @ (Some("m.id.thirdparty") | None) => Self::address(&members)?
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
                "`identifier` is of a type that is not known",
            )),
        }
    }

    /// A full user ID or a localpart (UIA-41).
    fn user(app: &App, text: &str) -> Self {
        let server = &app.config.server_name;
        let local = match text.strip_prefix('@') {
            None => Some(text),
            Some(rest) => rest
                .split_once(':')
                .filter(|(_, host)| *host == server.as_str())
                .map(|(local, _)| local),
        };
        local
            .and_then(|local| Localpart::parse(local, server).ok())
            .map_or_else(|| Self::Nobody(text.to_owned()), Self::User)
    }

    fn address(members: &Body) -> Result<Option<Self>, MatrixError> {
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
        let found = Medium::parse(&medium).and_then(|medium| ThreePid::parse(medium, &address));
        Ok(Some(found.map_or(Self::Nobody(address), Self::ThreePid)))
    }

    /// A number as dialled from a country (UIA-43), wherever text messages go.
    fn phone(country: &str, typed: &str) -> Self {
        threepids::canonical_phone(country, typed).map_or_else(
            || Self::Nobody(format!("{country} {typed}")),
            Self::ThreePid,
        )
    }

    /// By which its guesses are counted.
    fn key(&self) -> String {
        match self {
            Self::User(name) => format!("user {}", name.as_str()),
            Self::ThreePid(threepid) => format!("{} {}", threepid.medium, threepid.address),
            Self::Nobody(text) => format!("nobody {text}"),
        }
    }
}

/// Whether somebody knows the password of whom they name. One hash, whoever that is.
pub async fn verify(
    app: &App,
    who: &Identifier,
    password: &Secret,
    network: ClientNetwork,
) -> Result<Verified, CredentialError> {
    let (verified, guess) = check(app, who, password, network, None).await?;
    guess.refund(app).await;
    Ok(verified)
}

/// The same for who wants to log in, which has a budget of its own. What the guess cost is for the
/// caller to give back, beside what else there is to write.
pub async fn verify_to_log_in(
    app: &App,
    who: &Identifier,
    password: &Secret,
    network: ClientNetwork,
) -> Result<(Verified, Guess), CredentialError> {
    check(app, who, password, network, Some(Limit::Login)).await
}

async fn check(
    app: &App,
    who: &Identifier,
    password: &Secret,
    network: ClientNetwork,
    entry: Option<Limit>,
) -> Result<(Verified, Guess), CredentialError> {
    let key = who.key();
    let (spent, found) = tokio::join!(guess::charge(app, &key, network, entry), find(app, who));
    let (localpart, facts, everywhere) = found?;
    let guess = Guess::new(app, &localpart, network, (spent, everywhere)).await?;
    let usable = facts
        .as_ref()
        .filter(|facts| facts.account.status != AccountStatus::Deactivated);
    let hash = usable.and_then(|facts| facts.password.clone());
    let stored = hash.as_ref().map(|hash| hash.phc.clone());
    let password_set = hash.as_ref().map(|hash| hash.set).unwrap_or_default();
    let verdict = app.hasher.verify(password, hash).await?;
    let (Some(facts), true) = (facts, verdict != PasswordCheck::Wrong) else {
        metrics::count(Metric::LoginsFailed);
        return Err(guess.wrong());
    };
    let verified = Verified {
        localpart,
        account: facts.account,
        password_set,
        outdated: stored.filter(|_| verdict == PasswordCheck::Outdated),
    };
    Ok((verified, guess))
}

/// Whether the members say who it is and what their password is: anything less is refused without a
/// hash, and costs no guess.
pub fn is_guess(app: &App, members: &Body) -> bool {
    matches!(members.optional::<String>("password"), Ok(Some(_)))
        && matches!(Identifier::parse(app, members), Ok(Some(_)))
}

/// Charges a guess at the password of a user whose token says who they are, so that it can be
/// charged beside the read that finds the password. Guesses of strangers do not count against who
/// has a token.
pub async fn charge_own(
    app: &App,
    user: &Localpart,
    network: ClientNetwork,
) -> Result<(), LimitError> {
    limits::spend_all(app, &guess::own(user, network)).await
}

/// Gives that back, if nothing has been hashed after all.
pub async fn refund_own(app: &App, user: &Localpart, network: ClientNetwork) {
    limits::refund_all(app, &guess::own(user, network)).await;
}

/// Whether this is the password of that user; the guess has been charged by its network. One hash,
/// whatever is stored, and beside it the charge for all networks together: only now is it certain
/// that the token is worth something, so that nobody without one spends what its owner needs. Gives
/// what is to be given back, since a right guess is no guess.
pub async fn verify_own(
    app: &App,
    user: &Localpart,
    hash: Option<PasswordHash>,
    password: &Secret,
    network: ClientNetwork,
) -> Result<(Limit, String), CredentialError> {
    let everywhere = (Limit::TokenHolderPasswordAttempts, user.as_str());
    let (charged, verdict) = tokio::join!(
        limits::spend(app, everywhere.0, everywhere.1),
        app.hasher.verify(password, hash)
    );
    // Said before what the hash says: that would be worth another guess.
    charged?;
    match verdict? {
        PasswordCheck::Wrong => {
            metrics::count(Metric::LoginsFailed);
            Err(CredentialError::Wrong)
        }
        PasswordCheck::Right | PasswordCheck::Outdated => {
            // Losing it costs one guess; it is no reason to fail.
            let _ = limits::refund(app, everywhere.0, everywhere.1).await;
            Ok(guess::from(&Identifier::User(user.clone()).key(), network))
        }
    }
}

/// Remembers that `user` has been recognised as the account's owner from this network: strangers
/// keep them from logging in there no more. Losing that is no reason to fail.
pub async fn remember(app: &App, user: &Localpart, network: ClientNetwork) {
    let _ = limits::remember_network(app, guess::whom(user, network)).await;
}

/// Who is named, what is stored of them, and whether they may be guessed at from anywhere.
type Found = (Localpart, Option<LoginFacts>, Result<(), LimitError>);

/// Reads the account that is named. Where nobody is, a name that nobody has is read in their place,
/// and nothing is found. Beside it a guess about the account is charged, for all networks together:
/// by its name and not by what it was called, or each of its addresses would be worth as many guesses.
async fn find(app: &App, who: &Identifier) -> Result<Found, StoreError> {
    let name = match who {
        Identifier::User(name) => Some(name.clone()),
        Identifier::ThreePid(threepid) => app.store.find_owner(threepid).await?,
        Identifier::Nobody(_) => None,
    };
    let is_real = name.is_some();
    let name = name.unwrap_or_else(|| decoy(app, who));
    let (everywhere, facts) = tokio::join!(
        limits::spend(app, Limit::AccountPasswordAttempts, name.as_str()),
        app.store.find_login(&name)
    );
    Ok((name, facts?.filter(|_| is_real), everywhere))
}

/// A name that nobody can have taken, to read in the place of none.
fn decoy(app: &App, who: &Identifier) -> Localpart {
    let hash = sha256_base64(who.key().as_bytes()).to_ascii_lowercase();
    let text = format!("_{}", hash.get(..20).unwrap_or_default());
    Localpart::parse(&text, &app.config.server_name).unwrap_or_else(|_| Localpart::shortest())
}
