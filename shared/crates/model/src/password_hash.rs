//! Stored password hashes, and the two settings that a new hash depends on: its cost and the pepper.

use argon2::Params;

use crate::{
    clock::Timestamp,
    secrets::{Secret, sha256_base64},
};

/// The maximum memory of a hash, in KiB. A hash that needs more does not fit into the memory of a function: a contract
/// test compares this number with the memory of every function that hashes passwords.
pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// The maximum of memory times passes, in KiB. A hash with more work takes longer than a client waits.
const MAX_FILLED_KIB: u32 = 2 * MAX_MEMORY_KIB;
const PEPPER_ID_CHARS: usize = 8;

/// The cost of an argon2id hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashCost(pub Params);

impl HashCost {
    /// Parses `m=19456,t=2,p=1`: memory in KiB, passes, lanes. Returns `None` if the format is invalid or the
    /// cost is not [affordable](is_affordable).
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

/// Whether a function can compute a hash of this cost in the time that a client waits.
pub fn is_affordable(cost: &Params) -> bool {
    cost.m_cost() <= MAX_MEMORY_KIB && cost.m_cost().saturating_mul(cost.t_cost()) <= MAX_FILLED_KIB
}

/// A secret that is mixed into every password hash, and its ID.
#[derive(Debug, Clone)]
pub struct Pepper {
    /// The bytes that go into each hash.
    pub secret: Secret<Vec<u8>>,
    /// The ID that is stored with each hash that was made with this pepper.
    pub id: String,
}

impl Pepper {
    /// Creates a pepper. Its ID is the beginning of a SHA-256 hash of the secret.
    pub fn new(secret: Secret<Vec<u8>>) -> Self {
        let mut id = sha256_base64(&[b"gatehouse pepper id", secret.reveal().as_slice()].concat());
        id.truncate(PEPPER_ID_CHARS);
        Self { secret, id }
    }
}

/// A stored password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// The hash with algorithm, cost and salt as a PHC string. An imported hash may have another format.
    pub phc: String,
    /// The ID of the pepper that the hash was made with, if any.
    pub pepper: Option<String>,
    /// The time when the password was set; zero for a hash that is not stored yet. Rehashing the same password
    /// does not change it.
    pub changed_at: Timestamp,
}

/// The name of the algorithm of a stored hash, such as `argon2id` or `bcrypt`.
pub fn scheme(phc: &str) -> &str {
    match phc.split('$').nth(1).unwrap_or_default() {
        "2a" | "2b" | "2y" => "bcrypt",
        name => name,
    }
}
