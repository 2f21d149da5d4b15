//! The function `account-password`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_password::handle)
}
