//! The rate-limit quotas that a message consumes.

use super::{ValidationPurpose, ValidationRequest};
use crate::{client_network::ClientNetwork, limits::Limit, threepid::Medium};

/// The number of trailing digits in which the phone numbers of a block differ.
const BLOCK_DIGITS: usize = 3;

/// The quotas of a message, across all sessions and secrets (3PID-16). Messages for a password reset have separate
/// quotas, so that requests for the other purposes cannot keep an account owner from a reset. The quota of the
/// client network is shared by all purposes.
pub(super) fn of(request: &ValidationRequest<'_>, network: ClientNetwork) -> Vec<(Limit, String)> {
    let address = &request.to.address;
    let limits = MessageLimits::of(request.purpose);
    let mut quotas = vec![(Limit::Message, network.to_string())];
    match request.to.medium {
        Medium::Email => {
            let mailbox = mailbox(address);
            quotas.push((limits.mail_from_network, format!("{mailbox} {network}")));
            quotas.push((limits.mail_address, mailbox));
        }
        Medium::Msisdn => {
            let prefix = &address[..address.len().saturating_sub(BLOCK_DIGITS)];
            let country = request.country.unwrap_or_default();
            quotas.push((limits.sms_from_network, format!("{address} {network}")));
            quotas.push((limits.sms_number, address.clone()));
            quotas.push((limits.sms_prefix, prefix.to_owned()));
            quotas.push((limits.sms_country, country.to_owned()));
        }
    }
    quotas
}

/// The limits of the messages for a purpose.
struct MessageLimits {
    mail_from_network: Limit,
    mail_address: Limit,
    sms_from_network: Limit,
    sms_number: Limit,
    sms_prefix: Limit,
    sms_country: Limit,
}

impl MessageLimits {
    const fn of(purpose: ValidationPurpose) -> Self {
        match purpose {
            ValidationPurpose::Register | ValidationPurpose::Add => Self {
                mail_from_network: Limit::MailFromNetwork,
                mail_address: Limit::MailAddress,
                sms_from_network: Limit::SmsFromNetwork,
                sms_number: Limit::SmsNumber,
                sms_prefix: Limit::SmsPrefix,
                sms_country: Limit::SmsCountry,
            },
            ValidationPurpose::Reset => Self {
                mail_from_network: Limit::ResetMailFromNetwork,
                mail_address: Limit::ResetMailAddress,
                sms_from_network: Limit::ResetSmsFromNetwork,
                sms_number: Limit::ResetSmsNumber,
                sms_prefix: Limit::ResetSmsPrefix,
                sms_country: Limit::ResetSmsCountry,
            },
        }
    }
}

/// The address without a tag: most e-mail providers deliver `a+b@…` to `a@…`.
fn mailbox(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or_default();
    let untagged = local.split('+').next().filter(|name| !name.is_empty());
    format!("{}@{domain}", untagged.unwrap_or(local))
}
