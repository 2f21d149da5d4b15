//! The function `devices-device-id`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(devices_device_id::handle)
}
