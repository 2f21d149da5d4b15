//! The function `register-msisdn-request-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(register_msisdn_request_token::handle)
}
