//! The settings of e-mails and text messages, and of the 3PIDs that may be used.

use std::{collections::BTreeSet, str::FromStr};

use regex_lite::{Regex, RegexBuilder};

use super::{parse::Raw, sender};
use crate::host_name;

/// The settings of e-mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailConfig {
    /// The sender, as the value of the header `From`.
    pub from: String,
    /// The SES configuration set, if any.
    pub configuration_set: Option<String>,
    /// The effect of the link in a validation e-mail.
    pub link: EmailLink,
}

impl MailConfig {
    /// The address of the sender.
    pub fn address(&self) -> &str {
        sender::address(&self.from)
    }
}

/// The effect of the link in a validation e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailLink {
    /// The link opens a page with a confirmation button (3PID-52).
    Confirm,
    /// Opening the link validates the address.
    Direct,
}

/// The settings of text messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsConfig {
    /// The allowed destination countries, as ISO 3166 codes of two letters.
    pub countries: BTreeSet<String>,
    /// The numbers that are accepted in these countries.
    pub numbers: SmsNumbers,
    /// The sender ID, if any: 1 to 11 letters and digits.
    pub sender_id: Option<String>,
    /// The maximum price of one text message in US dollars, as a decimal number, if any.
    pub max_price: Option<String>,
}

/// The phone numbers that text messages are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmsNumbers {
    /// Assignable mobile numbers.
    Valid,
    /// All numbers of the right length.
    Possible,
}

/// The 3PIDs of one medium that may be used.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// A 3PID must match one of these patterns, if there are any.
    pub allowed: Vec<Regex>,
    /// A 3PID must match none of these patterns.
    pub denied: Vec<Regex>,
}

/// Whether a client that requests a validation message learns that the 3PID belongs to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// The client does not learn it. The owner of the address receives a message instead.
    Quiet,
    /// The client receives an error that discloses it.
    Tell,
}

/// The most messages that are sent in any 24 hours. `None` if there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyLimits {
    /// The limit of e-mails.
    pub emails: Option<u32>,
    /// The limit of text messages.
    pub texts: Option<u32>,
}

/// The settings that [`read`] reads.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) mail: Option<MailConfig>,
    pub(super) sms: Option<SmsConfig>,
    pub(super) email_policy: AddressPolicy,
    pub(super) phone_policy: AddressPolicy,
    pub(super) next_link_hosts: Vec<String>,
    pub(super) privacy: Privacy,
    pub(super) daily_limits: DailyLimits,
    pub(super) shows_request_network: bool,
}

/// The media that validation messages can be sent to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Media {
    pub(super) mail: bool,
    pub(super) sms: bool,
}

impl Messages {
    /// The media that messages can be sent to. `delegates` is true if identity servers send messages for this
    /// server.
    pub(super) fn media(&self, delegates: bool) -> Media {
        Media {
            mail: delegates || self.mail.is_some(),
            sms: delegates || self.sms.is_some(),
        }
    }
}

pub(super) fn read(raw: &mut Raw<'_>) -> Option<Messages> {
    let mail = read_mail(raw);
    let sms = read_sms(raw);
    let email_policy = read_policy(
        raw,
        ["GATEHOUSE_EMAIL_ALLOWED", "GATEHOUSE_EMAIL_DENIED"],
        "must be regular expressions with an `@`, separated by spaces, with a domain in its ASCII form",
        |text| text.contains('@') && text.is_ascii(),
    );
    let phone_policy = read_policy(
        raw,
        ["GATEHOUSE_PHONE_ALLOWED", "GATEHOUSE_PHONE_DENIED"],
        "must be regular expressions of digits without a `+`, separated by spaces",
        |text| !text.contains(r"\+"),
    );
    let next_link_hosts = raw.list(
        "GATEHOUSE_NEXT_LINK_HOSTS",
        "must be hosts, each with an optional port, separated by spaces",
        |host| host_name::is_host(host).then(|| host.to_ascii_lowercase()),
    );
    let privacy = raw.parsed(
        "GATEHOUSE_THREEPID_PRIVACY",
        "must be `quiet` or `tell`",
        |text| match text {
            "quiet" => Some(Privacy::Quiet),
            "tell" => Some(Privacy::Tell),
            _ => None,
        },
    );
    let emails = read_daily_limit(raw, "GATEHOUSE_DAILY_EMAILS");
    let texts = read_daily_limit(raw, "GATEHOUSE_DAILY_TEXTS");
    let shows_request_network = raw.switch("GATEHOUSE_SHOW_REQUEST_NETWORK");
    Some(Messages {
        mail: mail?,
        sms: sms?,
        email_policy: email_policy?,
        phone_policy: phone_policy?,
        next_link_hosts: next_link_hosts?,
        privacy: privacy?,
        daily_limits: DailyLimits {
            emails: emails?,
            texts: texts?,
        },
        shows_request_network: shows_request_network?,
    })
}

#[expect(clippy::option_option, reason = "an error differs from `unlimited`")]
fn read_daily_limit(raw: &mut Raw<'_>, name: &str) -> Option<Option<u32>> {
    raw.parsed(
        name,
        "must be `unlimited` or a number from 1 to 10000000",
        |text| match text {
            "unlimited" => Some(None),
            _ => text
                .parse()
                .ok()
                .filter(|limit| (1..=10_000_000).contains(limit))
                .map(Some),
        },
    )
}

#[expect(clippy::option_option, reason = "an error differs from disabled mail")]
fn read_mail(raw: &mut Raw<'_>) -> Option<Option<MailConfig>> {
    const FROM: &str = "GATEHOUSE_MAIL_FROM";
    const SET: &str = "GATEHOUSE_SES_CONFIGURATION_SET";
    let link = raw.parsed(
        "GATEHOUSE_EMAIL_LINK",
        "must be `confirm` or `direct`",
        |text| match text {
            "confirm" => Some(EmailLink::Confirm),
            "direct" => Some(EmailLink::Direct),
            _ => None,
        },
    );
    let configuration_set = raw.get(SET);
    let Some(from) = raw.get(FROM) else {
        if configuration_set.is_some() {
            raw.add_error(SET, format!("requires {FROM}"));
        }
        return Some(None);
    };
    let Some(from) = sender::header(&from) else {
        raw.add_error(FROM, "must be an e-mail address or `Name <address>`");
        return None;
    };
    Some(Some(MailConfig {
        from,
        configuration_set,
        link: link?,
    }))
}

#[expect(
    clippy::option_option,
    reason = "an error differs from disabled text messages"
)]
fn read_sms(raw: &mut Raw<'_>) -> Option<Option<SmsConfig>> {
    const SENDER: &str = "GATEHOUSE_SMS_SENDER_ID";
    const PRICE: &str = "GATEHOUSE_SMS_MAX_PRICE";
    let countries = raw.list(
        "GATEHOUSE_SMS_COUNTRIES",
        "must be ISO 3166 country codes of two letters, separated by spaces",
        |text| {
            let text = text.to_ascii_uppercase();
            let known = phonenumber::country::Id::from_str(&text).is_ok();
            (known && text.len() == 2).then_some(text)
        },
    );
    let numbers = raw.parsed(
        "GATEHOUSE_SMS_NUMBERS",
        "must be `valid` or `possible`",
        |text| match text {
            "valid" => Some(SmsNumbers::Valid),
            "possible" => Some(SmsNumbers::Possible),
            _ => None,
        },
    );
    let sender_id = raw.get(SENDER);
    let is_sender = |text: &String| {
        (1..=11).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric())
            && text.bytes().any(|b| b.is_ascii_alphabetic())
    };
    if !sender_id.as_ref().is_none_or(is_sender) {
        raw.add_error(
            SENDER,
            "must have 1 to 11 letters and digits, at least one of them a letter",
        );
    }
    let max_price = raw.get(PRICE);
    let is_price = |text: &String| {
        text.parse::<f64>().is_ok_and(|price| price > 0.0)
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    if !max_price.as_ref().is_none_or(is_price) {
        raw.add_error(PRICE, "must be a number of US dollars, such as `0.10`");
    }
    if countries.as_ref().is_some_and(Vec::is_empty) {
        for (name, value) in [(SENDER, &sender_id), (PRICE, &max_price)] {
            if value.is_some() {
                raw.add_error(name, "requires GATEHOUSE_SMS_COUNTRIES");
            }
        }
    }
    let (countries, numbers): (BTreeSet<_>, _) = (countries?.into_iter().collect(), numbers?);
    Some((!countries.is_empty()).then_some(SmsConfig {
        countries,
        numbers,
        sender_id,
        max_price,
    }))
}

/// Reads two lists of patterns. `can_match` rejects patterns that could never match a 3PID in its canonical
/// form, because it would not be noticed that such a rule has no effect.
fn read_policy(
    raw: &mut Raw<'_>,
    [allowed, denied]: [&str; 2],
    expected: &str,
    can_match: impl Fn(&str) -> bool,
) -> Option<AddressPolicy> {
    let mut patterns = |name: &str| {
        raw.list(name, expected, |text| {
            let whole = RegexBuilder::new(&format!("^(?:{text})$"))
                .case_insensitive(true)
                .build();
            whole.ok().filter(|_| can_match(text))
        })
    };
    let (allowed, denied) = (patterns(allowed), patterns(denied));
    Some(AddressPolicy {
        allowed: allowed?,
        denied: denied?,
    })
}
