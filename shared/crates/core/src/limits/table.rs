//! The table of all rate limits.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The limits, in the order of [`LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests to `POST /register` of ordinary users.
    Register,
    /// Checks whether a name is free.
    Available,
    /// Checks of a registration token, by its validity endpoint or in the UIA stage.
    RegistrationToken,
    /// New UIA sessions. Each is a row.
    UiaSession,
    /// Calls to the captcha provider.
    Captcha,
    /// Password hashes.
    PasswordHash,
    /// Password attempts, by the identifier that the client sent and its network.
    NetworkPasswordAttempts,
    /// Password attempts without an access token, by account, from all networks together.
    AccountPasswordAttempts,
    /// Password attempts with an access token of the account, by account and the time of its last password change.
    /// They have a separate quota, so that attackers without a token cannot use up the owner's, and so that a stolen
    /// token that is used from many networks allows hardly more attempts than from one network. The limit applies to
    /// known networks too: an owner whose attempts are rejected can log out all devices.
    TokenHolderPasswordAttempts,
    /// Requests to UIA-protected endpoints of an account.
    Account,
    /// Logins.
    Login,
    /// Requests for new tokens.
    Refresh,
    /// New guests.
    Guest,
    /// Fallback pages that are opened or submitted, and forms of the OAuth 2.0 pages that need no password.
    FallbackPage,
    /// Fallback pages that are opened or reload themselves while they wait for a link, by session, so that they do not
    /// use up the quota of their network.
    WaitingPage,
    /// Requests for a validation message, whether one is sent or not.
    RequestToken,
    /// Submissions of a code or a link's token.
    SubmitToken,
    /// Requests to an identity server.
    IdServer,
    /// Messages that are requested, by network.
    Message,
    /// Messages that are requested from the /56 of an IPv6 network.
    MessageBlock56,
    /// Messages that are requested from the /48 of an IPv6 network.
    MessageBlock48,
    /// E-mails that are requested, by mailbox and network, so that one network cannot use up the quota of others. This
    /// limit and the next seven do not count messages for a password reset.
    MailFromNetwork,
    /// E-mails that are sent, by mailbox.
    MailAddress,
    /// Text messages that are requested, by number and network.
    SmsFromNetwork,
    /// Text messages that are requested, by block of numbers and network: the share of one network in the quota of the
    /// block.
    SmsPrefixFromNetwork,
    /// Text messages that are requested, by country and network: the share of one network in the quota of the country.
    SmsCountryFromNetwork,
    /// Text messages that are sent, by number.
    SmsNumber,
    /// Text messages that are sent, by the number without its last digits, because one party may own a block of
    /// numbers.
    SmsPrefix,
    /// Text messages that are sent, by country.
    SmsCountry,
    /// E-mails for a password reset that are requested, by mailbox and network. This limit and the next seven are
    /// separate, so that requests for other messages cannot keep an account owner from a reset.
    ResetMailFromNetwork,
    /// E-mails for a password reset that are sent, by mailbox.
    ResetMailAddress,
    /// Text messages for a password reset that are requested, by number and network.
    ResetSmsFromNetwork,
    /// Text messages for a password reset that are requested, by block of numbers and network.
    ResetSmsPrefixFromNetwork,
    /// Text messages for a password reset that are requested, by country and network.
    ResetSmsCountryFromNetwork,
    /// Text messages for a password reset that are sent, by number.
    ResetSmsNumber,
    /// Text messages for a password reset that are sent, by the number without its last digits.
    ResetSmsPrefix,
    /// Text messages for a password reset that are sent, by country.
    ResetSmsCountry,
    /// Messages that tell an account owner that someone else entered a 3PID of the account, by 3PID and network.
    KnownNotice,
    /// The messages of [`Limit::KnownNotice`] because of requests from networks that the owner has not used.
    KnownNoticeAddress,
    /// Wrong codes of text messages, by network.
    CodeFromNetwork,
    /// Wrong codes of text messages, by number and network.
    CodeForNumberFromNetwork,
    /// Wrong codes of text messages, by number, in all validation sessions together.
    CodeForNumber,
    /// Security notifications, by account and kind, so that repeating an action cannot flood the mailbox
    /// and one kind cannot suppress another. Password resets are not counted.
    Notice,
    /// Password resets, by the validated 3PID. The quota is separate and belongs to the 3PID. Otherwise a client that
    /// has the password or a token, or the holder of another 3PID of the account, could keep the account owner from a
    /// reset.
    Reset,
    /// 3PIDs that are added to an account. Each mailbox of the account is notified.
    Addition,
    /// Requests with an access token that only read. Services that verify tokens by `whoami` send the requests of many
    /// users from one network, so one more request is allowed every 200 ms.
    Read,
    /// Requests with an access token that only read, by access token. The quota is larger than that of a network, so
    /// that one network cannot use up the quota of a stolen token, which the account owner uses too.
    TokenRead,
    /// Requests that change the account or start a UIA session, by access token or by cookie of a browser. The quota is
    /// larger than that of a network, too.
    TokenWrite,
    /// Logouts. They have a separate quota for each network and none for each user or token, so that no other request
    /// can keep an account owner from logging out an attacker.
    Logout,
    /// Requests for new tokens, by device.
    DeviceRefresh,
    /// Codes and refresh tokens of the OAuth 2.0 API that are not accepted.
    RefusedGrant,
    /// Registrations of clients of the OAuth 2.0 API, new or known.
    ClientRegistration,
    /// New clients of the OAuth 2.0 API, of all networks together. Each is a row. Burst and interval allow 10,000 in any
    /// hour.
    NewClient,
    /// Requests of devices for access. Each is two rows.
    DeviceRequest,
    /// Wrong user codes, by network.
    UserCodeFromNetwork,
    /// Wrong user codes, by account. There is no limit for all accounts together, because an attacker could use it up.
    UserCode,
}

/// One row of [`LIMITS`].
#[derive(Debug, Clone, Copy)]
pub struct LimitRow {
    /// The limit.
    pub limit: Limit,
    /// Its name in the keys of its buckets. A different name would start new buckets.
    pub name: &'static str,
    /// The value that each bucket belongs to.
    pub key: &'static str,
    /// The number of requests that are allowed at once.
    pub burst: u32,
    /// The time until one more request is allowed.
    pub interval: Duration,
    /// The requests that are counted.
    pub charged_at: &'static str,
}

const fn row(
    limit: Limit,
    name: &'static str,
    key: &'static str,
    (burst, interval): (u32, u64),
    charged_at: &'static str,
) -> LimitRow {
    LimitRow {
        limit,
        name,
        key,
        burst,
        interval: Duration::from_secs(interval),
        charged_at,
    }
}

impl LimitRow {
    /// The same limit with an interval in milliseconds.
    const fn every_millis(mut self, interval: u64) -> Self {
        self.interval = Duration::from_millis(interval);
        self
    }
}

/// All limits. The table in the documentation is generated from this table.
#[rustfmt::skip] // One line per limit, so that the limits can be compared.
pub const LIMITS: [LimitRow; 56] = [
    row(Limit::Register, "register", "network", (240, 1), "each `POST /register` of an ordinary user"),
    row(Limit::Available, "available", "network", (60, 1), "each `GET /register/available`"),
    row(Limit::RegistrationToken, "registration-token", "network", (10, MINUTE), "each check of a registration token, by its validity endpoint or in the UIA stage; refunded if the token is valid"),
    row(Limit::UiaSession, "uia-session", "network", (30, 10), "each new UIA session, and each request that completes a flow without one, unless a password attempt is charged"),
    row(Limit::Captcha, "captcha", "network", (20, 15), "each call to the captcha provider"),
    row(Limit::PasswordHash, "password-hash", "network", (20, 30), "each password hash: registration, login, the stage `m.login.password`, a new password"),
    row(Limit::NetworkPasswordAttempts, "password-guess", "identifier and network", (10, MINUTE), "each password attempt; refunded if the password is right"),
    row(Limit::AccountPasswordAttempts, "account-guess", "account, all networks", (100, 10 * MINUTE), "each password attempt without an access token; refunded if the password is right. An attempt above this limit gets the response to a wrong password"),
    row(Limit::TokenHolderPasswordAttempts, "own-guess", "account and its password, all networks", (100, 10 * MINUTE), "each password attempt with an access token of the account; refunded if the password is right"),
    row(Limit::Account, "account", "network", (60, 2), "each request to a UIA-protected endpoint of an account, `POST /account/3pid`, `POST /account/3pid/delete`, `PUT /devices/{deviceId}`; each change on the account pages"),
    row(Limit::Login, "login", "network", (60, 2), "each login, with a password, by page, or as an application service"),
    row(Limit::Refresh, "refresh", "network", (60, 2), "each `POST /refresh`"),
    row(Limit::Guest, "guest", "network", (10, MINUTE), "each `POST /register?kind=guest`"),
    row(Limit::FallbackPage, "fallback-page", "network", (60, 2), "each fallback page that is opened or submitted; each `POST` of `/oauth2/authorize/consent`, `/oauth2/authorize/logout`, `/oauth2/sign-up`, `/oauth2/recovery`, `/link`, `/link/consent`, `/link/logout` and `/account/logout`"),
    row(Limit::WaitingPage, "waiting-page", "UIA session", (20, 5), "each time that a fallback page that waits for a link is opened or reloads itself"),
    row(Limit::RequestToken, "request-token", "network", (60, 2), "each `requestToken` request, whether a message is sent or not"),
    row(Limit::SubmitToken, "submit-token", "network", (60, 2), "each `submitToken` or `confirm` request"),
    row(Limit::IdServer, "id-server", "network", (60, 2), "`POST /account/3pid/bind`, `POST /account/3pid/unbind`, and each request to an identity server about a delegated validation"),
    row(Limit::Message, "message", "network", (20, MINUTE), "each requested message, of any purpose"),
    row(Limit::MessageBlock56, "message-56", "IPv6 /56", (40, 30), "each requested message, of any purpose"),
    row(Limit::MessageBlock48, "message-48", "IPv6 /48", (100, 12), "each requested message, of any purpose"),
    row(Limit::MailFromNetwork, "mail-from-network", "mailbox and widest network", (5, 10 * MINUTE), "each requested e-mail for registration or for a new address of an account"),
    row(Limit::MailAddress, "mail-address", "mailbox", (10, 5 * MINUTE), "each sent e-mail for registration or for a new address of an account"),
    row(Limit::SmsFromNetwork, "sms-from-network", "phone number and widest network", (4, 20 * MINUTE), "each requested text message for registration or for a new address of an account"),
    row(Limit::SmsPrefixFromNetwork, "sms-prefix-from-network", "phone number without its last three digits, and widest network", (5, 12 * MINUTE), "each requested text message for registration or for a new address of an account"),
    row(Limit::SmsCountryFromNetwork, "sms-country-from-network", "country and widest network", (10, 2 * MINUTE), "each requested text message for registration or for a new address of an account"),
    row(Limit::SmsNumber, "sms-number", "phone number", (8, 10 * MINUTE), "each sent text message for registration or for a new address of an account"),
    row(Limit::SmsPrefix, "sms-prefix", "phone number without its last three digits", (20, 3 * MINUTE), "each sent text message for registration or for a new address of an account"),
    row(Limit::SmsCountry, "sms-country", "country", (200, 10), "each sent text message for registration or for a new address of an account"),
    row(Limit::ResetMailFromNetwork, "reset-mail-from-network", "mailbox and widest network", (5, 10 * MINUTE), "each requested e-mail for a password reset"),
    row(Limit::ResetMailAddress, "reset-mail-address", "mailbox", (10, 5 * MINUTE), "each sent e-mail for a password reset"),
    row(Limit::ResetSmsFromNetwork, "reset-sms-from-network", "phone number and widest network", (4, 20 * MINUTE), "each requested text message for a password reset"),
    row(Limit::ResetSmsPrefixFromNetwork, "reset-sms-prefix-from-network", "phone number without its last three digits, and widest network", (5, 12 * MINUTE), "each requested text message for a password reset"),
    row(Limit::ResetSmsCountryFromNetwork, "reset-sms-country-from-network", "country and widest network", (10, 2 * MINUTE), "each requested text message for a password reset"),
    row(Limit::ResetSmsNumber, "reset-sms-number", "phone number", (8, 10 * MINUTE), "each sent text message for a password reset"),
    row(Limit::ResetSmsPrefix, "reset-sms-prefix", "phone number without its last three digits", (20, 3 * MINUTE), "each sent text message for a password reset"),
    row(Limit::ResetSmsCountry, "reset-sms-country", "country", (200, 10), "each sent text message for a password reset"),
    row(Limit::KnownNotice, "known-notice", "address and widest network", (1, 24 * HOUR), "the message to an account owner that someone else entered a 3PID of the account"),
    row(Limit::KnownNoticeAddress, "known-notice-address", "address", (3, 8 * HOUR), "the same message, if the request came from a network that the owner has not used"),
    row(Limit::CodeFromNetwork, "code-from-network", "widest network", (20, 5 * MINUTE), "each submitted code of a text message; refunded if the code is right"),
    row(Limit::CodeForNumberFromNetwork, "code-for-number-from-network", "phone number and widest network", (10, 10 * MINUTE), "each submitted code of a text message; refunded if the code is right"),
    row(Limit::CodeForNumber, "code-for-number", "phone number; separate for password resets", (30, 30 * MINUTE), "each submitted code of a text message; refunded if the code is right"),
    row(Limit::Notice, "notice", "account and kind of notification", (10, HOUR), "each password change that is not a password reset"),
    row(Limit::Reset, "reset", "address", (10, HOUR), "each password reset"),
    row(Limit::Addition, "addition", "account", (10, HOUR), "each 3PID that is added to an account"),
    row(Limit::Read, "read", "network", (240, 0), "each `GET` of `/account/whoami`, `/capabilities`, `/devices`, `/devices/{deviceId}` and `/account/3pid`; each registration of an application service that is forwarded to the homeserver").every_millis(200),
    row(Limit::TokenRead, "token-read", "access token", (300, 0), "the same requests").every_millis(100),
    row(Limit::TokenWrite, "token-write", "access token or browser", (150, 0), "each request with an access token that is charged to `account`, each change on the account pages, and `POST /account/3pid/bind`, `POST /account/3pid/unbind`").every_millis(800),
    row(Limit::Logout, "logout", "network", (60, 2), "each `POST /logout` and `POST /logout/all`"),
    row(Limit::DeviceRefresh, "device-refresh", "device", (30, MINUTE), "each `POST /refresh` with a valid token"),
    row(Limit::RefusedGrant, "refused-grant", "network", (60, 2), "each `POST /oauth2/token` whose code or refresh token is not accepted; above the limit the response is 503"),
    row(Limit::ClientRegistration, "client-registration", "network", (10, MINUTE), "each `POST /oauth2/registration` with valid metadata"),
    row(Limit::NewClient, "new-client", "all networks together", (1000, 0), "each `POST /oauth2/registration` with metadata that is not registered yet").every_millis(400),
    row(Limit::DeviceRequest, "device-request", "network", (20, 30), "each `POST /oauth2/device`"),
    row(Limit::UserCodeFromNetwork, "user-code-from-network", "widest network", (10, MINUTE), "each user code that is entered on `/link`; refunded if the code is right"),
    row(Limit::UserCode, "user-code", "account", (10, MINUTE), "each user code that is entered on `/link`; refunded if the code is right"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_the_row_at_its_position() {
        for (position, row) in LIMITS.iter().enumerate() {
            assert_eq!(row.limit as usize, position, "{}", row.name);
        }
    }

    #[test]
    fn every_interval_is_longer_than_zero() {
        for row in LIMITS {
            assert!(
                row.interval > Duration::ZERO && row.burst > 0,
                "{}",
                row.name
            );
        }
    }

    /// A network that is over its own quotas must not use up the quotas of a token that others use too.
    #[test]
    fn a_token_has_a_larger_quota_than_one_network() {
        for (token, networks) in [
            (Limit::TokenRead, &[Limit::Read][..]),
            (Limit::TokenWrite, &[Limit::Account, Limit::IdServer]),
        ] {
            let per_second = |limit: Limit| limit.quota().interval.as_secs_f64().recip();
            let bursts: u32 = networks.iter().map(|limit| limit.quota().burst).sum();
            let rates: f64 = networks.iter().map(|limit| per_second(*limit)).sum();
            assert!(token.quota().burst > bursts && per_second(token) > rates);
        }
    }

    #[test]
    fn no_two_limits_share_a_name() {
        let mut names: Vec<_> = LIMITS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LIMITS.len());
    }
}
