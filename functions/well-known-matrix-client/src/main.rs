//! The function `well-known-matrix-client`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(well_known_matrix_client::handle)
}
