//! Temporary directories for tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use shared::rng::{Rng, SystemRng};

/// A new directory, which is deleted on drop.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
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

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory that cannot be deleted does not affect the tests.
        let _ = fs::remove_dir_all(&self.0);
    }
}
