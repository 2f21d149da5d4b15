//! The function `oauth2-revoke`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_revoke::handle)
}
