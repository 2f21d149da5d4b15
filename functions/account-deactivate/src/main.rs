//! The function `account-deactivate`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_deactivate::handle)
}
