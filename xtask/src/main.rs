//! `cargo xtask`: the project's own commands.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command reports to the terminal"
)]

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};

const USAGE: &str = "\
usage: cargo xtask generate [--check]

Generates template.yaml and the lists of endpoints and functions from infra/*.yaml and functions/*/function.yaml.
With --check no file is written, and the command fails when a file is out of date.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let check = match arguments.as_slice() {
        ["generate"] => false,
        ["generate", "--check"] => true,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().context("xtask is not in a workspace")?;
    if !check {
        for path in xtask::write(root)? {
            println!("wrote {path}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stale = xtask::stale(root)?;
    for path in &stale {
        eprintln!("{path} is out of date; run `{}`", xtask::COMMAND);
    }
    Ok(if stale.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
