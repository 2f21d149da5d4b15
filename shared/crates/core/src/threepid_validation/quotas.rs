//! Whose budgets a message is charged to.

use super::{ValidationPurpose, ValidationRequest};
use crate::{client_network::ClientNetwork, limits::Limit, threepid::Medium};

/// The digits that a block of numbers differs in.
const PREFIX_DIGITS: usize = 3;

/// What messages are counted by, across sessions and secrets (3PID-16): those that lead to a new
/// password by themselves, so that nobody keeps an owner from one by asking for the others; all of
/// them by the network that asks.
pub(super) fn of(wish: &ValidationRequest<'_>, network: ClientNetwork) -> Vec<(Limit, String)> {
    let address = &wish.to.address;
    let own = Counted::of(wish.purpose);
    let mut budgets = vec![(Limit::Message, network.to_string())];
    match wish.to.medium {
        Medium::Email => {
            let mailbox = mailbox(address);
            budgets.push((own.mail_from_network, format!("{mailbox} {network}")));
            budgets.push((own.mail_address, mailbox));
        }
        Medium::Msisdn => {
            let prefix = &address[..address.len().saturating_sub(PREFIX_DIGITS)];
            budgets.push((own.sms_from_network, format!("{address} {network}")));
            budgets.push((own.sms_number, address.clone()));
            budgets.push((own.sms_prefix, prefix.to_owned()));
            budgets.push((own.sms_country, wish.country.unwrap_or_default().to_owned()));
        }
    }
    budgets
}

/// The limits of messages with one kind of purpose.
struct Counted {
    mail_from_network: Limit,
    mail_address: Limit,
    sms_from_network: Limit,
    sms_number: Limit,
    sms_prefix: Limit,
    sms_country: Limit,
}

impl Counted {
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

/// The mailbox behind an address with a tag: most hosts deliver `a+b@…` to `a@…`.
fn mailbox(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or_default();
    let untagged = local.split('+').next().filter(|name| !name.is_empty());
    format!("{}@{domain}", untagged.unwrap_or(local))
}
