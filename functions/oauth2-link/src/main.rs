//! The function `oauth2-link`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_link::handle)
}
