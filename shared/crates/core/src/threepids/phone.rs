//! Phone numbers: as dialled in a country, to E.164 (3PID-65 to 3PID-67).

use std::str::FromStr;

use phonenumber::{Mode, Type, country, metadata::DATABASE};

use super::{Medium, ThreePid};
use crate::config::{SmsConfig, SmsNumbers};

/// No number is typed longer, in bytes.
const MAX_TYPED_BYTES: usize = 64;
/// E.164 allows no more digits.
const MAX_DIGITS: usize = 15;
/// What a number is typed with, besides digits. Letters are none: an extension, a vanity number or a
/// URI is not what a text message is sent to.
const ORNAMENTS: &[u8] = b"+-./() ";

/// A phone number.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// Its canonical form.
    pub threepid: ThreePid,
    /// As a person writes it, for any country.
    pub readable: String,
    /// The country it belongs to, whatever was said of it (ISO 3166-1 alpha-2).
    pub country: String,
}

crate::opaque_debug!(Phone);

/// Why a text is no number that can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// The country is not two capital letters of ISO 3166-1 (3PID-67).
    #[error("the country is not known")]
    Country,
    /// It is no number of that country (3PID-13).
    #[error("the phone number is not valid")]
    Number,
    /// No text messages go to that country or kind of number.
    #[error("no text messages go there")]
    Unserved,
}

/// The number that `typed` is when dialled from `country`, if text messages may go there.
pub fn parse(sms: &SmsConfig, country: &str, typed: &str) -> Result<Phone, PhoneError> {
    let number = read(country, typed)?;
    let digits = e164(&number).ok_or(PhoneError::Number)?;
    let home = match (number.is_valid(), sms.numbers) {
        (true, _) => number.country().id(),
        (false, SmsNumbers::Possible) if is_possible(&number) => main_country(&number),
        (false, _) => None,
    };
    let home = home.ok_or(PhoneError::Number)?;
    // Mobiles, and in countries that do not tell them apart whatever may be one: nothing that costs,
    // and nothing that cannot show a message. Of a number that is only possible no kind is known.
    let reachable = matches!(
        (number.number_type(&DATABASE), sms.numbers),
        (Type::Mobile | Type::FixedLineOrMobile, _) | (Type::Unknown, SmsNumbers::Possible)
    );
    let home = home.as_ref().to_owned();
    if !reachable || !sms.countries.contains(&home) {
        return Err(PhoneError::Unserved);
    }
    Ok(phone(&number, digits, home))
}

/// The number that `typed` is when dialled from `country`, for somebody else to send to.
pub fn read_any(country: &str, typed: &str) -> Result<Phone, PhoneError> {
    let number = read(country, typed)?;
    let digits = e164(&number).ok_or(PhoneError::Number)?;
    let home = number.country().id().filter(|_| number.is_valid());
    let home = home.ok_or(PhoneError::Number)?;
    Ok(phone(&number, digits, home.as_ref().to_owned()))
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

/// The canonical form of a number that may have been stored here, wherever text messages go now
/// (UIA-43).
pub fn canonical(country: &str, typed: &str) -> Option<ThreePid> {
    let digits = e164(&read(country, typed).ok()?)?;
    Some(ThreePid {
        medium: Medium::Msisdn,
        address: digits,
    })
}

fn read(country: &str, typed: &str) -> Result<phonenumber::PhoneNumber, PhoneError> {
    let capitals = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    let dialled_in = country::Id::from_str(country).map_err(|_| PhoneError::Country)?;
    if !capitals {
        return Err(PhoneError::Country);
    }
    let legal = |b: u8| b.is_ascii_digit() || ORNAMENTS.contains(&b);
    // A plus stands before all digits, and once: the parser would pass over what is around another.
    let pluses = typed.split('+').count() - 1;
    let led = typed
        .split_once('+')
        .is_none_or(|(before, _)| !before.bytes().any(|b| b.is_ascii_digit()));
    if typed.len() > MAX_TYPED_BYTES || !typed.bytes().all(legal) || pluses > 1 || !led {
        return Err(PhoneError::Number);
    }
    phonenumber::parse(Some(dialled_in), typed).map_err(|_| PhoneError::Number)
}

fn e164(number: &phonenumber::PhoneNumber) -> Option<String> {
    let digits = number.format().mode(Mode::E164).to_string();
    let digits = digits.strip_prefix('+')?;
    let lawful = digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    lawful.then(|| digits.to_owned())
}

/// Whether it is as long as numbers of its country are, although nobody has been given it.
fn is_possible(number: &phonenumber::PhoneNumber) -> bool {
    let Some(country) = main_country(number) else {
        return false;
    };
    let length = u16::try_from(number.national().to_string().len()).unwrap_or(u16::MAX);
    DATABASE.by_id(country.as_ref()).is_some_and(|metadata| {
        // The general description has no lengths of its own: those of its kinds are meant.
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

/// The country of a number that nobody has been given: of those that share its calling code the one
/// whose area codes it begins with, else the one that has all others.
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
    fn _3pid_66_a_number_is_read_as_dialled_from_its_country() {
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
    fn _3pid_66_the_specifications_own_example_is_possible_and_not_valid() {
        for (country, typed) in [("GB", "07700 900001"), ("US", "+447700900001")] {
            assert_eq!(digits(country, typed), Err(PhoneError::Number));
            let phone = parse(&sms(SmsNumbers::Possible), country, typed).unwrap();
            assert_eq!(phone.threepid.address, "447700900001");
            assert_eq!(phone.country, "GB");
        }
    }

    #[test]
    fn _3pid_67_a_country_is_two_capitals_of_iso_3166() {
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
    fn _3pid_13_what_is_no_number_is_refused() {
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
    fn no_text_goes_to_a_country_that_is_not_listed_nor_to_numbers_that_cost() {
        assert_eq!(digits("NL", "06 12345678"), Err(PhoneError::Unserved));
        assert_eq!(digits("GB", "+31612345678"), Err(PhoneError::Unserved));
        // Guernsey and Canada share a calling code with a country that is listed.
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
    fn _3pid_65_the_canonical_form_is_digits_and_the_readable_one_is_for_people() {
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
