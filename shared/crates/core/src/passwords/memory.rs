//! The memory of argon2, kept from one hash to the next.
//!
//! Allocating fresh memory takes nearly as long as the hash itself, because the kernel assigns it page by page.
//! Freeing and allocating it again also lets the heap of glibc grow to ten times its size. An attacker who can read
//! the kept memory could test guesses at less than the cost of a hash; but an attacker who can read the memory of
//! the process can also read the pepper and the passwords of current requests.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::HashError;

/// Buffers for hashes of one cost, as many as were ever needed at the same time.
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
    /// Keeps buffers for hashes of this cost. Hashes of another cost use memory that is not kept.
    pub(super) fn new(cost: &Params) -> Self {
        Self {
            blocks: cost.block_count(),
            idle: Mutex::default(),
        }
    }

    /// Computes the argon2id hash and writes it to `out`.
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
            // The memory of the function may not suffice for both.
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

    /// The number of kept buffers that are not in use.
    #[cfg(test)]
    pub(super) fn idle_buffers(&self) -> usize {
        self.idle().len()
    }

    fn take(&self) -> Vec<Block> {
        self.idle().pop().unwrap_or_default()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        // No code panics while it has the lock, and the list of buffers is consistent at all times.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
