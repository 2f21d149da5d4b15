//! The function `account-whoami`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_whoami::handle)
}
