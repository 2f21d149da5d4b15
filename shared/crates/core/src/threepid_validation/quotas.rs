//! The rate-limit quotas of a message.
//!
//! A request is charged only to quotas of its own client network. The quotas that all networks share are charged by
//! `deliver` when the message is sent: a request that causes no message must not keep other clients from theirs, and
//! the charge of a message that is sent only if an account has the 3PID must not be visible in a response.

use super::{ValidationPurpose, ValidationRequest};
use crate::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, Limit},
    threepid::{self, Medium, ThreePid},
};

/// The number of trailing digits in which the phone numbers of a block differ.
const BLOCK_DIGITS: usize = 3;

/// The quotas of the client network that requests a message.
pub(super) struct NetworkQuotas {
    /// The quotas of the network itself, which are charged together.
    pub(super) own: Vec<(Limit, String)>,
    /// The quotas of the blocks around an IPv6 network, which are charged after the others.
    pub(super) wider: Vec<(Limit, String)>,
}

impl NetworkQuotas {
    /// Refunds all charges.
    pub(super) async fn refund(&self, app: &App) {
        tokio::join!(
            limits::refund_all(app, &self.own),
            limits::refund_all(app, &self.wider)
        );
    }
}

/// The quotas of a request, across all sessions and secrets (3PID-16). Messages for a password reset have separate
/// quotas, so that requests for the other purposes cannot keep an account owner from a reset. The quotas of the
/// client network alone are shared by all purposes. The quotas of an address count the widest block that one subscriber
/// may have, so that a subscriber with many IPv6 networks has no larger share of the shared quotas.
pub(super) fn of_network(request: &ValidationRequest<'_>, network: ClientNetwork) -> NetworkQuotas {
    let limits = MessageLimits::of(request.purpose);
    let address = &request.to.address;
    let block = network.widest();
    let mut own = vec![(Limit::Message, network.to_string())];
    match request.to.medium {
        Medium::Email => {
            let mailbox = threepid::mailbox(address);
            own.push((limits.mail_from_network, format!("{mailbox} {block}")));
        }
        Medium::Msisdn => {
            let prefix = prefix(address);
            let country = request.country.unwrap_or_default();
            own.push((limits.sms_from_network, format!("{address} {block}")));
            own.push((limits.sms_prefix_from_network, format!("{prefix} {block}")));
            own.push((
                limits.sms_country_from_network,
                format!("{country} {block}"),
            ));
        }
    }
    let wider = network.wider().map_or_else(Vec::new, |[site, block]| {
        vec![
            (Limit::MessageBlock56, site.to_string()),
            (Limit::MessageBlock48, block.to_string()),
        ]
    });
    NetworkQuotas { own, wider }
}

/// The quotas that all networks share, from the narrowest to the widest. A network that the owner of the address has
/// used (`is_known`) does not use the quota of the address, which other networks may have exhausted, and has separate
/// quotas of the block and the country.
pub fn shared_quotas(
    purpose: ValidationPurpose,
    to: &ThreePid,
    country: Option<&str>,
    is_known: bool,
) -> Vec<(Limit, String)> {
    let limits = MessageLimits::of(purpose);
    let address = &to.address;
    let mut quotas = Vec::new();
    match to.medium {
        Medium::Email if is_known => {}
        Medium::Email => quotas.push((limits.mail_address, threepid::mailbox(address))),
        Medium::Msisdn => {
            let group = if is_known { "known " } else { "" };
            if !is_known {
                quotas.push((limits.sms_number, address.clone()));
            }
            quotas.push((limits.sms_prefix, format!("{group}{}", prefix(address))));
            if let Some(country) = country {
                quotas.push((limits.sms_country, format!("{group}{country}")));
            }
        }
    }
    quotas
}

fn prefix(number: &str) -> &str {
    let end = number.len().saturating_sub(BLOCK_DIGITS);
    number.get(..end).unwrap_or_default()
}

/// The limits of the messages for a purpose.
struct MessageLimits {
    mail_from_network: Limit,
    mail_address: Limit,
    sms_from_network: Limit,
    sms_prefix_from_network: Limit,
    sms_country_from_network: Limit,
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
                sms_prefix_from_network: Limit::SmsPrefixFromNetwork,
                sms_country_from_network: Limit::SmsCountryFromNetwork,
                sms_number: Limit::SmsNumber,
                sms_prefix: Limit::SmsPrefix,
                sms_country: Limit::SmsCountry,
            },
            ValidationPurpose::Reset => Self {
                mail_from_network: Limit::ResetMailFromNetwork,
                mail_address: Limit::ResetMailAddress,
                sms_from_network: Limit::ResetSmsFromNetwork,
                sms_prefix_from_network: Limit::ResetSmsPrefixFromNetwork,
                sms_country_from_network: Limit::ResetSmsCountryFromNetwork,
                sms_number: Limit::ResetSmsNumber,
                sms_prefix: Limit::ResetSmsPrefix,
                sms_country: Limit::ResetSmsCountry,
            },
        }
    }
}
