//! The function `oauth2-device`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(oauth2_device::handle)
}
