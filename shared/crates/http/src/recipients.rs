//! The recipient of a validation message, as a user enters it in the form of a page.

use crate::{
    app::App,
    config::Config,
    error::{ErrorCode, MatrixError},
    http::Query,
    threepids::{self, Medium, PhoneError, ThreePid},
};

/// A recipient to which this server may send a message.
pub struct Recipient {
    /// The canonical 3PID.
    pub threepid: ThreePid,
    /// The country of a phone number.
    pub country: Option<String>,
    /// The masked text that a page shows, because others may read the page's URL.
    pub shown: String,
}

crate::opaque_debug!(Recipient);

/// Whether this server sends messages of this medium. Otherwise only an identity server can send them.
pub fn sends(config: &Config, medium: Medium) -> bool {
    match medium {
        Medium::Email => config.mail.is_some(),
        Medium::Msisdn => config.sms.is_some(),
    }
}

impl Recipient {
    /// The recipient in the fields `email`, or `country` and `phone_number`. Fails if the operator's settings do not allow
    /// it.
    pub fn parse(app: &App, medium: Medium, form: &Query) -> Result<Self, MatrixError> {
        let recipient = Self::entered(app, medium, form)?;
        threepids::check_allowed(&app.config, &recipient.threepid)?;
        Ok(recipient)
    }

    fn entered(app: &App, medium: Medium, form: &Query) -> Result<Self, MatrixError> {
        let field = |name: &str| threepids::trim(form.get(name).unwrap_or_default()).to_owned();
        if let (Medium::Msisdn, Some(sms)) = (medium, &app.config.sms) {
            let phone = threepids::parse_phone(sms, &field("country"), &field("phone_number"))
                .map_err(phone_error)?;
            return Ok(Self {
                shown: masked_number(&phone.readable),
                threepid: phone.threepid,
                country: Some(phone.country),
            });
        }
        let email = threepids::parse_email(&field("email")).ok_or_else(|| {
            MatrixError::new(
                ErrorCode::InvalidParam,
                "This is not an e-mail address that this server can send to",
            )
        })?;
        Ok(Self {
            shown: masked_mailbox(&email.address),
            threepid: email,
            country: None,
        })
    }
}

/// The error in the words of the page, which does not show the names of the members.
fn phone_error(error: PhoneError) -> MatrixError {
    let message = match error {
        PhoneError::Country => "Choose the country of the phone number",
        PhoneError::Number => {
            "This is not a phone number of the chosen country. Check the country and the digits"
        }
        PhoneError::Unserved => {
            "This server does not send text messages to this number. Enter another phone number"
        }
    };
    MatrixError {
        message: message.into(),
        ..error.into()
    }
}

/// The end of the number, which the user recognises. The number is masked, because others may read the page's URL.
fn masked_number(readable: &str) -> String {
    let shown = readable.chars().count().saturating_sub(3);
    let ending: String = readable.chars().skip(shown).collect();
    format!("the number that ends in {ending}")
}

fn masked_mailbox(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or_default();
    let first: String = local.chars().take(1).collect();
    format!("{first}\u{2026}@{domain}")
}
