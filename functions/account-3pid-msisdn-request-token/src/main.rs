//! The function `account-3pid-msisdn-request-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(account_3pid_msisdn_request_token::handle)
}
