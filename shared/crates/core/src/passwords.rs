//! Passwords: what is accepted, and how they are hashed.
//!
//! A password is NFKC-normalised, judged by zxcvbn and hashed with argon2id under an optional
//! pepper; the hash is a PHC string, so that it carries its own cost. Hashes that other servers made
//! are recognised by `stored`. Hashing leaves the async thread, and works in `memory` that it keeps. Nothing here
//! stores anything.

mod memory;
mod stored;

use std::sync::Arc;

pub use crate::password_hash::{HashCost, PasswordHash, Pepper, scheme};
use argon2::{
    Algorithm, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt},
};
use memory::Memory;
pub use stored::HashFormatError;
use stored::{Stored, is_bcrypt_of};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use crate::{clock::Timestamp, config::PasswordConfig, metrics, rng::Rng, secrets::Secret};

/// The longest password, in bytes as sent. zxcvbn looks at the first
/// few dozen characters, argon2 at all.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// How much of a password is judged. zxcvbn's work grows with the square of the length and, for
/// characters that may stand for letters, far beyond: a hundred of them took a second, on behalf
/// of anybody. A password whose first 32 characters are easy to guess is refused.
const SCORED_CHARS: usize = 32;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Why a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Longer than [`MAX_PASSWORD_BYTES`].
    #[error("the password is too long")]
    TooLong,
    /// There is nothing in it.
    #[error("the password is empty")]
    Empty,
    /// Its zxcvbn score is below the operator's.
    #[error("the password is too easy to guess")]
    Weak,
}

/// Whether a hash that another server made can be verified here, at a cost that anybody may cause.
pub fn check_hash_format(hash: &str) -> Result<(), HashFormatError> {
    Stored::parse(hash).map(|_| ())
}

/// Judges a new password before anything else is asked of the user (REG-24). `own` are the user's
/// own words, such as the name, which an attacker tries first.
pub fn validate(
    config: &PasswordConfig,
    password: &Secret,
    own: &[&str],
) -> Result<(), PasswordError> {
    let password = password.reveal();
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError::TooLong);
    }
    if config.min_score == 0 {
        return Ok(());
    }
    let scored: Secret = Secret::new(
        normalized(password)
            .reveal()
            .chars()
            .take(SCORED_CHARS)
            .collect(),
    );
    let score = u8::from(zxcvbn::zxcvbn(scored.reveal(), own).score());
    if score < config.min_score {
        Err(PasswordError::Weak)
    } else {
        Ok(())
    }
}

/// The form that is judged and hashed: compatible spellings of one password are one password.
fn normalized(password: &str) -> Secret {
    Secret::new(password.nfkc().collect())
}

/// Hashes passwords, as many at a time as there are processors: more would only take memory.
#[derive(Debug)]
pub struct Hasher {
    worker: Arc<Worker>,
    permits: Arc<Semaphore>,
}

/// What hashing takes.
#[derive(Debug)]
struct Worker {
    config: PasswordConfig,
    memory: Memory,
}

/// Hashing failed: out of memory, or a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

impl HashError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Hasher {
    /// A hasher with the operator's cost and pepper.
    pub fn new(config: PasswordConfig) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            worker: Arc::new(Worker::new(config)),
            permits: Arc::new(Semaphore::new(processors)),
        }
    }

    /// Hashes a new password, off the async thread.
    pub async fn hash(&self, password: &Secret, rng: &dyn Rng) -> Result<PasswordHash, HashError> {
        let salt = rng.bytes::<SALT_BYTES>();
        let password = password.clone();
        self.work(move |worker| worker.hash(&password, &salt)).await
    }

    /// Whether this is the password of that hash. Without a hash, of an account that is not there
    /// or has no password, nothing is right, after the same work (UIA-46).
    pub async fn verify(
        &self,
        password: &Secret,
        hash: Option<PasswordHash>,
    ) -> Result<PasswordCheck, HashError> {
        let password = password.clone();
        self.work(move |worker| match hash {
            Some(hash) => worker.verify(&password, &hash),
            None => worker.hash_decoy(&password),
        })
        .await
    }

    /// Has a thread of its own do it; whoever waits may go, the permit goes with the work.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Worker) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(HashError::of)?;
        let worker = Arc::clone(&self.worker);
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&worker);
            drop(permit);
            done
        });
        metrics::hashing(work).await.map_err(HashError::of)?
    }
}

/// What a password is to a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordCheck {
    /// Another's.
    Wrong,
    /// Its own.
    Right,
    /// Its own, and the hash is not as new ones are: cost or pepper have changed since.
    Outdated,
}

impl Worker {
    fn new(config: PasswordConfig) -> Self {
        Self {
            memory: Memory::new(&config.cost.0),
            config,
        }
    }

    fn hash(&self, password: &Secret, salt: &[u8]) -> Result<PasswordHash, HashError> {
        let (cost, pepper) = (self.config.cost.0.clone(), self.config.pepper.as_ref());
        let own = Phc {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&cost).map_err(HashError::of)?,
            salt: Some(Salt::new(salt).map_err(HashError::of)?),
            hash: Some(self.argon2id(password.reveal(), salt, cost, pepper, HASH_BYTES)?),
        };
        Ok(PasswordHash {
            phc: own.to_string(),
            pepper: pepper.map(|pepper| pepper.id.clone()),
            set: Timestamp::default(),
        })
    }

    /// Not right, after the same work.
    fn hash_decoy(&self, password: &Secret) -> Result<PasswordCheck, HashError> {
        self.hash(password, &[0; SALT_BYTES])
            .map(|_| PasswordCheck::Wrong)
    }

    fn verify(&self, password: &Secret, hash: &PasswordHash) -> Result<PasswordCheck, HashError> {
        // A password too long to have been set is not worth hashing, but takes as long as any other.
        let text: String = password.reveal().chars().take(MAX_PASSWORD_BYTES).collect();
        let cut = text.len() < password.reveal().len();
        let pepper = match &hash.pepper {
            None => None,
            Some(id) => {
                let Some(pepper) = self.config.peppers().find(|pepper| pepper.id == *id) else {
                    // Lost, and every such password with it.
                    tracing::error!("a password's pepper is not known");
                    return self.hash_decoy(password);
                };
                Some(pepper)
            }
        };
        let (phc, params) = match Stored::parse(&hash.phc) {
            Ok(Stored::Argon2(phc, params)) => (phc, params),
            Ok(Stored::Bcrypt(hash)) => {
                let right = matches_any_form(&text, pepper, |bytes| is_bcrypt_of(hash, bytes));
                return Ok(imported_hash_result(right && !cut));
            }
            Ok(Stored::Pbkdf2(hash)) => {
                let right = matches_any_form(&text, pepper, |bytes| hash.is_of(bytes));
                return Ok(imported_hash_result(right && !cut));
            }
            Err(fault) => {
                let fault = fault.to_string();
                tracing::error!(fault, "a stored password cannot be verified");
                return self.hash_decoy(password);
            }
        };
        let (Some(salt), Some(expected)) = (&phc.salt, &phc.hash) else {
            return self.hash_decoy(password);
        };
        let found = self.argon2id(&text, salt, params.clone(), pepper, expected.len())?;
        // `Output` compares in constant time.
        let right = found == *expected && !cut;
        let own = &self.config.cost.0;
        let same_cost = (params.m_cost(), params.t_cost(), params.p_cost())
            == (own.m_cost(), own.t_cost(), own.p_cost());
        let same_pepper =
            hash.pepper == self.config.pepper.as_ref().map(|pepper| pepper.id.clone());
        Ok(match (right, same_cost && same_pepper) {
            (false, _) => PasswordCheck::Wrong,
            (true, true) => PasswordCheck::Right,
            (true, false) => PasswordCheck::Outdated,
        })
    }

    fn argon2id(
        &self,
        password: &str,
        salt: &[u8],
        cost: Params,
        pepper: Option<&Pepper>,
        bytes: usize,
    ) -> Result<Output, HashError> {
        let pepper = pepper.map_or(&[][..], |pepper| pepper.secret.reveal());
        let mut out = [0; Output::MAX_LENGTH];
        let out = out
            .get_mut(..bytes)
            .ok_or_else(|| HashError::of("it is too long"))?;
        let password = normalized(password);
        self.memory
            .hash(cost, pepper, password.reveal().as_bytes(), salt, out)?;
        Output::new(out).map_err(HashError::of)
    }
}

/// What is said of another server's hash: ours is always better.
const fn imported_hash_result(right: bool) -> PasswordCheck {
    if right {
        PasswordCheck::Outdated
    } else {
        PasswordCheck::Wrong
    }
}

/// Whether a password is the one as other servers hashed it, the pepper at its end: normalised, or as
/// it was typed, which not all of them told apart.
fn matches_any_form(typed: &str, pepper: Option<&Pepper>, is: impl Fn(&[u8]) -> bool) -> bool {
    let normalized = normalized(typed);
    let end = pepper.map_or(&[][..], |pepper| pepper.secret.reveal());
    let with_end = |text: &str| Secret::new([text.as_bytes(), end].concat());
    is(with_end(normalized.reveal()).reveal())
        || normalized.reveal() != typed && is(with_end(typed).reveal())
}

#[cfg(test)]
mod tests;
