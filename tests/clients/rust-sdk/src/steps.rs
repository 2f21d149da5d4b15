//! The steps of an account's life that the client has completed, for the table at the end of `run`.

use std::{fs::OpenOptions, io::Write};

/// A row of the table. It is added on drop to the file that the environment variable `STEPS_FILE` names. The columns are
/// the same as in steps.mjs.
pub struct Steps {
    api: &'static str,
    pub signed_up: bool,
    pub refreshed: bool,
    pub logged_out: bool,
}

impl Steps {
    pub fn new(api: &'static str) -> Self {
        Self {
            api,
            signed_up: false,
            refreshed: false,
            logged_out: false,
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let Ok(path) = std::env::var("STEPS_FILE") else {
            return;
        };
        let cell = |done| if done { "yes" } else { "NO" };
        let cells = [self.signed_up, self.refreshed, self.logged_out].map(cell);
        let row = format!(
            "matrix-sdk {}\t{}\t{}\n",
            sdk_version(),
            self.api,
            cells.join("\t")
        );
        let file = OpenOptions::new().append(true).create(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(row.as_bytes())) {
            eprintln!("cannot write the table: {error}");
        }
    }
}

/// The version of the SDK in the lock file.
fn sdk_version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let package = lock.split("name = \"matrix-sdk\"\nversion = \"").nth(1);
    let version = package.and_then(|rest| rest.split('"').next());
    version.unwrap_or_default()
}
