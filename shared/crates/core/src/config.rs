//! Settings: the environment's strings, checked and cross-checked once, into a [`Config`].
//!
//! The rows of [`SETTINGS`] are the only list of names; the README's table is made from them. All
//! faults are reported at once and by name, and nothing falls back silently. Does not know where
//! the strings come from: the caller hands in a look-up.

mod flows;
mod identity_servers;
mod messages;
mod parse;
mod settings;
mod well_known;

use std::{fmt, time::Duration};

use regex_lite::Regex;

pub use flows::{CaptchaConfig, CaptchaProvider, Flow, Policies};
pub use identity_servers::{IdServerApi, IdentityServers, Validation};
pub use messages::{AddressPolicy, EmailLink, MailConfig, Privacy, SmsConfig, SmsNumbers};
pub use parse::parse_duration;
pub use settings::{SETTINGS, Setting};
pub use well_known::WellKnown;

use crate::{
    client_network::TrustedProxies,
    ids::ServerName,
    password_hash::{HashCost, Pepper},
    secrets::{KeyRing, Secret},
};

/// Everything an operator decides.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the operator's"
)]
pub struct Config {
    /// The homeserver's name, behind the colon of every user ID.
    pub server_name: ServerName,
    /// Where clients reach this service, without a slash at the end.
    pub public_url: String,
    /// The keys of every hash and seal.
    pub keys: KeyRing,
    /// Prefix of the tables' names.
    pub tables: String,
    /// Who may register, and how.
    pub registration: Registration,
    /// How long guests live; `None` if there are none.
    pub guests: Option<Duration>,
    /// What names may be chosen.
    pub names: NamePolicy,
    /// What passwords may be chosen and how they are hashed.
    pub passwords: PasswordConfig,
    /// How long tokens live.
    pub tokens: TokenLifetimes,
    /// Whether people may change their password.
    pub password_changes: bool,
    /// For how long a confirmed phone number alone can reset a password; `None` is for ever.
    pub reset_phone_age: Option<Duration>,
    /// Whether people may change the addresses of their account (ACC3-07).
    pub threepid_changes: bool,
    /// Whether people may deactivate their account (DEACT-17).
    pub deactivation: bool,
    /// Where clients are sent from the server name's own host; `None` if they are not (WK-01).
    pub well_known: Option<WellKnown>,
    /// The captcha provider, if one is set up.
    pub captcha: Option<CaptchaConfig>,
    /// The policies a new user accepts, if there are any.
    pub policies: Option<Policies>,
    /// How mail is sent; `None` if it is not.
    pub mail: Option<MailConfig>,
    /// How text messages are sent; `None` if they are not.
    pub sms: Option<SmsConfig>,
    /// Which e-mail addresses may be used.
    pub email_policy: AddressPolicy,
    /// Which phone numbers may be used.
    pub phone_policy: AddressPolicy,
    /// Hosts that a browser may be sent to after validation.
    pub next_link_hosts: Vec<String>,
    /// Whether strangers are told who has an account.
    pub threepid_privacy: Privacy,
    /// Which identity servers are asked, and how.
    pub identity_servers: IdentityServers,
    /// Whether rates are limited.
    pub limits: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether an access token in the query is accepted (TOK-02).
    pub query_tokens: bool,
}

/// Who may register, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Nobody but application services and, if they are on, guests (REG-29).
    Closed,
    /// Whoever completes one of these flows.
    Open(Vec<Flow>),
}

/// What names a new user may choose, beyond the grammar.
#[derive(Debug, Clone)]
pub struct NamePolicy {
    /// Names that nobody may take.
    pub reserved: Vec<String>,
    /// What the whole name must match.
    pub pattern: Option<Regex>,
    /// The least and the greatest length, in characters.
    pub length: (usize, usize),
}

/// What passwords are accepted and how they are hashed.
#[derive(Debug, Clone)]
pub struct PasswordConfig {
    /// The least zxcvbn score, 0 to 4.
    pub min_score: u8,
    /// The cost of one hash.
    pub cost: HashCost,
    /// A secret mixed into every hash.
    pub pepper: Option<Pepper>,
    /// The one before it, which hashes may still be made with.
    pub previous_pepper: Option<Pepper>,
    /// The secret that another server mixed into the hashes that were imported from it.
    pub imported_pepper: Option<Pepper>,
}

impl PasswordConfig {
    /// Whatever may have gone into a stored hash.
    pub(crate) fn peppers(&self) -> impl Iterator<Item = &Pepper> {
        let others = self.previous_pepper.iter().chain(&self.imported_pepper);
        self.pepper.iter().chain(others)
    }
}

/// How long access tokens live; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLifetimes {
    /// Of a client that does not refresh.
    pub non_refreshable: Option<Duration>,
    /// Of a client that refreshes.
    pub refreshable: Option<Duration>,
}

impl TokenLifetimes {
    /// How long a client's access token lives that refreshes, or does not.
    pub const fn of(self, refreshable: bool) -> Option<Duration> {
        if refreshable {
            self.refreshable
        } else {
            self.non_refreshable
        }
    }
}

/// All that is wrong with a configuration, one line a fault.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// These faults and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

impl Config {
    /// Reads and checks every setting. Empty is the same as unset.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut raw = parse::Raw::new(&lookup);
        let config = Self::read(&mut raw);
        match (config, raw.into_errors()) {
            (Some(config), errors) if errors.is_empty() => Ok(config),
            (_, errors) => Err(ConfigErrors(errors)),
        }
    }

    /// The names among `names` that look like ours and are no setting: most likely misspelt.
    pub fn unknown_settings(names: impl Iterator<Item = String>) -> Result<(), ConfigErrors> {
        let unknown: Vec<_> = names
            .filter(|name| {
                name.starts_with("GATEHOUSE_") && SETTINGS.iter().all(|row| row.name != name)
            })
            .map(|name| format!("{name}: there is no such setting"))
            .collect();
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(unknown))
        }
    }

    /// The flows offered for registration: none when it is closed.
    pub fn flows(&self) -> &[Flow] {
        match &self.registration {
            Registration::Closed => &[],
            Registration::Open(flows) => flows,
        }
    }

    /// Whether some way to register asks for this stage.
    pub fn offers(&self, stage: crate::stage_type::StageType) -> bool {
        self.flows().iter().flatten().any(|own| *own == stage)
    }

    // Every part is read before the first `?`, so that one fault does not hide the next.
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
            well_known: well_known?,
            captcha,
            policies,
            mail: messages.mail,
            sms: messages.sms,
            email_policy: messages.email_policy,
            phone_policy: messages.phone_policy,
            next_link_hosts: messages.next_link_hosts,
            threepid_privacy: messages.privacy,
            identity_servers,
            limits: limits?,
            trusted_proxies: trusted_proxies?,
            query_tokens: query_tokens?,
        })
    }
}

/// The settings that the operator's command needs: the keys and the tables' prefix.
pub fn read_keys(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(KeyRing, String), ConfigErrors> {
    let mut raw = parse::Raw::new(&lookup);
    match (raw.key_ring(), raw.table_prefix(), raw.into_errors()) {
        (Some(keys), Some(tables), errors) if errors.is_empty() => Ok((keys, tables)),
        (_, _, errors) => Err(ConfigErrors(errors)),
    }
}

/// What a function needs to open the connection to its tables, before it has its keys: their prefix, and
/// whether it is to.
pub fn read_tables(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(String, bool), ConfigErrors> {
    let mut raw = parse::Raw::new(&lookup);
    let (tables, warm_up) = (raw.table_prefix(), raw.flag("GATEHOUSE_WARM_UP"));
    match (tables, warm_up, raw.into_errors()) {
        (Some(tables), Some(warm_up), _) => Ok((tables, warm_up)),
        (_, _, errors) => Err(ConfigErrors(errors)),
    }
}

/// How passwords are hashed here, as far as these settings say.
pub fn read_passwords(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<PasswordConfig, ConfigErrors> {
    let mut raw = parse::Raw::new(&lookup);
    match (raw.passwords(), raw.into_errors()) {
        (Some(config), errors) if errors.is_empty() => Ok(config),
        (_, errors) => Err(ConfigErrors(errors)),
    }
}

/// The pepper of the server that users are imported from, if it had one.
pub fn read_imported_pepper(lookup: impl Fn(&str) -> Option<String>) -> Option<Pepper> {
    parse::Raw::new(&lookup).imported_pepper()
}

/// The bytes of a secret setting: its text as it stands.
fn secret_bytes(text: String) -> Secret<Vec<u8>> {
    Secret::new(text.into_bytes())
}

#[cfg(test)]
mod tests;
