//! The function `validate-confirm`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(validate_confirm::handle)
}
