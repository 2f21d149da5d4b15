//! The function `oauth2-sign-up`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_sign_up::handle)
}
