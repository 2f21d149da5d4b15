//! The function `oauth2-registration`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_registration::handle)
}
