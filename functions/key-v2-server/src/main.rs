//! The function `key-v2-server`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(key_v2_server::handle)
}
