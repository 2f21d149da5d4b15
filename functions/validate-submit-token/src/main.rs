//! The function `validate-submit-token`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(validate_submit_token::handle)
}
