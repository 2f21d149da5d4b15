//! The function `register-m-login-registration-token-validity`, on AWS Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(register_m_login_registration_token_validity::handle)
}
