//! Captcha providers: the one HTTP call that asks whether somebody is a machine.
//!
//! reCAPTCHA, hCaptcha and Turnstile take the same form and give the same answer. The connector is
//! the AWS SDK's own, so no second HTTP stack is linked. The only room that knows their protocol.

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

/// How long a provider may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// No provider's answer is longer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What the provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptchaResult {
    /// Somebody is there.
    Human,
    /// The response is wrong, old or used.
    Machine,
    /// The provider did not answer, or not in a way we understand: no verdict, and no reason to
    /// let anybody in.
    Unknown,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
}

/// A connector for [`verify`]. Making one reads the root certificates, so it is made once.
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

/// Asks the provider about a widget's response.
pub async fn verify(
    http: &SharedHttpConnector,
    config: &CaptchaConfig,
    response: &str,
) -> CaptchaResult {
    match tokio::time::timeout(TIMEOUT, ask(http, config, response)).await {
        Ok(Ok(true)) => CaptchaResult::Human,
        Ok(Ok(false)) => CaptchaResult::Machine,
        Ok(Err(what)) => {
            tracing::warn!(
                provider.fault = what,
                "the captcha provider's answer is of no use"
            );
            CaptchaResult::Unknown
        }
        Err(_) => {
            tracing::warn!("the captcha provider did not answer in time");
            CaptchaResult::Unknown
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
        .map_err(|_| "the verify URL is no URL")?;
    let request = HttpRequest::try_from(request).map_err(|_| "the verify URL is no URL")?;
    let answer = http.call(request).await.map_err(|_| "no connection")?;
    if !answer.status().is_success() {
        return Err("not a success");
    }
    let mut body = ByteStream::new(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| "the answer broke off")?);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err("the answer is too long");
        }
    }
    serde_json::from_slice::<Answer>(&bytes)
        .map(|answer| answer.success)
        .map_err(|_| "not the JSON expected")
}
