//! Captcha verification: the HTTP request by which a provider verifies the captcha response of the client.
//!
//! reCAPTCHA, hCaptcha and Turnstile accept the same form and return the same response. The connector comes from
//! the AWS SDK, so that no second HTTP stack is linked. Only this module depends on the protocol.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde::Deserialize;

use crate::config::CaptchaConfig;

/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum size of a response, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The result of a captcha verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptchaResult {
    /// The provider accepted the response.
    Passed,
    /// The response is wrong, expired or already used.
    Failed,
    /// The provider sent no response or an unusable one. The stage must not be completed.
    Unavailable,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
}

/// Creates a connector for [`verify`]. This reads the root certificates, so it should be done once per process.
pub fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build();
    SharedHttpConnector::new(connector)
}

/// Verifies the response of a captcha widget with the provider. Never fails: errors are logged and return
/// [`CaptchaResult::Unavailable`].
pub async fn verify(
    http: &SharedHttpConnector,
    config: &CaptchaConfig,
    response: &str,
) -> CaptchaResult {
    match tokio::time::timeout(TIMEOUT, ask(http, config, response)).await {
        Ok(Ok(true)) => CaptchaResult::Passed,
        Ok(Ok(false)) => CaptchaResult::Failed,
        Ok(Err(cause)) => {
            tracing::warn!(
                provider.fault = cause,
                "the captcha provider could not be reached or its response is unusable"
            );
            CaptchaResult::Unavailable
        }
        Err(_) => {
            tracing::warn!("the captcha provider did not respond in time");
            CaptchaResult::Unavailable
        }
    }
}

async fn ask(
    http: &SharedHttpConnector,
    config: &CaptchaConfig,
    response: &str,
) -> Result<bool, &'static str> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("secret", config.secret_key.reveal())
        .append_pair("response", response)
        .finish();
    let request = ::http::Request::post(&config.verify_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(SdkBody::from(form))
        .map_err(|_| "the verify URL is not a valid URL")?;
    let request =
        HttpRequest::try_from(request).map_err(|_| "the verify URL is not a valid URL")?;
    let answer = http
        .call(request)
        .await
        .map_err(|_| "the connection failed")?;
    if !answer.status().is_success() {
        return Err("the status is not a success");
    }
    let mut body = ByteStream::new(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| "the response broke off")?);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err("the response is too long");
        }
    }
    serde_json::from_slice::<Answer>(&bytes)
        .map(|answer| answer.success)
        .map_err(|_| "the response is not the expected JSON")
}
