//! A phone number of a country: the algorithm of Google's libphonenumber on the metadata of the `phonenumber` crate.
//!
//! The parser of the crate is not used. It removes the trunk prefix of the country in which a number is dialled, not of
//! the country of the number. Its kinds of numbers ignore a leading zero. Every mobile number of Benin and Côte
//! d'Ivoire begins with one.

use phonenumber::{
    Mode, Type,
    metadata::{DATABASE, Descriptor, Metadata},
};
use regex_lite::Regex;

use super::typed::Typed;

/// The minimum and the maximum number of digits of a national number.
const NATIONAL_DIGITS: std::ops::RangeInclusive<usize> = 2..=17;
/// The maximum number of digits of a calling code.
const MAX_CODE_DIGITS: usize = 3;
/// The maximum number of digits (E.164).
pub(super) const MAX_DIGITS: usize = 15;

/// A phone number without any prefix for dialling.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Number {
    code: u16,
    national: String,
}

impl Number {
    /// The number that is reached by dialling `typed` in the region of the metadata.
    pub(super) fn read(dialled_in: &Metadata, typed: &Typed) -> Option<Self> {
        let digits = &*typed.digits;
        let abroad = match without_international_prefix(dialled_in, digits) {
            // Some users type a plus and the international prefix too, or a plus before a national number.
            prefixed if typed.is_international => {
                split_code(digits).or_else(|| split_code(prefixed?))
            }
            Some(rest) => Some(split_code(rest)?),
            None => without_own_code(dialled_in, digits),
        };
        let (code, national) = match abroad {
            Some((code, national)) => (code, without_trunk_prefix(main_region(code)?, national)),
            None if typed.is_international => return None,
            None => (
                dialled_in.country_code(),
                without_trunk_prefix(dialled_in, digits),
            ),
        };
        Self { code, national }.checked()
    }

    /// The number whose digits begin with its calling code.
    pub(super) fn international(digits: &str) -> Option<Self> {
        let (code, national) = split_code(digits)?;
        let national = without_trunk_prefix(main_region(code)?, national);
        Self { code, national }.checked()
    }

    fn checked(self) -> Option<Self> {
        let is_valid =
            NATIONAL_DIGITS.contains(&self.national.len()) && self.digits().len() <= MAX_DIGITS;
        is_valid.then_some(self)
    }

    /// The digits of E.164, without a plus.
    pub(super) fn digits(&self) -> String {
        format!("{}{}", self.code, self.national)
    }

    /// The international format with spaces, for display.
    pub(super) fn readable(&self) -> String {
        let plain = format!("+{}", self.digits());
        phonenumber::parse(None, &plain)
            .ok()
            .filter(|number| number.format().mode(Mode::E164).to_string() == plain)
            .map_or_else(
                || format!("+{} {}", self.code, self.national),
                |number| number.format().mode(Mode::International).to_string(),
            )
    }

    /// The region and the kind of an assignable number. Regions may share a calling code.
    pub(super) fn region(&self) -> Option<(&'static str, Type)> {
        let regions = DATABASE.by_code(&self.code)?;
        let is_shared = regions.len() > 1;
        for region in regions {
            let has_area_code = self.has_area_code_of(region);
            if is_shared && has_area_code == Some(false) {
                continue;
            }
            let kind = self.kind(region);
            if kind != Type::Unknown {
                return Some((region.id(), kind));
            }
            // A region with the area code, or the only region, ends the search.
            if !is_shared || has_area_code == Some(true) {
                return None;
            }
        }
        None
    }

    /// The region of a number that is not assigned but has a possible length: the region with its area code, or else
    /// the main region of the calling code.
    pub(super) fn possible_region(&self) -> Option<&'static str> {
        let regions = DATABASE.by_code(&self.code)?;
        let own = regions
            .iter()
            .find(|region| self.has_area_code_of(region) == Some(true));
        let region = own.or(regions.first())?;
        // The general description has no lengths, so the lengths of the kinds of numbers apply.
        let kinds = [
            region.descriptors().mobile(),
            region.descriptors().fixed_line(),
        ];
        let length = u16::try_from(self.national.len()).ok()?;
        let is_possible = kinds
            .into_iter()
            .flatten()
            .any(|kind| kind.possible_length().contains(&length));
        is_possible.then(|| region.id())
    }

    /// Whether the number begins with an area code of the region. `None` if the region has no area codes of its own.
    fn has_area_code_of(&self, region: &Metadata) -> Option<bool> {
        let found = region.leading_digits()?.find(&self.national);
        Some(found.is_some_and(|found| found.start() == 0))
    }

    /// The kind of the number, if it belongs to the region.
    fn kind(&self, region: &Metadata) -> Type {
        let all = region.descriptors();
        let is = |kind: Option<&Descriptor>| kind.is_some_and(|kind| matches(kind, &self.national));
        if !matches(all.general(), &self.national) {
            return Type::Unknown;
        }
        let special = [
            (all.premium_rate(), Type::PremiumRate),
            (all.toll_free(), Type::TollFree),
            (all.shared_cost(), Type::SharedCost),
            (all.voip(), Type::Voip),
            (all.personal_number(), Type::PersonalNumber),
            (all.pager(), Type::Pager),
            (all.uan(), Type::Uan),
            (all.voicemail(), Type::Voicemail),
        ];
        if let Some((_, kind)) = special.into_iter().find(|(kind, _)| is(*kind)) {
            return kind;
        }
        match (is(all.fixed_line()), is(all.mobile())) {
            (true, true) => Type::FixedLineOrMobile,
            (true, false) => Type::FixedLine,
            (false, true) => Type::Mobile,
            (false, false) => Type::Unknown,
        }
    }
}

/// The digits after the international prefix, if there is one.
fn without_international_prefix<'a>(dialled_in: &Metadata, digits: &'a str) -> Option<&'a str> {
    let prefix = dialled_in.international_prefix()?;
    let rest = &digits[prefix
        .find(digits)
        .filter(|found| found.start() == 0)?
        .end()..];
    // No calling code begins with a zero.
    (!rest.starts_with('0')).then_some(rest)
}

/// The calling code at the beginning, and the national number after it.
fn split_code(digits: &str) -> Option<(u16, &str)> {
    if digits.starts_with('0') {
        return None;
    }
    (1..=MAX_CODE_DIGITS).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        let code = code.parse().ok()?;
        DATABASE.by_code(&code).map(|_| (code, national))
    })
}

fn main_region(code: u16) -> Option<&'static Metadata> {
    DATABASE.by_code(&code)?.into_iter().next()
}

/// The calling code and the national number, if the digits begin with the calling code of the region without a plus.
/// `None` if the digits are a national number as they are.
fn without_own_code<'a>(region: &Metadata, digits: &'a str) -> Option<(u16, &'a str)> {
    let code = region.country_code();
    let national = digits.strip_prefix(&code.to_string())?;
    let general = region.descriptors().general();
    let is_code = (!matches(general, digits)
        && matches(general, &without_trunk_prefix(region, national)))
        || is_too_long(region, digits.len());
    is_code.then_some((code, national))
}

/// The number without the trunk prefix of the region, and with an area code that the region adds to local numbers.
fn without_trunk_prefix(region: &Metadata, national: &str) -> String {
    let stripped = transformed(region, national).filter(|stripped| {
        let general = region.descriptors().general();
        !matches(general, national) || matches(general, stripped)
    });
    match stripped {
        Some(stripped) if may_be_whole(region, stripped.len()) => stripped,
        _ => national.to_owned(),
    }
}

/// The number after the pattern of the trunk prefix is applied.
fn transformed(region: &Metadata, national: &str) -> Option<String> {
    let Some(pattern) = region.national_prefix_for_parsing() else {
        return national
            .strip_prefix(region.national_prefix()?)
            .map(str::to_owned);
    };
    let found = pattern.captures(national)?;
    let whole = found.get(0).filter(|whole| whole.start() == 0)?;
    let rest = &national[whole.end()..];
    let last = found.get(found.len() - 1).filter(|_| found.len() > 1);
    let rule = region.national_prefix_transform_rule().zip(last);
    Some(match rule {
        Some((rule, _)) => {
            // A rule has one group, `$1` to `$9`. The syntax of replacements in Rust reads `$19` as one group.
            let (before, group) = rule.split_once('$')?;
            let number = group.get(..1)?.parse().ok()?;
            let group_text = found.get(number).map_or("", |group| group.as_str());
            format!("{before}{group_text}{}{rest}", &group[1..])
        }
        None => rest.to_owned(),
    })
}

/// The lengths of the national numbers of a region, with their area code. The general description of a region has no
/// lengths: they are the lengths of all kinds together.
fn lengths(region: &Metadata) -> impl Iterator<Item = usize> {
    let all = region.descriptors();
    let kinds = [
        Some(all.general()),
        all.fixed_line(),
        all.mobile(),
        all.toll_free(),
        all.premium_rate(),
        all.shared_cost(),
        all.personal_number(),
        all.voip(),
        all.pager(),
        all.uan(),
        all.voicemail(),
    ];
    let kinds = kinds.into_iter().flatten();
    let lengths = kinds.flat_map(Descriptor::possible_length);
    lengths.map(|length| usize::from(*length))
}

/// Whether a number of this length is longer than every number of the region.
fn is_too_long(region: &Metadata, length: usize) -> bool {
    lengths(region)
        .max()
        .is_some_and(|longest| length > longest)
}

/// Whether a number of this length may be a whole number, with or without digits that follow it.
fn may_be_whole(region: &Metadata, length: usize) -> bool {
    lengths(region).any(|own| own == length) || is_too_long(region, length)
}

/// Whether the whole number matches the description.
fn matches(kind: &Descriptor, national: &str) -> bool {
    let lengths = kind.possible_length();
    let length = u16::try_from(national.len()).unwrap_or(u16::MAX);
    (lengths.is_empty() || lengths.contains(&length))
        && Regex::new(&format!("(?x)^(?:{})$", kind.national_number().as_str()))
            .is_ok_and(|pattern| pattern.is_match(national))
}
