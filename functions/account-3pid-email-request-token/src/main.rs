//! The function `account-3pid-email-request-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_3pid_email_request_token::handle)
}
