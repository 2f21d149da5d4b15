//! The function `auth-metadata`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(auth_metadata::handle)
}
