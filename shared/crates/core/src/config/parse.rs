//! Reads single settings and collects all errors.

use std::{ops::RangeInclusive, time::Duration};

use regex_lite::Regex;

use super::{NamePolicy, PasswordConfig, secret_bytes, settings::DEFAULTS};
use crate::{
    client_network::TrustedProxies,
    ids::{MAX_USER_ID_BYTES, ServerName},
    password_hash::{HashCost, Pepper},
    secrets::{KeyRing, MIN_ROOT_BYTES, Secret},
    threepid::trim,
};

const MIN_PEPPER_BYTES: usize = 16;

/// The raw settings, and the errors found so far.
pub(super) struct Raw<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<String>,
}

impl<'a> Raw<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            errors: Vec::new(),
        }
    }

    pub(super) fn into_errors(self) -> Vec<String> {
        self.errors
    }

    pub(super) fn add_error(&mut self, name: &str, expected: impl AsRef<str>) {
        self.errors.push(format!("{name}: {}", expected.as_ref()));
    }

    /// The value of the setting, or its default. White space and invisible characters at both ends are removed: they
    /// come from files and from copied text, and no setting has them.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let row = DEFAULTS.iter().find(|(setting, _)| *setting == name);
        debug_assert!(row.is_some(), "{name} has no row");
        (self.lookup)(name)
            .map(|value| trim(&value).to_owned())
            .filter(|value| !value.is_empty())
            .or_else(|| row.and_then(|(_, default)| *default).map(str::to_owned))
    }

    /// The value of a secret of this server. Adds an error if it begins or ends with white space: without the white
    /// space it would be another secret, and nothing made with it so far would be valid.
    fn own_secret(&mut self, name: &str) -> Option<Secret<Vec<u8>>> {
        let text = (self.lookup)(name).filter(|value| !value.is_empty())?;
        if trim(&text) != text {
            self.add_error(name, "must not begin or end with white space");
            return None;
        }
        Some(secret_bytes(text))
    }

    /// A key of another provider. Adds an error if it has characters that no key has, for example invisible ones.
    pub(super) fn provider_key(&mut self, name: &str) -> Option<String> {
        let key = self.required(name)?;
        if !key.bytes().all(|b| b.is_ascii_graphic()) {
            self.add_error(name, "must have only visible ASCII characters");
            return None;
        }
        Some(key)
    }

    /// A required setting. Adds an error if it is unset and has no default.
    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        let value = self.get(name);
        if value.is_none() {
            self.add_error(name, "must be set");
        }
        value
    }

    /// A list separated by spaces. Adds an error if `parse` rejects an entry.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let text = self.get(name).unwrap_or_default();
        let list: Option<Vec<T>> = text.split_whitespace().map(parse).collect();
        if list.is_none() {
            self.add_error(name, expected);
        }
        list
    }

    /// A required setting. Adds an error if `parse` rejects the value.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.required(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.add_error(name, expected);
        }
        parsed
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "must be `true` or `false`", |text| text.parse().ok())
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "must be `on` or `off`", |text| match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        })
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        self.parsed(
            name,
            "must be a number with one of the units s, m, h, d, from 1s to 36500d",
            parse_duration,
        )
    }

    #[expect(clippy::option_option, reason = "an error differs from `never`")]
    pub(super) fn lifetime(&mut self, name: &str) -> Option<Option<Duration>> {
        self.parsed(
            name,
            "must be `never` or a number with one of the units s, m, h, d, from 1s to 36500d",
            |text| {
                if text == "never" {
                    Some(None)
                } else {
                    parse_duration(text).map(Some)
                }
            },
        )
    }

    pub(super) fn server_name(&mut self) -> Option<ServerName> {
        self.parsed(
            "GATEHOUSE_SERVER_NAME",
            "must be a Matrix server name, such as `example.org`",
            ServerName::parse,
        )
    }

    pub(super) fn public_url(&mut self, server_name: Option<&ServerName>) -> Option<String> {
        const NAME: &str = "GATEHOUSE_PUBLIC_URL";
        let Some(url) = self.get(NAME) else {
            return server_name.map(|name| format!("https://{name}"));
        };
        if is_http_url(&url) {
            return Some(url.trim_end_matches('/').to_owned());
        }
        self.add_error(NAME, "must be an `https://` or `http://` URL");
        None
    }

    /// Reads the key ring. This does not read Secrets Manager: the lookup already contains the members of the
    /// secret and not its ARN (`key_ring`).
    pub(super) fn key_ring(&mut self) -> Option<KeyRing> {
        const NAME: &str = "GATEHOUSE_SECRET";
        if self.get(NAME).is_some() && self.get("GATEHOUSE_SECRET_ARN").is_some() {
            let expected = "must not be set together with GATEHOUSE_SECRET";
            self.add_error("GATEHOUSE_SECRET_ARN", expected);
        }
        let current = self.required(NAME).and_then(|_| self.root(NAME));
        let next = self.root("GATEHOUSE_SECRET_NEXT");
        let previous = self.root("GATEHOUSE_SECRET_PREVIOUS");
        Some(KeyRing::new(current?, previous).with_next(next))
    }

    fn root(&mut self, name: &str) -> Option<Secret<Vec<u8>>> {
        let bytes = self.own_secret(name)?;
        if bytes.reveal().len() < MIN_ROOT_BYTES {
            self.add_error(name, format!("must have at least {MIN_ROOT_BYTES} bytes"));
            return None;
        }
        // A single repeated character is not a secret, whatever its length. Most likely it is a placeholder.
        if bytes.reveal().windows(2).all(|pair| pair[0] == pair[1]) {
            self.add_error(
                name,
                "must be random, for instance from `openssl rand -base64 32`",
            );
            return None;
        }
        Some(bytes)
    }

    pub(super) fn table_prefix(&mut self) -> Option<String> {
        self.parsed(
            "GATEHOUSE_TABLES",
            "must have 1 to 200 characters of a-z, A-Z, 0-9, `_`, `-` and `.`",
            |text| {
                let is_valid = text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
                (is_valid && text.len() <= 200).then(|| text.to_owned())
            },
        )
    }

    pub(super) fn name_policy(&mut self) -> Option<NamePolicy> {
        let reserved = self.get("GATEHOUSE_RESERVED_NAMES").unwrap_or_default();
        let reserved = if reserved == "none" {
            String::new()
        } else {
            reserved.to_ascii_lowercase()
        };
        let length = self.parsed(
            "GATEHOUSE_NAME_LENGTH",
            "must be two numbers from 1 to 255, the smaller one first, such as `3-30`",
            length,
        );
        let pattern = match self
            .get("GATEHOUSE_NAME_PATTERN")
            .map(|text| Regex::new(&format!("^(?:{text})$")))
        {
            None => None,
            Some(Ok(pattern)) => Some(pattern),
            Some(Err(_)) => {
                self.add_error("GATEHOUSE_NAME_PATTERN", "must be a regular expression");
                return None;
            }
        };
        Some(NamePolicy {
            reserved: reserved.split_whitespace().map(str::to_owned).collect(),
            pattern,
            length: length?,
        })
    }

    pub(super) fn passwords(&mut self) -> Option<PasswordConfig> {
        let min_score = self.parsed(
            "GATEHOUSE_PASSWORD_MIN_SCORE",
            "must be a number from 0 to 4",
            |text| text.parse().ok().filter(|score| (0..=4).contains(score)),
        );
        let cost = self.parsed(
            "GATEHOUSE_ARGON2",
            "must have the format `m=19456,t=2,p=1`, with m from 8*p to 1048576 and m*t at most 2097152",
            HashCost::parse,
        );
        let pepper = self.pepper("GATEHOUSE_PASSWORD_PEPPER");
        let previous_pepper = self.pepper("GATEHOUSE_PASSWORD_PEPPER_PREVIOUS");
        let imported_pepper = self.imported_pepper();
        Some(PasswordConfig {
            min_score: min_score?,
            cost: cost?,
            pepper,
            previous_pepper,
            imported_pepper,
        })
    }

    /// The pepper of the server that users are imported from. Any length is valid, because that server chose the
    /// pepper.
    pub(super) fn imported_pepper(&self) -> Option<Pepper> {
        let pepper = self.get("GATEHOUSE_IMPORTED_PEPPER");
        pepper.map(|pepper| Pepper::new(secret_bytes(pepper)))
    }

    fn pepper(&mut self, name: &str) -> Option<Pepper> {
        let pepper = self.own_secret(name)?;
        if pepper.reveal().len() < MIN_PEPPER_BYTES {
            self.add_error(name, format!("must have at least {MIN_PEPPER_BYTES} bytes"));
        }
        Some(Pepper::new(pepper))
    }

    pub(super) fn trusted_proxies(&mut self) -> Option<TrustedProxies> {
        let text = self.get("GATEHOUSE_TRUSTED_PROXIES").unwrap_or_default();
        match TrustedProxies::parse(&text) {
            Ok(proxies) => Some(proxies),
            Err(entry) => {
                self.add_error(
                    "GATEHOUSE_TRUSTED_PROXIES",
                    format!("`{entry}` is neither an IP address nor a CIDR range"),
                );
                None
            }
        }
    }
}

/// Whether `text` is an `http` or `https` URL without characters that could end a quoted attribute or a header.
/// Plain HTTP is used only where a setting names it (HTTP-23).
pub(super) fn is_http_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let clean = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'<>\\;,".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && text.chars().all(clean))
}

/// The maximum duration of a setting. A longer duration is most likely a mistake.
pub const LONGEST_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

/// Parses a number with one of the units `s`, `m`, `h`, `d`. Returns `None` for zero and for more than a
/// hundred years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let duration = Duration::from_secs(number.checked_mul(seconds)?);
    (!duration.is_zero() && duration <= LONGEST_DURATION).then_some(duration)
}

fn length(text: &str) -> Option<(usize, usize)> {
    const VALID: RangeInclusive<usize> = 1..=MAX_USER_ID_BYTES;
    let (least, most) = text.split_once('-')?;
    let (least, most) = (least.parse().ok()?, most.parse().ok()?);
    (least <= most && VALID.contains(&least) && VALID.contains(&most)).then_some((least, most))
}
