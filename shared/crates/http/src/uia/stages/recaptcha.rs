//! `m.login.recaptcha`: a captcha provider verifies that the client is not a bot (UIA-47). The stage has
//! the same name for every provider. Clients without the provider's widget use the fallback page.

use serde_json::{Value, json};

use super::{StageContext, StageOutcome, StageResult};
use crate::{
    captcha::{self, CaptchaResult},
    config::{CaptchaProvider, Config},
    error::{ErrorCode, Rejection},
    http::Query,
    limits::{self, Limit},
    uia::{
        StageError,
        stage_page::{Form, Widget},
    },
};

/// The maximum length of a captcha response. The responses of all providers are shorter.
const MAX_RESPONSE_CHARS: usize = 8 * 1024;

const NEEDED: StageError = StageError {
    code: ErrorCode::CaptchaNeeded,
    message: "The captcha response is missing",
};
const INVALID: StageError = StageError {
    code: ErrorCode::CaptchaInvalid,
    message: "The captcha response is not valid",
};
const OUTDATED: StageError = StageError {
    code: ErrorCode::CaptchaInvalid,
    message: "The captcha response has expired or was used before. Solve the captcha again",
};
const UNREACHABLE: StageError = StageError {
    code: ErrorCode::Unauthorized,
    message: "The captcha provider does not respond. Try again",
};

pub(super) fn params(config: &Config) -> Option<Value> {
    config
        .captcha
        .as_ref()
        .map(|captcha| json!({ "public_key": captcha.site_key }))
}

pub(super) async fn attempt(context: StageContext<'_>) -> Result<StageOutcome, Rejection> {
    let response = context
        .members
        .optional::<String>("response")?
        .filter(|response| !response.is_empty());
    let Some(response) = response else {
        return Ok(StageOutcome::Refused(NEEDED));
    };
    let Some(config) = &context.app.config.captcha else {
        return Ok(StageOutcome::Refused(INVALID));
    };
    if response.len() > MAX_RESPONSE_CHARS {
        return Ok(StageOutcome::Refused(INVALID));
    }
    limits::consume(context.app, Limit::Captcha, context.network).await?;
    Ok(
        match captcha::verify(context.app.captcha_connector(), config, &response).await {
            CaptchaResult::Passed => StageOutcome::passed(StageResult::Presence),
            CaptchaResult::Failed => StageOutcome::Refused(INVALID),
            CaptchaResult::Outdated => StageOutcome::Refused(OUTDATED),
            CaptchaResult::Unavailable => StageOutcome::Refused(UNREACHABLE),
        },
    )
}

pub(super) fn form(config: &Config) -> Form {
    let widget = config.captcha.as_ref().map(|captcha| Widget {
        script_url: captcha.script_url.clone(),
        class: match captcha.provider {
            CaptchaProvider::Recaptcha => "g-recaptcha",
            CaptchaProvider::Hcaptcha => "h-captcha",
            CaptchaProvider::Turnstile => "cf-turnstile",
        },
        site_key: captcha.site_key.clone(),
        // The sources that the provider's documentation lists for a content security policy.
        sources: match captcha.provider {
            CaptchaProvider::Recaptcha => {
                "https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/ https://recaptcha.google.com/recaptcha/"
            }
            CaptchaProvider::Hcaptcha => "https://hcaptcha.com https://*.hcaptcha.com",
            CaptchaProvider::Turnstile => "https://challenges.cloudflare.com",
        },
    });
    Form {
        text: "Please show that you are not a machine.".into(),
        widget,
        button: "Continue",
        ..Form::default()
    }
}

/// The captcha response of the submitted form. The field name depends on the provider's widget.
pub(super) fn members_of_form(form: &Query) -> Vec<(&'static str, String)> {
    [
        "g-recaptcha-response",
        "h-captcha-response",
        "cf-turnstile-response",
    ]
    .into_iter()
    .find_map(|field| form.get(field))
    .map(|response| ("response", response.to_owned()))
    .into_iter()
    .collect()
}
