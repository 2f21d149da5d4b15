//! Phone numbers: from the form that is dialled in a country to E.164 (3PID-65 to 3PID-67).

use std::str::FromStr;

use phonenumber::{Mode, Type, country, metadata::DATABASE};

use super::{Medium, ThreePid};
use crate::config::{SmsConfig, SmsNumbers};

/// The maximum length of an entered number in bytes.
const MAX_TYPED_BYTES: usize = 64;
/// The maximum number of digits (E.164).
const MAX_DIGITS: usize = 15;
/// The characters that an entered number may contain besides digits. Letters are not allowed: a text
/// message cannot be sent to an extension, a vanity number or a URI.
const SEPARATORS: &[u8] = b"+-./() ";

/// A phone number.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// The canonical form.
    pub threepid: ThreePid,
    /// The international format with spaces, for display.
    pub readable: String,
    /// The country of the number itself (ISO 3166-1 alpha-2). It may differ from the `country` of the
    /// request.
    pub country: String,
}

crate::opaque_debug!(Phone);

/// The reason why a text message cannot be sent to an entered number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// The country is not a code of two capital letters from ISO 3166-1 (3PID-67).
    #[error("the country is not known")]
    Country,
    /// The text is not a valid phone number (3PID-13).
    #[error("the phone number is not valid")]
    Number,
    /// The server does not send text messages to the country or to the kind of number.
    #[error("text messages are not sent to this number")]
    Unserved,
}

/// The number that is reached by dialling `typed` in `country`, if the server sends text messages to
/// it.
pub fn parse(sms: &SmsConfig, country: &str, typed: &str) -> Result<Phone, PhoneError> {
    let number = read(country, typed)?;
    let digits = e164(&number).ok_or(PhoneError::Number)?;
    let region = match (number.is_valid(), sms.numbers) {
        (true, _) => number.country().id(),
        (false, SmsNumbers::Possible) if is_possible(&number) => main_country(&number),
        (false, _) => None,
    };
    let region = region.ok_or(PhoneError::Number)?;
    // Messages are sent only to mobile numbers and, in countries that do not distinguish them, to numbers that may
    // be mobile: premium-rate numbers cost money, and landlines cannot display a message. The kind of an unassigned
    // number is unknown.
    let reachable = matches!(
        (number.number_type(&DATABASE), sms.numbers),
        (Type::Mobile | Type::FixedLineOrMobile, _) | (Type::Unknown, SmsNumbers::Possible)
    );
    let region = region.as_ref().to_owned();
    if !reachable || !sms.countries.contains(&region) {
        return Err(PhoneError::Unserved);
    }
    Ok(phone(&number, digits, region))
}

/// The number that is reached by dialling `typed` in `country`, for an identity server that sends the
/// message.
pub fn read_any(country: &str, typed: &str) -> Result<Phone, PhoneError> {
    let number = read(country, typed)?;
    let digits = e164(&number).ok_or(PhoneError::Number)?;
    let region = number.country().id().filter(|_| number.is_valid());
    let region = region.ok_or(PhoneError::Number)?;
    Ok(phone(&number, digits, region.as_ref().to_owned()))
}

fn phone(number: &phonenumber::PhoneNumber, digits: String, country: String) -> Phone {
    Phone {
        threepid: ThreePid {
            medium: Medium::Msisdn,
            address: digits,
        },
        readable: number.format().mode(Mode::International).to_string(),
        country,
    }
}

/// The canonical form of a number that an account may have, even if the server does not send text
/// messages to it now (UIA-43).
pub fn canonical(country: &str, typed: &str) -> Option<ThreePid> {
    let digits = e164(&read(country, typed).ok()?)?;
    Some(ThreePid {
        medium: Medium::Msisdn,
        address: digits,
    })
}

fn read(country: &str, typed: &str) -> Result<phonenumber::PhoneNumber, PhoneError> {
    let is_code = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    let dialled_in = country::Id::from_str(country).map_err(|_| PhoneError::Country)?;
    if !is_code {
        return Err(PhoneError::Country);
    }
    let legal = |b: u8| b.is_ascii_digit() || SEPARATORS.contains(&b);
    // At most one plus is allowed, before all digits, because the parser ignores the text around any other plus.
    let pluses = typed.split('+').count() - 1;
    let is_plus_first = typed
        .split_once('+')
        .is_none_or(|(before, _)| !before.bytes().any(|b| b.is_ascii_digit()));
    if typed.len() > MAX_TYPED_BYTES || !typed.bytes().all(legal) || pluses > 1 || !is_plus_first {
        return Err(PhoneError::Number);
    }
    phonenumber::parse(Some(dialled_in), typed).map_err(|_| PhoneError::Number)
}

fn e164(number: &phonenumber::PhoneNumber) -> Option<String> {
    let digits = number.format().mode(Mode::E164).to_string();
    let digits = digits.strip_prefix('+')?;
    let is_valid = digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    is_valid.then(|| digits.to_owned())
}

/// Whether the length of an unassigned number is possible in its country.
fn is_possible(number: &phonenumber::PhoneNumber) -> bool {
    let Some(country) = main_country(number) else {
        return false;
    };
    let length = u16::try_from(number.national().to_string().len()).unwrap_or(u16::MAX);
    DATABASE.by_id(country.as_ref()).is_some_and(|metadata| {
        // The general description has no lengths, so the lengths of the kinds of numbers apply.
        let kinds = [
            metadata.descriptors().mobile(),
            metadata.descriptors().fixed_line(),
        ];
        kinds
            .into_iter()
            .flatten()
            .any(|kind| kind.possible_length().contains(&length))
    })
}

/// The country of an unassigned number. Several countries may share its calling code: the number belongs to the
/// country with its area code, or else to the main country of the calling code.
fn main_country(number: &phonenumber::PhoneNumber) -> Option<country::Id> {
    let national = number.national().to_string();
    let regions = DATABASE.region(&number.country().code())?;
    let own = regions.iter().find(|region| {
        DATABASE
            .by_id(**region)
            .and_then(|metadata| metadata.leading_digits())
            .and_then(|leading| leading.find(&national))
            .is_some_and(|found| found.start() == 0)
    });
    own.or(regions.first())
        .and_then(|region| region.parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sms(numbers: SmsNumbers) -> SmsConfig {
        SmsConfig {
            countries: ["GB", "US", "DE", "FR"].map(str::to_owned).into(),
            numbers,
            sender_id: None,
            max_price: None,
        }
    }

    fn digits(country: &str, typed: &str) -> Result<String, PhoneError> {
        parse(&sms(SmsNumbers::Valid), country, typed).map(|phone| phone.threepid.address)
    }

    #[test]
    fn _3pid_66_a_number_is_parsed_as_dialled_in_its_country() {
        for (country, typed) in [
            ("GB", "07400 123456"),
            ("GB", "(07400) 123-456"),
            ("US", "+447400123456"),
            ("US", "+44 7400 123456"),
            ("DE", "0044 7400 123456"),
            ("US", "011 44 7400 123456"),
        ] {
            assert_eq!(
                digits(country, typed).as_deref(),
                Ok("447400123456"),
                "{country} {typed}"
            );
        }
    }

    #[test]
    fn _3pid_66_the_example_of_the_specification_is_only_possible() {
        for (country, typed) in [("GB", "07700 900001"), ("US", "+447700900001")] {
            assert_eq!(digits(country, typed), Err(PhoneError::Number));
            let phone = parse(&sms(SmsNumbers::Possible), country, typed).unwrap();
            assert_eq!(phone.threepid.address, "447700900001");
            assert_eq!(phone.country, "GB");
        }
    }

    #[test]
    fn _3pid_67_a_country_is_a_code_of_two_capital_letters() {
        for country in [
            "",
            "ZZ",
            "GBR",
            "gb",
            "G",
            "G1",
            "+4",
            "001",
            "\u{1f1ec}\u{1f1e7}",
        ] {
            assert_eq!(
                digits(country, "07400 123456"),
                Err(PhoneError::Country),
                "{country}"
            );
        }
    }

    #[test]
    fn _3pid_13_an_invalid_number_is_rejected() {
        for typed in [
            "",
            "abc",
            "+",
            "++447400123456",
            "07400 123456 ext. 5",
            "tel:+447400123456",
            "1-800-FLOWERS",
            "07400\u{0}123456",
            "07400123456;ext=1",
            "\u{ff10}7400123456",
            "0740012345",
            "074001234567890123",
            "123",
            "112",
        ] {
            assert_eq!(digits("GB", typed), Err(PhoneError::Number), "{typed:?}");
        }
    }

    #[test]
    fn unlisted_countries_and_premium_numbers_are_unserved() {
        assert_eq!(digits("NL", "06 12345678"), Err(PhoneError::Unserved));
        assert_eq!(digits("GB", "+31612345678"), Err(PhoneError::Unserved));
        // Guernsey and Canada share a calling code with a listed country.
        assert_eq!(digits("GB", "+447781123456"), Err(PhoneError::Unserved));
        assert_eq!(digits("US", "+16137827274"), Err(PhoneError::Unserved));
        assert_eq!(digits("US", "+1 900 555 0123"), Err(PhoneError::Unserved));
        for (country, typed) in [
            ("GB", "0800 123 4567"),
            ("GB", "070 1234 5678"),
            ("GB", "07640 123456"),
            ("GB", "020 7123 4567"),
            ("DE", "0700 12345678"),
            ("DE", "0168 12345678"),
            ("DE", "030 123456"),
            ("DE", "032 221234567"),
            ("US", "500 234 5678"),
        ] {
            assert_eq!(
                digits(country, typed),
                Err(PhoneError::Unserved),
                "{country} {typed}"
            );
        }
        let possible = sms(SmsNumbers::Possible);
        for typed in ["+1 876 123 4567", "+1 268 123 4567"] {
            let unserved = parse(&possible, "US", typed).err();
            assert_eq!(unserved, Some(PhoneError::Unserved), "{typed}");
        }
    }

    #[test]
    fn _3pid_65_the_canonical_form_has_only_digits() {
        let phone = parse(&sms(SmsNumbers::Valid), "US", "(520) 878-2491").unwrap();
        assert_eq!(phone.threepid.address, "15208782491");
        assert_eq!(phone.readable, "+1 520-878-2491");
        assert_eq!(phone.country, "US");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(country in "\\PC{0,3}|GB|US", typed in "\\PC{0,30}|[+0-9 ()./-]{0,70}") {
            let _ = parse(&sms(SmsNumbers::Possible), &country, &typed);
        }
    }
}
