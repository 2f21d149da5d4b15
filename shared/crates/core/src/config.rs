//! Configuration: the environment variables, parsed once into a [`Config`] and checked against one another.
//!
//! [`SETTINGS`] is the only list of names; `docs/configuration.md` is generated from it. All errors are reported at
//! once, each with the name of its setting. A wrong value never falls back to a default. This module does not read
//! the environment: the caller provides a lookup function.

mod flows;
mod homeserver;
mod identity_servers;
mod messages;
mod oauth;
mod parse;
mod partial;
mod sender;
mod settings;
mod well_known;

use std::{ffi::OsString, fmt, time::Duration};

use regex_lite::Regex;

pub use flows::{CaptchaConfig, CaptchaProvider, Flow, Policies};
pub use homeserver::HomeserverConfig;
pub use identity_servers::{IdServerApi, IdentityServers, Validation};
pub use messages::{
    AddressPolicy, DailyLimits, EmailLink, MailConfig, Privacy, SmsConfig, SmsNumbers,
};
pub use oauth::{AuthApis, OAuthConfig};
pub use parse::{LONGEST_DURATION, parse_duration};
pub use partial::{
    read_captcha, read_homeserver, read_imported_pepper, read_keys, read_passwords, read_tables,
    sender_address,
};
pub use settings::{SETTINGS, Setting};
pub use well_known::WellKnown;

use crate::{
    client_network::TrustedProxies,
    ids::ServerName,
    password_hash::{HashCost, Pepper},
    secrets::{KeyRing, Secret},
};

/// The configuration.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent setting"
)]
pub struct Config {
    /// The name of the homeserver, the part of a user ID after the colon.
    pub server_name: ServerName,
    /// The URL at which clients reach this service, without a trailing slash.
    pub public_url: String,
    /// The keys of all keyed hashes and sealed values.
    pub keys: KeyRing,
    /// The prefix of the table names.
    pub tables: String,
    /// Whether and how users can register.
    pub registration: Registration,
    /// The lifetime of a guest's token. `None` if guests are disabled.
    pub guests: Option<Duration>,
    /// The rules for new names.
    pub names: NamePolicy,
    /// The rules for new passwords, and how passwords are hashed.
    pub passwords: PasswordConfig,
    /// The lifetimes of access tokens.
    pub tokens: TokenLifetimes,
    /// Whether users may change or reset their password (PWD-15).
    pub password_changes: bool,
    /// How long after its validation a phone number alone can reset a password. `None` if there is no time limit.
    pub reset_phone_age: Option<Duration>,
    /// Whether users may add and remove 3PIDs of their account (ACC3-07).
    pub threepid_changes: bool,
    /// Whether users may deactivate their account (DEACT-17).
    pub deactivation: bool,
    /// The homeserver whose accounts are kept here. `None` if no homeserver is configured.
    pub homeserver: Option<HomeserverConfig>,
    /// The OAuth 2.0 API.
    pub oauth: OAuthConfig,
    /// The content of `/.well-known/matrix/client`. `None` if that path returns 404 (WK-01).
    pub well_known: Option<WellKnown>,
    /// The captcha provider, if configured.
    pub captcha: Option<CaptchaConfig>,
    /// The policies that a new user must accept, if any.
    pub policies: Option<Policies>,
    /// The settings of e-mails. `None` if no e-mail is sent.
    pub mail: Option<MailConfig>,
    /// The settings of text messages. `None` if no text message is sent.
    pub sms: Option<SmsConfig>,
    /// The e-mail addresses that may be used.
    pub email_policy: AddressPolicy,
    /// The phone numbers that may be used.
    pub phone_policy: AddressPolicy,
    /// The hosts that a browser may be redirected to after validation, in lower case.
    pub next_link_hosts: Vec<String>,
    /// Whether a client learns that a 3PID belongs to an account.
    pub threepid_privacy: Privacy,
    /// The most messages of each medium that are sent in a day.
    pub daily_limits: DailyLimits,
    /// Whether an e-mail and the page behind its link show the client network that requested the e-mail.
    pub shows_request_network: bool,
    /// The trusted identity servers, and how they are used.
    pub identity_servers: IdentityServers,
    /// Whether rate limits apply.
    pub limits: bool,
    /// The proxies that may set `X-Forwarded-For`.
    pub trusted_proxies: TrustedProxies,
    /// Whether access tokens in the query string are accepted (TOK-02).
    pub query_tokens: bool,
}

/// Whether and how users can register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Only application services and, if enabled, guests can register (REG-29).
    Closed,
    /// A user who completes one of these flows can register.
    Open(Vec<Flow>),
}

/// The rules for new names, in addition to the grammar.
#[derive(Debug, Clone)]
pub struct NamePolicy {
    /// Names that no new account may take, in lower case.
    pub reserved: Vec<String>,
    /// The pattern that the whole name must match.
    pub pattern: Option<Regex>,
    /// The minimum and the maximum length, in characters.
    pub length: (usize, usize),
}

/// The rules for new passwords, and how passwords are hashed.
#[derive(Debug, Clone)]
pub struct PasswordConfig {
    /// The minimum zxcvbn score, 0 to 4.
    pub min_score: u8,
    /// The cost of a new hash.
    pub cost: HashCost,
    /// The pepper of new hashes.
    pub pepper: Option<Pepper>,
    /// The previous pepper. Stored hashes may still have been made with it.
    pub previous_pepper: Option<Pepper>,
    /// The pepper of the server that imported hashes come from.
    pub imported_pepper: Option<Pepper>,
}

impl PasswordConfig {
    /// All peppers that a stored hash may have been made with.
    pub(crate) fn peppers(&self) -> impl Iterator<Item = &Pepper> {
        let others = self.previous_pepper.iter().chain(&self.imported_pepper);
        self.pepper.iter().chain(others)
    }
}

/// The lifetimes of access tokens. `None` if the tokens do not expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLifetimes {
    /// The lifetime for a client without a refresh token.
    pub non_refreshable: Option<Duration>,
    /// The lifetime for a client with a refresh token.
    pub refreshable: Option<Duration>,
}

impl TokenLifetimes {
    /// The lifetime of an access token of a client with or without a refresh token.
    pub const fn of(self, refreshable: bool) -> Option<Duration> {
        if refreshable {
            self.refreshable
        } else {
            self.non_refreshable
        }
    }
}

/// All errors of a configuration, one per line.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// Appends other errors.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

impl Config {
    /// Reads and checks all settings. An empty value is treated as unset.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut raw = parse::Raw::new(&lookup);
        let config = Self::read(&mut raw);
        match (config, raw.into_errors()) {
            (Some(config), errors) if errors.is_empty() => Ok(config),
            (_, errors) => Err(ConfigErrors(errors)),
        }
    }

    /// Fails with the names among `names` that begin with `GATEHOUSE_` and are not settings: most likely, these
    /// names are misspelt.
    pub fn unknown_settings(names: impl Iterator<Item = String>) -> Result<(), ConfigErrors> {
        let unknown: Vec<_> = names
            .filter(|name| {
                name.starts_with("GATEHOUSE_") && SETTINGS.iter().all(|row| row.name != name)
            })
            .map(|name| format!("{name}: unknown setting; check its spelling"))
            .collect();
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(unknown))
        }
    }

    /// Checks environment variables: fails with the settings whose value is not valid UTF-8, and like
    /// [`Config::unknown_settings`].
    pub fn check_environment(variables: &[(OsString, OsString)]) -> Result<(), ConfigErrors> {
        let names = variables
            .iter()
            .map(|(name, _)| name.to_string_lossy().into_owned());
        match (
            Self::check_encoding(variables),
            Self::unknown_settings(names),
        ) {
            (Err(encoding), Err(unknown)) => Err(encoding.and(unknown)),
            (encoding, unknown) => encoding.and(unknown),
        }
    }

    /// Fails with the settings whose value is not valid UTF-8. They would be treated as unset.
    fn check_encoding(variables: &[(OsString, OsString)]) -> Result<(), ConfigErrors> {
        let invalid: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .filter(|(name, value)| name.starts_with("GATEHOUSE_") && value.to_str().is_none())
            .map(|(name, _)| format!("{name}: is not valid UTF-8"))
            .collect();
        if invalid.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(invalid))
        }
    }

    /// The registration flows that are offered. Empty if registration is closed.
    pub fn flows(&self) -> &[Flow] {
        match &self.registration {
            Registration::Closed => &[],
            Registration::Open(flows) => flows,
        }
    }

    /// Whether a registration flow contains this stage.
    pub fn offers(&self, stage: crate::stage_type::StageType) -> bool {
        self.flows().iter().flatten().any(|own| *own == stage)
    }

    // Every setting is read before the first `?`, so that one error does not hide another.
    fn read(raw: &mut parse::Raw<'_>) -> Option<Self> {
        let server_name = raw.server_name();
        let public_url = raw.public_url(server_name.as_ref());
        let keys = raw.key_ring();
        let tables = raw.table_prefix();
        let captcha = flows::read_captcha(raw);
        let policies = flows::read_policies(raw);
        let messages = messages::read(raw);
        let identity_servers = identity_servers::read(raw);
        let delegates = identity_servers
            .as_ref()
            .is_some_and(identity_servers::Read::delegates);
        let media = messages.as_ref().map(|own| own.media(delegates));
        let registration =
            flows::read_registration(raw, captcha.is_some(), policies.is_some(), media);
        let guests = raw.flag("GATEHOUSE_GUESTS");
        let guest_lifetime = raw.duration("GATEHOUSE_GUEST_LIFETIME");
        let names = raw.name_policy();
        let passwords = raw.passwords();
        let non_refreshable = raw.lifetime("GATEHOUSE_TOKEN_LIFETIME");
        let refreshable = raw.lifetime("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME");
        let reset_phone_age = raw.lifetime("GATEHOUSE_RESET_PHONE_AGE");
        let password_changes = raw.switch("GATEHOUSE_PASSWORD_CHANGES");
        let threepid_changes = raw.switch("GATEHOUSE_3PID_CHANGES");
        let deactivation = raw.switch("GATEHOUSE_DEACTIVATION");
        let homeserver = homeserver::read(raw);
        let oauth = oauth::read(raw, public_url.as_deref());
        let well_known = well_known::read(raw);
        let limits = raw.switch("GATEHOUSE_LIMITS");
        let trusted_proxies = raw.trusted_proxies();
        let query_tokens = raw.switch("GATEHOUSE_QUERY_TOKENS");
        let messages = messages?;
        let keys = keys?;
        let identity_servers = identity_servers?.with_keys(&keys)?;
        Some(Self {
            server_name: server_name?,
            public_url: public_url?,
            keys,
            tables: tables?,
            registration: registration?,
            guests: if guests? { Some(guest_lifetime?) } else { None },
            names: names?,
            passwords: passwords?,
            tokens: TokenLifetimes {
                non_refreshable: non_refreshable?,
                refreshable: refreshable?,
            },
            password_changes: password_changes?,
            reset_phone_age: reset_phone_age?,
            threepid_changes: threepid_changes?,
            deactivation: deactivation?,
            homeserver: homeserver?,
            oauth: oauth?,
            well_known: well_known?,
            captcha,
            policies,
            mail: messages.mail,
            sms: messages.sms,
            email_policy: messages.email_policy,
            phone_policy: messages.phone_policy,
            next_link_hosts: messages.next_link_hosts,
            threepid_privacy: messages.privacy,
            daily_limits: messages.daily_limits,
            shows_request_network: messages.shows_request_network,
            identity_servers,
            limits: limits?,
            trusted_proxies: trusted_proxies?,
            query_tokens: query_tokens?,
        })
    }
}

/// The bytes of a secret setting: its text without any decoding.
fn secret_bytes(text: String) -> Secret<Vec<u8>> {
    Secret::new(text.into_bytes())
}

#[cfg(test)]
mod tests;
