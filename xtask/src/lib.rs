//! Generates files from the declarations of the functions.
//!
//! An endpoint is declared once, in `functions/<stem>/function.yaml`. `infra/*.yaml` contain the other parts of the AWS
//! stack. [`generate`] makes `template.yaml` from both, and every list of endpoints or functions that another file
//! needs. The results are committed, so that SAM, Cargo and readers need no generator. A contract test compares the
//! committed files with [`stale`].

mod costs;
mod declaration;
mod docs;
mod files;
mod lists;
mod proxy;
mod route;
mod template;
mod text;

use std::{fs, path::Path};

use anyhow::{Context, Result};

pub use files::File;

/// The command that regenerates the files, for messages.
pub const COMMAND: &str = "cargo xtask generate";

/// Every generated file below `root`, with the content that it must have.
pub fn generate(root: &Path) -> Result<Vec<File>> {
    let functions = declaration::read_all(root)?;
    let template = template::file(root, &functions)?;
    let costs = costs::page(root, &functions, &template)?;
    let mut files = vec![
        template,
        lists::endpoints(&functions)?,
        lists::allowed_methods(&functions),
        costs,
    ];
    files.extend(lists::blocks(root, &functions)?);
    files.extend(docs::pages(root, &functions)?);
    Ok(files)
}

/// The paths of the generated files whose content is out of date.
pub fn stale(root: &Path) -> Result<Vec<String>> {
    let files = generate(root)?.into_iter();
    let differs =
        |file: &File| fs::read_to_string(root.join(&file.path)).ok().as_ref() != Some(&file.text);
    Ok(files.filter(differs).map(|file| file.path).collect())
}

/// Writes the generated files that are out of date and returns their paths.
pub fn write(root: &Path) -> Result<Vec<String>> {
    let stale = stale(root)?;
    for file in generate(root)? {
        if stale.contains(&file.path) {
            let path = root.join(&file.path);
            fs::write(&path, file.text).with_context(|| file.path)?;
        }
    }
    Ok(stale)
}
