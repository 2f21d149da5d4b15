//! The function `capabilities`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(capabilities::handle)
}
