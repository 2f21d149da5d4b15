//! The function `deliver`, on AWS Lambda.

use std::process::ExitCode;

use deliver::Deliver;

fn main() -> ExitCode {
    shared::lambda::run_worker(Deliver::new)
}
