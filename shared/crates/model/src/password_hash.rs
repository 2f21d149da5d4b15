//! Password hashes as they are stored, and the two settings that go into one: its cost and the pepper.

use argon2::Params;

use crate::{
    clock::Timestamp,
    secrets::{Secret, sha256_base64},
};

/// A hash that takes more memory, in KiB, does not fit beside the rest of a function.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// One that fills more of it, pass after pass, takes longer than anybody waits.
const MAX_FILLED_KIB: u32 = 2 * MAX_MEMORY_KIB;
const PEPPER_ID_CHARS: usize = 8;

/// The cost of one hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashCost(pub Params);

impl HashCost {
    /// Parses `m=19456,t=2,p=1`: KiB, passes, lanes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = [None; 3];
        for (number, (part, name)) in numbers
            .iter_mut()
            .zip(text.splitn(3, ',').zip(["m=", "t=", "p="]))
        {
            *number = Some(part.trim().strip_prefix(name)?.parse().ok()?);
        }
        let [m, t, p] = numbers;
        let params = Params::new(m?, t?, p?, None).ok();
        params.filter(is_affordable).map(Self)
    }
}

/// Whether a function can make a hash of this cost in the time that anybody waits.
pub fn is_affordable(cost: &Params) -> bool {
    cost.m_cost() <= MAX_MEMORY_KIB && cost.m_cost().saturating_mul(cost.t_cost()) <= MAX_FILLED_KIB
}

/// A secret mixed into every hash, and the id by which a hash says so.
#[derive(Debug, Clone)]
pub struct Pepper {
    /// The bytes that go into each hash.
    pub secret: Secret<Vec<u8>>,
    /// The ID that is stored with each hash.
    pub id: String,
}

impl Pepper {
    /// A pepper, identified by the beginning of its SHA-256.
    pub fn new(secret: Secret<Vec<u8>>) -> Self {
        let mut id = sha256_base64(&[b"gatehouse pepper id", secret.reveal().as_slice()].concat());
        id.truncate(PEPPER_ID_CHARS);
        Self { secret, id }
    }
}

/// A password's hash, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// The PHC string: algorithm, cost, salt and hash. An imported one may be of another kind.
    pub phc: String,
    /// Which pepper went in, if one did.
    pub pepper: Option<String>,
    /// When the password was set that this is of; nothing of one that is not stored yet. A better
    /// hash of the same password does not change it.
    pub set: Timestamp,
}

/// The name of the algorithm of a stored hash.
pub fn scheme(phc: &str) -> &str {
    match phc.split('$').nth(1).unwrap_or_default() {
        "2a" | "2b" | "2y" => "bcrypt",
        name => name,
    }
}
