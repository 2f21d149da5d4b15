//! The function `account-password-email-request-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_password_email_request_token::handle)
}
