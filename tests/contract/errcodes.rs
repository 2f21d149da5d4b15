//! Only the module `error` maps an error to an errcode.

use crate::contract::files::{self, File};

/// The files that read the errcodes of other servers.
const READ_FOREIGN_ERRCODES: [&str; 2] = ["/id_server_client.rs", "/homeserver_client.rs"];

/// The code of a file without comment lines and unit tests.
fn code(file: &File) -> String {
    let production = file.text.split("#[cfg(test)]\nmod tests {").next();
    let lines = production.unwrap_or_default().lines();
    let lines: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

#[test]
fn only_the_error_module_names_errcodes() {
    let mut checked = 0;
    for directory in ["shared", "functions"] {
        for file in files::below(directory) {
            let path = file.path.as_str();
            let is_error = path.contains("/src/error.rs") || path.contains("/src/error/");
            let is_test = path.ends_with("/tests.rs");
            let is_exempt =
                is_error || is_test || READ_FOREIGN_ERRCODES.iter().any(|end| path.ends_with(end));
            if files::is_rust(path) && !is_exempt {
                checked += 1;
                assert!(!code(&file).contains("\"M_"), "{path}");
            }
        }
    }
    assert!(checked > 0, "the directories have Rust files");
}
