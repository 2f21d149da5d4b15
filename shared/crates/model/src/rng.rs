//! Randomness. This is the only file that reads the random generator of the operating system. All other code
//! receives an [`Rng`], which tests replace by a seeded one.

use std::fmt::Debug;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// A source of random bytes.
pub trait Rng: Send + Sync + Debug {
    /// Fills `bytes` with random bytes fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Rng + '_ {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// `N` random bytes as unpadded URL-safe base64.
    pub fn base64<const N: usize>(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.bytes::<N>())
    }

    /// A string of `length` characters, drawn uniformly from `alphabet` (1 to 256 ASCII characters).
    pub fn text(&self, alphabet: &[u8], length: usize) -> String {
        // A byte at or above the largest multiple of the alphabet's size is dropped, because it would favour the
        // first characters of the alphabet (modulo bias).
        let fair = 256 - 256 % alphabet.len();
        let mut text = String::with_capacity(length);
        while text.len() < length {
            for byte in self.bytes::<32>() {
                if usize::from(byte) < fair && text.len() < length {
                    text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
                }
            }
        }
        text
    }

    /// A number below `bound`, which must not be zero. For jitter, not for secrets: the modulo bias is below
    /// 2^-32.
    pub fn below(&self, bound: u32) -> u32 {
        u32::try_from(u64::from_le_bytes(self.bytes()) % u64::from(bound)).unwrap_or(0)
    }
}

/// The random generator of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the only place that reads the generator; without randomness, no request may be served"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has a random generator");
    }
}
