//! The function `logout-all`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(logout_all::handle)
}
