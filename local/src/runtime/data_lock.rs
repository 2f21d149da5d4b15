//! The lock of a data directory: two processes with the same tables would corrupt each other's messages.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};

/// The lock, held until it is dropped. The operating system releases it too when the process ends, however it ends.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "the open file holds the lock")] File);

impl DataLock {
    /// Creates the data directory, which only its owner can read, because it contains the secret, and locks it.
    ///
    /// # Errors
    ///
    /// Fails if another process has locked it; the message names that process.
    pub fn acquire(directory: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot create the directory {}", directory.display()))?;
        let path = directory.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                bail!(
                    "the directory {} is in use by the process {}; stop it, or use another directory",
                    directory.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| path.display().to_string());
            }
        }
        // Only a message of another process needs the number, so a full disk does not prevent the start.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::temp_dir::TempDir;

    #[test]
    fn the_error_names_the_process_that_uses_the_directory() {
        let directory = TempDir::new();
        let data = directory.path().join("data");
        let lock = DataLock::acquire(&data).expect("the first lock");
        let error = DataLock::acquire(&data).expect_err("the directory is locked");
        let process = format!("by the process {};", std::process::id());
        assert!(error.to_string().contains(&process), "{error}");
        drop(lock);
        DataLock::acquire(&data).expect("the lock is free again");
    }
}
