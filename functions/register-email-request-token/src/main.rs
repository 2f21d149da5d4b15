//! The function `register-email-request-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(register_email_request_token::handle)
}
