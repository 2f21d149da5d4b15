//! What the `requestToken` endpoints have in common: their members, and what is said of each.
//!
//! The endpoints differ in what the proof is for and in who may ask; from there on they are one
//! (3PID-01 to 3PID-17).

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

/// The answer (3PID-04).
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The validation session.
    pub sid: String,
    /// Where a code that was typed is sent; absent where there is none to type (3PID-40).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit_url: Option<String>,
    /// The number in its canonical form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msisdn: Option<String>,
    /// The number as a person writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intl_fmt: Option<String>,
}

/// What every request has.
struct Common {
    client_secret: Secret,
    attempt: i64,
    next_link: Option<String>,
}

/// Answers a request for a mail. `offered` says whether there is a use for one.
pub async fn email(
    app: &App,
    request: &Request,
    purpose: ValidationPurpose,
    offered: bool,
) -> Result<Response, Rejection> {
    let body = Body::parse(&request.body)?;
    let delegate = Delegate::of(app, purpose, &body)?;
    if !offered || (app.config.mail.is_none() && delegate.is_none()) {
        return Err(not_offered(&body)?.into());
    }
    let typed: String = body.required("email")?;
    let common = Common::read(app, &body)?;
    let to = threepids::parse_email(&typed)
        .ok_or_else(|| invalid("`email` is not an e-mail address we can write to"))?;
    threepids::admit(&app.config, &to)?;
    let wish = common.wish(purpose, &to, None);
    let sid = match &delegate {
        Some(delegate) => {
            let told = [("email", to.address.as_str())];
            delegate.request(app, &wish, request.network, &told).await?
        }
        None => threepid_validation::request(app, wish, request.network).await?,
    };
    let answer = Answer {
        sid,
        submit_url: None,
        msisdn: None,
        intl_fmt: None,
    };
    Ok(Response::json(StatusCode::OK, &answer))
}

/// Answers a request for a text message.
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
        return Err(not_offered(&body)?.into());
    }
    let country: String = body.required("country")?;
    let typed: String = body.required("phone_number")?;
    let common = Common::read(app, &body)?;
    let phone = match sms {
        Some(sms) => threepids::parse_phone(sms, &country, &typed)?,
        None => threepids::read_phone(&country, &typed)?,
    };
    threepids::admit(&app.config, &phone.threepid)?;
    let wish = common.wish(purpose, &phone.threepid, Some(&phone.country));
    let (sid, submit_url) = if let Some(delegate) = &delegate {
        let number = format!("+{}", phone.threepid.address);
        let told = [
            ("country", phone.country.as_str()),
            ("phone_number", &number),
        ];
        let sid = delegate.request(app, &wish, request.network, &told).await?;
        // The code goes to where it came from, which the client has named itself.
        (sid, None)
    } else {
        let sid = threepid_validation::request(app, wish, request.network).await?;
        (sid, Some(submit_url(app, Medium::Msisdn)))
    };
    let answer = Answer {
        sid,
        submit_url,
        msisdn: Some(phone.threepid.address),
        intl_fmt: Some(phone.readable),
    };
    Ok(Response::json(StatusCode::OK, &answer))
}

/// Where a code, or the token of a link, is submitted.
pub fn submit_url(app: &App, medium: Medium) -> String {
    submit_url_at(&app.config.public_url, medium)
}

/// The same, for clients that reach this service at `base`.
pub fn submit_url_at(base: &str, medium: Medium) -> String {
    format!("{base}/_matrix/client/v3/validate/{medium}/submitToken")
}

impl Common {
    fn read(app: &App, body: &Body) -> Result<Self, MatrixError> {
        let client_secret: String = body.required("client_secret")?;
        let attempt: i64 = body.required("send_attempt")?;
        if !threepid_validation::is_opaque_id(&client_secret) {
            return Err(invalid(
                "`client_secret` must have 1 to 255 characters of a-z, A-Z, 0-9 and `.=_-`",
            ));
        }
        if attempt < 0 {
            return Err(invalid("`send_attempt` must not be negative"));
        }
        // Their types are checked and nothing else, unless an identity server validates (3PID-10).
        for name in ["id_server", "id_access_token"] {
            body.optional::<String>(name)?;
        }
        let next_link = match body.optional::<String>("next_link")? {
            Some(text) if !text.is_empty() => link::judge(&app.config, &text)?,
            _ => None,
        };
        Ok(Self {
            client_secret: Secret::new(client_secret),
            attempt,
            next_link,
        })
    }

    fn wish<'a>(
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
            attempt: self.attempt,
            next_link: self.next_link.clone(),
        }
    }
}

/// What cannot be sent from here would be an identity server's to send, and none is trusted
/// (3PID-09, 3PID-12).
fn not_offered(body: &Body) -> Result<MatrixError, MatrixError> {
    Ok(match body.optional::<String>("id_server")? {
        Some(_) => MatrixError::new(
            ErrorCode::ServerNotTrusted,
            "This server does not trust that identity server",
        ),
        None => MatrixError::new(
            ErrorCode::ThreePidMediumNotSupported,
            "This server does not take addresses of this kind",
        ),
    })
}

fn invalid(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::InvalidParam, message)
}
