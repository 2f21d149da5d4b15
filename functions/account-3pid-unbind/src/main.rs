//! The function `account-3pid-unbind`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_3pid_unbind::handle)
}
