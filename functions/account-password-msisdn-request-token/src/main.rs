//! The function `account-password-msisdn-request-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_password_msisdn_request_token::handle)
}
