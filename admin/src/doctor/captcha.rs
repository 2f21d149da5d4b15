//! Checks that the captcha provider accepts the secret key.

use shared::{
    captcha::{self, CaptchaError},
    config,
};

use super::checks::Check;
use crate::environment::Environment;

const NAME: &str = "captcha";
/// A response that no widget has made. The provider rejects it, after it has checked the secret key.
const RESPONSE: &str = "doctor";

pub(super) async fn check(environment: &Environment) -> Vec<Check> {
    let config = match config::read_captcha(|name| environment.get(name)) {
        Ok(Some(config)) => config,
        Ok(None) => {
            let found =
                "set GATEHOUSE_CAPTCHA_PROVIDER to the value of the stack to check the captcha";
            return vec![Check::skipped(NAME, found)];
        }
        // `settings` reports the errors.
        Err(_) => return vec![Check::skipped(NAME, "its settings are not valid")],
    };
    let found = captcha::examine(&captcha::connector(), &config, RESPONSE).await;
    vec![match found {
        Ok(_) => Check::ok(NAME, "the provider accepts the secret key"),
        Err(CaptchaError::Rejected(codes)) => Check::fail(
            NAME,
            format!("the provider rejects the request: {codes}"),
            "No captcha can be passed: check GATEHOUSE_CAPTCHA_PROVIDER and the secret key.",
        ),
        Err(CaptchaError::Provider(cause)) => Check::warn(
            NAME,
            format!("the provider could not check the secret key: {cause}"),
            "Check the network connection, and GATEHOUSE_CAPTCHA_VERIFY_URL if it is set.",
        ),
    }]
}
