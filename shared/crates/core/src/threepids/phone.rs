//! Phone numbers: from the form that is dialled in a country to E.164 (3PID-65 to 3PID-67).

mod number;
mod typed;

use phonenumber::{
    Type,
    metadata::{DATABASE, Metadata},
};

use super::{Medium, ThreePid, trim};
use crate::config::{SmsConfig, SmsNumbers};
use number::Number;
use typed::Typed;

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
    /// The country is not a code of two letters from ISO 3166-1 (3PID-67).
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
    // The kind of an unassigned number is unknown.
    let (region, kind) = match (number.region(), sms.numbers) {
        (Some(found), _) => found,
        (None, SmsNumbers::Possible) => {
            let region = number.possible_region().ok_or(PhoneError::Number)?;
            (region, Type::Unknown)
        }
        (None, SmsNumbers::Valid) => return Err(PhoneError::Number),
    };
    // Messages are sent only to mobile numbers and, in countries that do not distinguish them, to numbers that may
    // be mobile: premium-rate numbers cost money, and landlines cannot display a message.
    let is_reachable = matches!(kind, Type::Mobile | Type::FixedLineOrMobile | Type::Unknown);
    if !is_reachable || !sms.countries.contains(region) {
        return Err(PhoneError::Unserved);
    }
    Ok(phone(&number, region))
}

/// The number that is reached by dialling `typed` in `country`, for an identity server that sends the
/// message.
pub fn read_any(country: &str, typed: &str) -> Result<Phone, PhoneError> {
    let number = read(country, typed)?;
    let (region, _) = number.region().ok_or(PhoneError::Number)?;
    Ok(phone(&number, region))
}

fn phone(number: &Number, region: &str) -> Phone {
    Phone {
        threepid: threepid(number),
        readable: number.readable(),
        country: region.to_owned(),
    }
}

fn threepid(number: &Number) -> ThreePid {
    ThreePid {
        medium: Medium::Msisdn,
        address: number.digits(),
    }
}

/// The canonical form of a number that an account may have, even if the server does not send text
/// messages to it now (UIA-43).
pub fn canonical(country: &str, typed: &str) -> Option<ThreePid> {
    read(country, typed).ok().as_ref().map(threepid)
}

/// The canonical form of a number that begins with its calling code, with or without a plus.
pub(super) fn canonical_international(typed: &str) -> Option<ThreePid> {
    let typed = Typed::read(typed)?;
    if typed.digits.len() > number::MAX_DIGITS {
        return None;
    }
    Number::international(&typed.digits).as_ref().map(threepid)
}

fn read(country: &str, typed: &str) -> Result<Number, PhoneError> {
    let dialled_in = metadata(trim(country)).ok_or(PhoneError::Country)?;
    let typed = Typed::read(typed).ok_or(PhoneError::Number)?;
    Number::read(dialled_in, &typed).ok_or(PhoneError::Number)
}

/// The metadata of a country, from its code of two letters in any case.
fn metadata(country: &str) -> Option<&'static Metadata> {
    let is_code = country.len() == 2 && country.bytes().all(|b| b.is_ascii_alphabetic());
    let code = is_code.then(|| country.to_ascii_uppercase())?;
    DATABASE.by_id(&code)
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
    fn _3pid_67_a_country_is_a_code_of_two_letters() {
        for country in ["GB", "gb", "Gb", " GB ", "\u{200e}GB\u{200b}"] {
            let parsed = digits(country, "07400 123456");
            assert_eq!(parsed.as_deref(), Ok("447400123456"), "{country}");
        }
        for country in [
            "",
            "ZZ",
            "GBR",
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
            "tel:+447400123456;ext=1",
            "1-800-FLOWERS",
            "07400\u{0}123456",
            "07400123456;ext=1",
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

    /// Region, national, international and E.164 form of a mobile number.
    fn mobiles() -> impl Iterator<Item = [&'static str; 4]> {
        let lines = include_str!("phone/mobiles.tsv").lines();
        lines
            .filter(|line| !line.starts_with('#'))
            .map(|line| <[&str; 4]>::try_from(line.split('\t').collect::<Vec<_>>()).unwrap())
    }

    fn everywhere() -> SmsConfig {
        SmsConfig {
            countries: mobiles().map(|[region, ..]| region.to_owned()).collect(),
            ..sms(SmsNumbers::Valid)
        }
    }

    #[test]
    fn mobile_numbers_of_every_region_are_read_in_each_form() {
        let (all, mut count) = (everywhere(), 0);
        for [region, national, international, e164] in mobiles() {
            let abroad = if region == "GB" { "US" } else { "GB" };
            for (country, typed) in [
                (region, national),
                (region, international),
                (region, e164),
                (abroad, international),
                (abroad, e164),
            ] {
                let parsed = parse(&all, country, typed).map(|phone| phone.threepid.address);
                assert_eq!(parsed.as_deref(), Ok(&e164[1..]), "{country} {typed}");
            }
            count += 1;
        }
        assert_eq!(count, 244);
    }

    #[test]
    fn a_number_has_one_spelling_in_every_region() {
        for [region, national, international, e164] in mobiles() {
            let digits = Some(&e164[1..]);
            let pasted = format!("\u{202a}{}\u{202c}", international.replace(' ', "\u{a0}"));
            let uri = format!("tel:{}", international.replace(' ', "-"));
            for typed in [national, international, e164, &pasted, &uri] {
                for country in [region, &region.to_lowercase()] {
                    let found = canonical(country, typed).map(|phone| phone.address);
                    assert_eq!(found.as_deref(), digits, "{country} {typed}");
                }
            }
            for typed in [international, e164, &e164[1..]] {
                let found = canonical_international(typed).map(|phone| phone.address);
                assert_eq!(found.as_deref(), digits, "{typed}");
            }
        }
        for typed in ["+44 (0)7400 123456", "4407400123456", "447400123456"] {
            let found = canonical_international(typed).map(|phone| phone.address);
            assert_eq!(found.as_deref(), Some("447400123456"), "{typed}");
        }
    }

    /// Every mobile number of these countries begins with a zero, which is no trunk prefix.
    #[test]
    fn leading_zeros_of_mobile_numbers_stay() {
        for (country, typed, e164, readable) in [
            (
                "CI",
                "01 23 45 67 89",
                "2250123456789",
                "+225 01 23 45 6789",
            ),
            (
                "GB",
                "+225 01 23 45 67 89",
                "2250123456789",
                "+225 01 23 45 6789",
            ),
            (
                "BJ",
                "01 95 12 34 56",
                "2290195123456",
                "+229 01 95 12 34 56",
            ),
            (
                "FR",
                "00229 01 95 12 34 56",
                "2290195123456",
                "+229 01 95 12 34 56",
            ),
        ] {
            let phone = parse(&everywhere(), country, typed).unwrap();
            assert_eq!(phone.threepid.address, e164);
            assert_eq!(phone.readable, readable);
        }
    }

    #[test]
    fn characters_that_address_books_paste_are_accepted() {
        for typed in [
            "+44\u{a0}7400\u{a0}123456",
            "\u{202a}+447400123456\u{202c}",
            "+44 7400\u{2013}123456",
            "\u{ff10}\u{ff17}\u{ff14}\u{ff10}\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\u{ff16}",
            "\u{660}\u{667}\u{664}\u{660}\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
            "tel:+447400123456",
            "tel:+44-7400-123456;isub=1",
            "tel:07400-123456;phone-context=+44",
            "44 7400 123456",
            "+44 (0) 7400 123456",
        ] {
            assert_eq!(
                digits("GB", typed).as_deref(),
                Ok("447400123456"),
                "{typed:?}"
            );
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
