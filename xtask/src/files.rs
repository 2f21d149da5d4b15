//! Files below the project's root.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The path from the project's root, with slashes.
    pub path: String,
    /// The whole content.
    pub text: String,
}

pub(crate) fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}

/// The sorted names of a directory's entries.
pub(crate) fn names_in(root: &Path, directory: &str) -> Result<BTreeSet<String>> {
    fs::read_dir(root.join(directory))
        .with_context(|| directory.to_owned())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
