//! The function `auth-fallback-web`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(auth_fallback_web::handle)
}
