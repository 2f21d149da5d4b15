//! Passwords: the rules for new passwords, hashing and verification.
//!
//! A password is NFKC-normalised, scored by zxcvbn and hashed with argon2id and an optional pepper. The hash is
//! a PHC string, so it contains its own cost. `stored` parses the hashes that other servers made. Hashing runs
//! on a blocking thread, in the buffers that `memory` keeps. This module stores nothing.

mod memory;
mod stored;
mod strength;

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

/// The maximum length of a password, in bytes as sent. argon2 processes all of it, zxcvbn only a part
/// (`strength`).
pub const MAX_PASSWORD_BYTES: usize = 512;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The reason why a new password is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The password is longer than [`MAX_PASSWORD_BYTES`].
    #[error("the password is too long")]
    TooLong,
    /// The password is empty.
    #[error("the password is empty")]
    Empty,
    /// The zxcvbn score is below the minimum of the configuration.
    #[error("the password is too easy to guess")]
    Weak,
}

/// Checks whether a hash that another server made can be verified here, at an acceptable cost. Every login with the
/// hash causes that cost.
pub fn check_hash_format(hash: &str) -> Result<(), HashFormatError> {
    Stored::parse(hash).map(|_| ())
}

/// Checks a new password, before the client has to complete any stage (REG-24). `own` contains strings related
/// to the user, such as the name, which an attacker tries first.
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
    if strength::score(&normalized(password), own) < config.min_score {
        Err(PasswordError::Weak)
    } else {
        Ok(())
    }
}

/// The NFKC form of a password, which is scored and hashed: compatible Unicode spellings are the same password.
fn normalized(password: &str) -> Secret {
    Secret::new(password.nfkc().collect())
}

/// Computes password hashes. The number of concurrent hashes is the number of processors, because more would
/// only use more memory.
#[derive(Debug)]
pub struct Hasher {
    worker: Arc<Worker>,
    permits: Arc<Semaphore>,
}

/// The state of the blocking threads.
#[derive(Debug)]
struct Worker {
    config: PasswordConfig,
    memory: Memory,
}

/// Hashing failed: out of memory, or a bug.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

impl HashError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Hasher {
    /// Creates a hasher with the cost and the peppers of the configuration.
    pub fn new(config: PasswordConfig) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            worker: Arc::new(Worker::new(config)),
            permits: Arc::new(Semaphore::new(processors)),
        }
    }

    /// Hashes a new password on a blocking thread.
    pub async fn hash(&self, password: &Secret, rng: &dyn Rng) -> Result<PasswordHash, HashError> {
        let salt = rng.bytes::<SALT_BYTES>();
        let password = password.clone();
        self.work(move |worker| worker.hash(&password, &salt)).await
    }

    /// Verifies a password against a stored hash. If there is no hash, because the account does not exist or has
    /// no password, the result is [`PasswordCheck::Wrong`] after the same amount of work (UIA-46).
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

    /// Runs `work` on a blocking thread. If the caller is cancelled, the work continues. Therefore the work holds
    /// the permit until its end.
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

/// The result of verifying a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, but the cost or the pepper of the hash differs from the current configuration, so
    /// that the hash should be replaced.
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
            changed_at: Timestamp::default(),
        })
    }

    /// Returns [`PasswordCheck::Wrong`] after the work of one hash, so that the time does not reveal whether
    /// there is a hash.
    fn hash_decoy(&self, password: &Secret) -> Result<PasswordCheck, HashError> {
        self.hash(password, &[0; SALT_BYTES])
            .map(|_| PasswordCheck::Wrong)
    }

    fn verify(&self, password: &Secret, hash: &PasswordHash) -> Result<PasswordCheck, HashError> {
        // A password that exceeds the limit cannot be correct. Its beginning is hashed nevertheless, so that
        // the check takes the same time.
        let text: String = password.reveal().chars().take(MAX_PASSWORD_BYTES).collect();
        let cut = text.len() < password.reveal().len();
        let pepper = match &hash.pepper {
            None => None,
            Some(id) => {
                let Some(pepper) = self.config.peppers().find(|pepper| pepper.id == *id) else {
                    // The pepper was removed from the configuration. No password with it can be verified any
                    // more.
                    tracing::error!(
                        "the pepper of a stored password is not configured: restore GATEHOUSE_PASSWORD_PEPPER, GATEHOUSE_PASSWORD_PEPPER_PREVIOUS or GATEHOUSE_IMPORTED_PEPPER"
                    );
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
            Err(error) => {
                tracing::error!(%error, "a stored password hash cannot be verified");
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
            .ok_or_else(|| HashError::of("the hash is too long"))?;
        let password = normalized(password);
        self.memory
            .hash(cost, pepper, password.reveal().as_bytes(), salt, out)?;
        Output::new(out).map_err(HashError::of)
    }
}

/// The result for the hash of another server. Such a hash is always outdated, so that it is replaced.
const fn imported_hash_result(right: bool) -> PasswordCheck {
    if right {
        PasswordCheck::Outdated
    } else {
        PasswordCheck::Wrong
    }
}

/// Whether a password matches the hash of another server, with the pepper appended. Tries the normalised form
/// and the form that the user typed, because some servers normalise passwords and others do not.
fn matches_any_form(typed: &str, pepper: Option<&Pepper>, is: impl Fn(&[u8]) -> bool) -> bool {
    let normalized = normalized(typed);
    let end = pepper.map_or(&[][..], |pepper| pepper.secret.reveal());
    let with_end = |text: &str| Secret::new([text.as_bytes(), end].concat());
    is(with_end(normalized.reveal()).reveal())
        || normalized.reveal() != typed && is(with_end(typed).reveal())
}

#[cfg(test)]
mod tests;
