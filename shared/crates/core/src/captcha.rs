//! Captcha verification: the HTTP request by which a provider verifies the captcha response of the client.
//!
//! reCAPTCHA, hCaptcha and Turnstile accept the same form and return the same response. The connector comes from
//! the AWS SDK, so that no second HTTP stack is linked. Only this module depends on the protocol.

use std::time::Duration;

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde::Deserialize;

use crate::{
    config::CaptchaConfig,
    http_exchange,
    metrics::{self, Metric},
};

/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The status of a provider that limits the requests of this server.
const TOO_MANY_REQUESTS: u16 = 429;
/// The maximum size of a response, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The error codes of the providers that depend on the captcha response. Every other code is about the request of this
/// server: its keys, its form, or the provider itself.
const CODES_OF_RESPONSES: [&str; 7] = [
    "already-seen-response",
    "expired-input-response",
    "invalid-input-response",
    "invalid-or-already-seen-response",
    "missing-input-response",
    "timeout-or-duplicate",
    "browser-error",
];
/// The error codes of a response that was right, but is expired or used.
const CODES_OF_OLD_RESPONSES: [&str; 4] = [
    "already-seen-response",
    "expired-input-response",
    "invalid-or-already-seen-response",
    "timeout-or-duplicate",
];
/// The maximum number of bytes of error codes in the log.
const MAX_LOGGED_BYTES: usize = 200;

/// The result of a captcha verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptchaResult {
    /// The provider accepted the response.
    Passed,
    /// The response is wrong.
    Failed,
    /// The response is expired or already used.
    Outdated,
    /// The provider sent no response or an unusable one. The stage must not be completed.
    Unavailable,
}

/// The reason why a captcha response could not be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptchaError {
    /// The provider cannot be reached, or its response is unusable.
    #[error("{0}")]
    Provider(&'static str),
    /// The provider rejects the request of this server. The text has its error codes.
    #[error("the provider rejects the request of this server: {0}")]
    Rejected(String),
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

/// Creates a connector for [`verify`]. This reads the root certificates, so it should be done once per process.
pub fn connector() -> SharedHttpConnector {
    http_exchange::connector(TIMEOUT)
}

/// Verifies the response of a captcha widget with the provider. Never fails: errors are logged and return
/// [`CaptchaResult::Unavailable`]. An error that the operator can correct is counted.
pub async fn verify(
    http: &SharedHttpConnector,
    config: &CaptchaConfig,
    response: &str,
) -> CaptchaResult {
    match examine(http, config, response).await {
        Ok(result) => result,
        Err(CaptchaError::Provider(cause)) => {
            tracing::warn!(
                provider.fault = cause,
                "the captcha provider could not be reached or its response is unusable"
            );
            CaptchaResult::Unavailable
        }
        Err(CaptchaError::Rejected(codes)) => {
            metrics::count(Metric::CaptchaErrors);
            tracing::error!(
                provider.codes = codes,
                "the captcha provider rejects the request of this server: check the captcha keys"
            );
            CaptchaResult::Unavailable
        }
    }
}

/// Verifies a response, with the reason of a failure.
pub async fn examine(
    http: &SharedHttpConnector,
    config: &CaptchaConfig,
    response: &str,
) -> Result<CaptchaResult, CaptchaError> {
    let answer = tokio::time::timeout(TIMEOUT, ask(http, config, response));
    let answer = answer
        .await
        .map_err(|_| CaptchaError::Provider("no response in time"))??;
    result(&answer)
}

fn result(answer: &Answer) -> Result<CaptchaResult, CaptchaError> {
    let codes = &answer.error_codes;
    let all_in = |known: &[&str]| codes.iter().all(|code| known.contains(&code.as_str()));
    if answer.success {
        Ok(CaptchaResult::Passed)
    } else if !all_in(&CODES_OF_RESPONSES) {
        let mut text = codes.join(" ");
        text.retain(|c| c.is_ascii_graphic() || c == ' ');
        text.truncate(MAX_LOGGED_BYTES);
        Err(CaptchaError::Rejected(text))
    } else if !codes.is_empty() && all_in(&CODES_OF_OLD_RESPONSES) {
        Ok(CaptchaResult::Outdated)
    } else {
        Ok(CaptchaResult::Failed)
    }
}

async fn ask(
    http: &SharedHttpConnector,
    config: &CaptchaConfig,
    response: &str,
) -> Result<Answer, CaptchaError> {
    let provider = CaptchaError::Provider;
    let wrong_url = || CaptchaError::Rejected("the verify URL is not a valid URL".to_owned());
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("secret", config.secret_key.reveal())
        .append_pair("response", response)
        .finish();
    let request = ::http::Request::post(&config.verify_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(SdkBody::from(form))
        .map_err(|_| wrong_url())?;
    let request = HttpRequest::try_from(request).map_err(|_| wrong_url())?;
    let answer = http
        .call(request)
        .await
        .map_err(|_| provider("the connection failed"))?;
    let status = answer.status();
    let bytes = http_exchange::read_body(answer, MAX_ANSWER_BYTES)
        .await
        .map_err(provider)?;
    // Some providers send error codes with a status that is not a success.
    let answer = serde_json::from_slice::<Answer>(&bytes);
    match answer {
        Ok(answer) if status.is_success() || !(answer.success || answer.error_codes.is_empty()) => {
            Ok(answer)
        }
        _ if status.is_client_error() && status.as_u16() != TOO_MANY_REQUESTS => Err(
            CaptchaError::Rejected(format!("status {}", status.as_u16())),
        ),
        _ if !status.is_success() => Err(provider("the status is not a success")),
        _ => Err(provider("the response is not the expected JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_about_this_server_are_not_failures_of_the_user() {
        let failed = |codes: &[&str]| {
            result(&Answer {
                success: false,
                error_codes: codes.iter().map(|code| (*code).to_owned()).collect(),
            })
        };
        for codes in [
            &["invalid-input-secret"][..],
            &["missing-input-secret"],
            &["sitekey-secret-mismatch"],
            &["internal-error"],
            &["bad-request"],
            &["not-using-dummy-passcode"],
            &["a-new-code"],
            &["invalid-input-response", "invalid-input-secret"],
        ] {
            assert_eq!(failed(codes), Err(CaptchaError::Rejected(codes.join(" "))));
        }
        for codes in [
            &[][..],
            &["invalid-input-response"],
            &["missing-input-response"],
            &["invalid-input-response", "timeout-or-duplicate"],
        ] {
            assert_eq!(failed(codes), Ok(CaptchaResult::Failed), "{codes:?}");
        }
        for code in CODES_OF_OLD_RESPONSES {
            assert_eq!(failed(&[code]), Ok(CaptchaResult::Outdated), "{code}");
        }
    }
}
