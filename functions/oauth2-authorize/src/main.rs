//! The function `oauth2-authorize`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_authorize::handle)
}
