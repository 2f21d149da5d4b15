//! The function `oauth2-recovery`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_recovery::handle)
}
