//! The shared part of the `requestToken` endpoints (3PID-01 to 3PID-17).
//!
//! The endpoints differ only in the purpose of the validation session and in the callers that they accept.

mod delegated;

use ::http::StatusCode;
use serde::Serialize;

use delegated::Delegate;

use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request, Response},
    secrets::Secret,
    threepid_validation::{self, ValidationPurpose, ValidationRequest},
    threepids::{self, Medium, link},
};

/// The body of the response (3PID-04).
#[derive(Debug, Clone, Serialize)]
pub struct RequestTokenResponse {
    /// The ID of the validation session.
    pub sid: String,
    /// The URL to which the client submits the code. Absent for e-mail, because the message contains
    /// a link instead (3PID-40).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit_url: Option<String>,
    /// The phone number in its canonical form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msisdn: Option<String>,
    /// The phone number in the international format with spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intl_fmt: Option<String>,
}

/// The members that all requests have.
struct CommonMembers {
    client_secret: Secret,
    send_attempt: i64,
    next_link: Option<String>,
}

/// Handles a request for an e-mail. `offered` is true if the server uses e-mail addresses for the purpose.
pub async fn email(
    app: &App,
    request: &Request,
    purpose: ValidationPurpose,
    offered: bool,
) -> Result<Response, Rejection> {
    let body = Body::parse(&request.body)?;
    let delegate = Delegate::of(app, purpose, &body)?;
    if !offered || (app.config.mail.is_none() && delegate.is_none()) {
        return Err(unsupported(&body)?.into());
    }
    let entered: String = body.required("email")?;
    let common = CommonMembers::read(app, &body)?;
    let to = threepids::parse_email(&entered).ok_or_else(|| {
        invalid("`email` is not an e-mail address that this server can send messages to")
    })?;
    threepids::check_allowed(&app.config, &to)?;
    let validation = common.validation(purpose, &to, None);
    let sid = match &delegate {
        Some(delegate) => {
            let recipient = [("email", to.address.as_str())];
            delegate
                .request(app, &validation, request.network, &recipient)
                .await?
        }
        None => threepid_validation::request(app, validation, request.network).await?,
    };
    let response = RequestTokenResponse {
        sid,
        submit_url: None,
        msisdn: None,
        intl_fmt: None,
    };
    Ok(Response::json(StatusCode::OK, &response))
}

/// Handles a request for a text message. `offered` is true if the server uses phone numbers for the purpose.
pub async fn msisdn(
    app: &App,
    request: &Request,
    purpose: ValidationPurpose,
    offered: bool,
) -> Result<Response, Rejection> {
    let body = Body::parse(&request.body)?;
    let delegate = Delegate::of(app, purpose, &body)?;
    let sms = app.config.sms.as_ref();
    if !offered || (sms.is_none() && delegate.is_none()) {
        return Err(unsupported(&body)?.into());
    }
    let country: String = body.required("country")?;
    let entered: String = body.required("phone_number")?;
    let common = CommonMembers::read(app, &body)?;
    let phone = match sms {
        Some(sms) => threepids::parse_phone(sms, &country, &entered)?,
        None => threepids::read_phone(&country, &entered)?,
    };
    threepids::check_allowed(&app.config, &phone.threepid)?;
    let validation = common.validation(purpose, &phone.threepid, Some(&phone.country));
    let (sid, submit_url) = if let Some(delegate) = &delegate {
        let number = format!("+{}", phone.threepid.address);
        let recipient = [
            ("country", phone.country.as_str()),
            ("phone_number", &number),
        ];
        let sid = delegate
            .request(app, &validation, request.network, &recipient)
            .await?;
        // The client submits the code to the identity server that it has named.
        (sid, None)
    } else {
        let sid = threepid_validation::request(app, validation, request.network).await?;
        (sid, Some(submit_url(app, Medium::Msisdn)))
    };
    let response = RequestTokenResponse {
        sid,
        submit_url,
        msisdn: Some(phone.threepid.address),
        intl_fmt: Some(phone.readable),
    };
    Ok(Response::json(StatusCode::OK, &response))
}

/// The URL to which a code or the token of a link is submitted.
pub fn submit_url(app: &App, medium: Medium) -> String {
    submit_url_at(&app.config.public_url, medium)
}

/// [`submit_url`] for the base URL `base`.
pub fn submit_url_at(base: &str, medium: Medium) -> String {
    format!("{base}/_matrix/client/v3/validate/{medium}/submitToken")
}

impl CommonMembers {
    fn read(app: &App, body: &Body) -> Result<Self, MatrixError> {
        let client_secret: String = body.required("client_secret")?;
        let send_attempt: i64 = body.required("send_attempt")?;
        if !threepid_validation::is_opaque_id(&client_secret) {
            return Err(invalid(
                "`client_secret` must have 1 to 255 characters of a-z, A-Z, 0-9 and `.=_-`",
            ));
        }
        if send_attempt < 0 {
            return Err(invalid("`send_attempt` must not be negative"));
        }
        // Only the types are checked here; `Delegate` uses the values (3PID-10).
        for name in ["id_server", "id_access_token"] {
            body.optional::<String>(name)?;
        }
        let next_link = match body.optional::<String>("next_link")? {
            Some(text) if !text.is_empty() => link::check(&app.config, &text)?,
            _ => None,
        };
        Ok(Self {
            client_secret: Secret::new(client_secret),
            send_attempt,
            next_link,
        })
    }

    fn validation<'a>(
        &'a self,
        purpose: ValidationPurpose,
        to: &'a threepids::ThreePid,
        country: Option<&'a str>,
    ) -> ValidationRequest<'a> {
        ValidationRequest {
            purpose,
            to,
            country,
            client_secret: &self.client_secret,
            send_attempt: self.send_attempt,
            next_link: self.next_link.clone(),
        }
    }
}

/// The error if this server does not send the message. If the client names an identity server, the error is
/// M_SERVER_NOT_TRUSTED (3PID-09, 3PID-12).
fn unsupported(body: &Body) -> Result<MatrixError, MatrixError> {
    Ok(match body.optional::<String>("id_server")? {
        Some(_) => MatrixError::new(
            ErrorCode::ServerNotTrusted,
            "This server does not trust that identity server",
        ),
        None => MatrixError::new(
            ErrorCode::ThreePidMediumNotSupported,
            "This server does not accept 3PIDs of this kind for this request",
        ),
    })
}

fn invalid(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::InvalidParam, message)
}
