//! The table of all rate limits.

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
    /// Password attempts with an access token of the account, by account. They have a separate quota, so that
    /// attackers without a token cannot use up the owner's, and so that a stolen token that is used from many
    /// networks allows hardly more attempts than from one network. The limit applies to known networks too: an
    /// owner whose attempts are rejected can log out all devices.
    TokenHolderPasswordAttempts,
    /// Requests to UIA-protected endpoints of an account.
    Account,
    /// Logins.
    Login,
    /// Requests for new tokens.
    Refresh,
    /// New guests.
    Guest,
    /// Fallback pages that are opened or submitted.
    FallbackPage,
    /// Requests for a validation message, whether one is sent or not.
    RequestToken,
    /// Submissions of a code or a link's token.
    SubmitToken,
    /// Requests to an identity server.
    IdServer,
    /// Messages that are sent, by network.
    Message,
    /// E-mails, by mailbox and network, so that one network cannot use up the quota of others. This limit
    /// and the next five do not count messages for a password reset.
    MailFromNetwork,
    /// E-mails, by mailbox.
    MailAddress,
    /// Text messages, by number and network.
    SmsFromNetwork,
    /// Text messages, by number.
    SmsNumber,
    /// Text messages, by the number without its last digits, because one party may own a block of numbers.
    SmsPrefix,
    /// Text messages, by country.
    SmsCountry,
    /// E-mails for a password reset, by mailbox and network. This limit and the next five are separate, so
    /// that requests for other messages cannot keep an account owner from a reset.
    ResetMailFromNetwork,
    /// E-mails for a password reset, by mailbox.
    ResetMailAddress,
    /// Text messages for a password reset, by number and network.
    ResetSmsFromNetwork,
    /// Text messages for a password reset, by number.
    ResetSmsNumber,
    /// Text messages for a password reset, by the number without its last digits.
    ResetSmsPrefix,
    /// Text messages for a password reset, by country.
    ResetSmsCountry,
    /// Messages that tell an account owner that someone else entered a 3PID of the account.
    KnownNotice,
    /// Security notifications, by account and kind, so that repeating an action cannot flood the mailbox
    /// and one kind cannot suppress another. Password resets are not counted.
    Notice,
    /// Password resets, by the validated 3PID. The quota is separate, so that a client that has the password or a
    /// token cannot keep the account owner from a reset, and so that the holder of one 3PID cannot either.
    Reset,
    /// 3PIDs that are added to an account. Each mailbox of the account is notified.
    Addition,
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
    /// Seconds until one more request is allowed.
    pub interval: u64,
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
        interval,
        charged_at,
    }
}

/// All limits. The table in the documentation is generated from this table.
#[rustfmt::skip] // One line per limit, so that the limits can be compared.
pub const LIMITS: [LimitRow; 34] = [
    row(Limit::Register, "register", "network", (240, 1), "each `POST /register` of an ordinary user"),
    row(Limit::Available, "available", "network", (60, 1), "each `GET /register/available`"),
    row(Limit::RegistrationToken, "registration-token", "network", (10, MINUTE), "each check of a registration token, by its validity endpoint or in the UIA stage; refunded if the token is valid"),
    row(Limit::UiaSession, "uia-session", "network", (30, 10), "each new UIA session"),
    row(Limit::Captcha, "captcha", "network", (20, 15), "each call to the captcha provider"),
    row(Limit::PasswordHash, "password-hash", "network", (20, 30), "each password hash: registration, login, the stage `m.login.password`, password reset"),
    row(Limit::NetworkPasswordAttempts, "password-guess", "identifier and network", (10, MINUTE), "each password attempt; refunded if the password is right"),
    row(Limit::AccountPasswordAttempts, "account-guess", "account, all networks", (100, 10 * MINUTE), "each password attempt without an access token; refunded if the password is right. An attempt above this limit gets the response to a wrong password"),
    row(Limit::TokenHolderPasswordAttempts, "own-guess", "account, all networks", (100, 10 * MINUTE), "each password attempt with an access token of the account; refunded if the password is right"),
    row(Limit::Account, "account", "network", (60, 2), "each request to a UIA-protected endpoint of an account, `POST /account/3pid`, `POST /account/3pid/delete`"),
    row(Limit::Login, "login", "network", (60, 2), "each login, with a password or as an application service"),
    row(Limit::Refresh, "refresh", "network", (60, 2), "each `POST /refresh`"),
    row(Limit::Guest, "guest", "network", (10, MINUTE), "each `POST /register?kind=guest`"),
    row(Limit::FallbackPage, "fallback-page", "network", (60, 2), "each fallback page that is opened or submitted"),
    row(Limit::RequestToken, "request-token", "network", (60, 2), "each `requestToken` request, whether a message is sent or not"),
    row(Limit::SubmitToken, "submit-token", "network", (60, 2), "each `submitToken` or `confirm` request"),
    row(Limit::IdServer, "id-server", "network", (60, 2), "`POST /account/3pid/bind`, `POST /account/3pid/unbind`, and each request to an identity server about a delegated validation"),
    row(Limit::Message, "message", "network", (20, MINUTE), "each message, of any purpose"),
    row(Limit::MailFromNetwork, "mail-from-network", "mailbox and network", (5, 10 * MINUTE), "each e-mail for registration or for a new address of an account"),
    row(Limit::MailAddress, "mail-address", "mailbox", (10, 5 * MINUTE), "each e-mail for registration or for a new address of an account"),
    row(Limit::SmsFromNetwork, "sms-from-network", "phone number and network", (4, 20 * MINUTE), "each text message for registration or for a new address of an account"),
    row(Limit::SmsNumber, "sms-number", "phone number", (8, 10 * MINUTE), "each text message for registration or for a new address of an account"),
    row(Limit::SmsPrefix, "sms-prefix", "phone number without its last three digits", (20, 3 * MINUTE), "each text message for registration or for a new address of an account"),
    row(Limit::SmsCountry, "sms-country", "country", (200, 10), "each text message for registration or for a new address of an account"),
    row(Limit::ResetMailFromNetwork, "reset-mail-from-network", "mailbox and network", (5, 10 * MINUTE), "each e-mail for a password reset"),
    row(Limit::ResetMailAddress, "reset-mail-address", "mailbox", (10, 5 * MINUTE), "each e-mail for a password reset"),
    row(Limit::ResetSmsFromNetwork, "reset-sms-from-network", "phone number and network", (4, 20 * MINUTE), "each text message for a password reset"),
    row(Limit::ResetSmsNumber, "reset-sms-number", "phone number", (8, 10 * MINUTE), "each text message for a password reset"),
    row(Limit::ResetSmsPrefix, "reset-sms-prefix", "phone number without its last three digits", (20, 3 * MINUTE), "each text message for a password reset"),
    row(Limit::ResetSmsCountry, "reset-sms-country", "country", (200, 10), "each text message for a password reset"),
    row(Limit::KnownNotice, "known-notice", "address", (1, 24 * HOUR), "the message to an account owner that someone else entered a 3PID of the account"),
    row(Limit::Notice, "notice", "account and kind of notification", (10, HOUR), "each password change of an account that gets security notifications"),
    row(Limit::Reset, "reset", "address", (10, HOUR), "each password reset"),
    row(Limit::Addition, "addition", "account", (10, HOUR), "each 3PID that is added to an account"),
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
    fn no_two_limits_share_a_name() {
        let mut names: Vec<_> = LIMITS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LIMITS.len());
    }
}
