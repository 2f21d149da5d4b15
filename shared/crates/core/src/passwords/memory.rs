//! The memory that argon2 works in, kept from one hash to the next.
//!
//! Fresh memory takes nearly as long as the hash itself, since the kernel hands it out page by page; and
//! given back and taken again it lets glibc's heap grow to ten times of it. By what stays there guesses
//! could be tested at less than the price of a hash; but who reads a process's memory reads its pepper,
//! and passwords as they come.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::HashError;

/// Pieces of memory for hashes of one cost, as many as were ever needed at once.
pub(super) struct Memory {
    blocks: usize,
    idle: Mutex<Vec<Vec<Block>>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// For hashes that cost so much. Others are computed too, in memory that is not kept.
    pub(super) fn new(cost: &Params) -> Self {
        Self {
            blocks: cost.block_count(),
            idle: Mutex::default(),
        }
    }

    /// Fills `out` with the argon2id hash.
    pub(super) fn hash(
        &self,
        cost: Params,
        pepper: &[u8],
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), HashError> {
        let needed = cost.block_count();
        let argon2 = Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, cost)
            .map_err(HashError::of)?;
        let is_kept = needed == self.blocks;
        let mut blocks = if is_kept {
            self.take()
        } else {
            // There may not be room for both.
            self.idle().clear();
            Vec::new()
        };
        blocks
            .try_reserve_exact(needed - blocks.len())
            .map_err(HashError::of)?;
        blocks.resize(needed, Block::new());
        let done = argon2.hash_password_into_with_memory(password, salt, out, &mut blocks[..]);
        if is_kept {
            self.idle().push(blocks);
        }
        done.map_err(HashError::of)
    }

    /// How many pieces wait for the next hash.
    #[cfg(test)]
    pub(super) fn idle_buffers(&self) -> usize {
        self.idle().len()
    }

    fn take(&self) -> Vec<Block> {
        self.idle().pop().unwrap_or_default()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        // Nobody panics in between, and a list of memory is never half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
