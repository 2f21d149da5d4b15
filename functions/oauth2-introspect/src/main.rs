//! The function `oauth2-introspect`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_introspect::handle)
}
