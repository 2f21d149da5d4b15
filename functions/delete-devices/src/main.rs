//! The function `delete-devices`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(delete_devices::handle)
}
