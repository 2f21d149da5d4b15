//! The function `unrecognized`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(unrecognized::handle)
}
