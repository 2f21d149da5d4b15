//! Directories for tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use shared::rng::{Rng, SystemRng};

/// A new directory, which goes with its holder.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let rng: &dyn Rng = &SystemRng;
        let name = format!("gatehouse-{}", rng.base64::<12>());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing to be done about it if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}
