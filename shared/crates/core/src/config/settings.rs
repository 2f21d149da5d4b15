//! The table of settings.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// What holds without it; `None` if there is no default.
    pub default: Option<&'static str>,
    /// What it means, for the README.
    pub meaning: &'static str,
}

const fn row(name: &'static str, default: Option<&'static str>, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
    }
}

/// Every setting. Those without a default are either demanded or absent by choice, as their
/// meaning says.
pub const SETTINGS: &[Setting] = &[
    row(
        "GATEHOUSE_SERVER_NAME",
        None,
        "The homeserver's name, as in `@alice:example.org`. Demanded.",
    ),
    row(
        "GATEHOUSE_PUBLIC_URL",
        None,
        "Where clients reach this service, without it `https://` and the server name; the links in mails are made from it.",
    ),
    row(
        "GATEHOUSE_SECRET",
        None,
        "The root of every key, at least 32 bytes (`openssl rand -base64 32`). Either this or `GATEHOUSE_SECRET_ARN` is demanded.",
    ),
    row(
        "GATEHOUSE_SECRET_ARN",
        None,
        "A secret in Secrets Manager, read when a function starts: a JSON object with `current` and, where needed, `next`, `previous`, `pepper`, `pepper_previous`, `imported_pepper`, `captcha_secret_key` and `signing_key`, which stand for the settings that are secret. `none` for a function that uses no key.",
    ),
    row(
        "GATEHOUSE_SECRET_NEXT",
        None,
        "The secret that is to follow this one: what is made with it is read already. Give it to every function before any of them has it as `GATEHOUSE_SECRET`.",
    ),
    row(
        "GATEHOUSE_SECRET_PREVIOUS",
        None,
        "The secret before this one. Keep it at least 48 hours, for sessions under way; rate limits begin anew. Registration tokens and application services made under it stop working when it is taken away: make them anew first.",
    ),
    row(
        "GATEHOUSE_TABLES",
        Some("gatehouse"),
        "Prefix of the DynamoDB tables' names.",
    ),
    row(
        "GATEHOUSE_REGISTRATION",
        Some("open"),
        "`open` or `closed`. Closed stops everybody but application services and, if they are on, guests.",
    ),
    row(
        "GATEHOUSE_REGISTRATION_FLOWS",
        None,
        "What a new user must complete: flows separated by spaces, stages by `+`, of `m.login.dummy`, `m.login.registration_token`, `m.login.terms`, `m.login.recaptcha`, `m.login.email.identity`, `m.login.msisdn`. Flows whose messages cannot be sent are not offered. Demanded while registration is open.",
    ),
    row(
        "GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION",
        Some("false"),
        "`true` says that a flow with neither captcha, registration token, e-mail nor phone is meant.",
    ),
    row("GATEHOUSE_GUESTS", Some("false"), "`true` lets guests in."),
    row(
        "GATEHOUSE_GUEST_LIFETIME",
        Some("30d"),
        "How long a guest's token lives.",
    ),
    row(
        "GATEHOUSE_RESERVED_NAMES",
        Some("abuse hostmaster postmaster webmaster"),
        "Names that nobody may take, separated by spaces; `none` for none.",
    ),
    row(
        "GATEHOUSE_NAME_PATTERN",
        None,
        "A regular expression that a new name must match as a whole.",
    ),
    row(
        "GATEHOUSE_NAME_LENGTH",
        Some("1-255"),
        "The least and the greatest length of a new name.",
    ),
    row(
        "GATEHOUSE_PASSWORD_MIN_SCORE",
        Some("3"),
        "The least zxcvbn score of a password, `0` to `4`; `0` accepts anything but the empty password.",
    ),
    row(
        "GATEHOUSE_PASSWORD_PEPPER",
        None,
        "A secret of at least 16 bytes that is mixed into every password hash. Losing it makes every password useless.",
    ),
    row(
        "GATEHOUSE_PASSWORD_PEPPER_PREVIOUS",
        None,
        "The pepper before this one. Hashes that were made with it are good until it is taken away, and made anew at the next login.",
    ),
    row(
        "GATEHOUSE_IMPORTED_PEPPER",
        None,
        "The pepper of the server that users were imported from (`users import --peppered`); needed until each of them has logged in.",
    ),
    row(
        "GATEHOUSE_ARGON2",
        Some("m=19456,t=2,p=1"),
        "The cost of a password hash (argon2id): memory in KiB, passes, lanes.",
    ),
    row(
        "GATEHOUSE_TOKEN_LIFETIME",
        Some("never"),
        "How long an access token lives whose client does not refresh.",
    ),
    row(
        "GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME",
        Some("never"),
        "How long an access token lives whose client asked for a refresh token.",
    ),
    row(
        "GATEHOUSE_QUERY_TOKENS",
        Some("on"),
        "`off` refuses access tokens in the query, which end up in logs.",
    ),
    row(
        "GATEHOUSE_PASSWORD_CHANGES",
        Some("on"),
        "`off`: nobody changes or resets a password here.",
    ),
    row(
        "GATEHOUSE_RESET_PHONE_AGE",
        Some("365d"),
        "How long after it was confirmed a phone number can reset the password of an account that has no e-mail address; `never` for any time. Of one that has, a number resets none. Numbers change hands.",
    ),
    row(
        "GATEHOUSE_3PID_CHANGES",
        Some("on"),
        "`off`: nobody adds or removes an address of their account here.",
    ),
    row(
        "GATEHOUSE_DEACTIVATION",
        Some("on"),
        "`off`: nobody deactivates their account here.",
    ),
    row(
        "GATEHOUSE_WELL_KNOWN_HOMESERVER",
        None,
        "The URL of the homeserver, for `/.well-known/matrix/client`, where the server name leads here. Without it that path is 404.",
    ),
    row(
        "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
        None,
        "The URL of the identity server that clients are told of there.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_PROVIDER",
        None,
        "`recaptcha`, `hcaptcha` or `turnstile`; needed for `m.login.recaptcha`.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_SITE_KEY",
        None,
        "The provider's public key.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_SECRET_KEY",
        None,
        "The provider's secret key.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_VERIFY_URL",
        None,
        "Where responses are verified, if not at the provider's own address.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_SCRIPT_URL",
        None,
        "Where the widget's script is, if not at the provider's own address.",
    ),
    row(
        "GATEHOUSE_TERMS",
        None,
        "The policies of `m.login.terms` as JSON: `{\"privacy\":{\"version\":\"1\",\"en\":{\"name\":\"Privacy policy\",\"url\":\"https://…\"}}}`, any number of languages each.",
    ),
    row(
        "GATEHOUSE_MAIL_FROM",
        None,
        "The sender of mails, `Name <address>` or an address, verified at SES. Without it no mail is sent and no flow asks for one.",
    ),
    row(
        "GATEHOUSE_SES_CONFIGURATION_SET",
        None,
        "The configuration set that SES is to use.",
    ),
    row(
        "GATEHOUSE_EMAIL_LINK",
        Some("confirm"),
        "`confirm`: the link in a mail leads to a page with a button, so that mail scanners prove nothing. `direct`: opening the link is enough, except the one to a new password.",
    ),
    row(
        "GATEHOUSE_EMAIL_ALLOWED",
        Some(""),
        "Regular expressions with an `@`, separated by spaces; an e-mail address must match one as a whole, in any case of letters, if there are any.",
    ),
    row(
        "GATEHOUSE_EMAIL_DENIED",
        Some(""),
        "The same; an address must match none. For instance `.*@spam[.]example`.",
    ),
    row(
        "GATEHOUSE_SMS_COUNTRIES",
        Some(""),
        "Countries that text messages go to, as ISO codes separated by spaces. Without any, none is sent and no flow asks for one.",
    ),
    row(
        "GATEHOUSE_SMS_NUMBERS",
        Some("valid"),
        "`valid`: only to mobile numbers that somebody can have. `possible`: also to every other number of the right length, some of which may cost more; for tests.",
    ),
    row(
        "GATEHOUSE_SMS_SENDER_ID",
        None,
        "What text messages show as their sender, where the country allows it: 1 to 11 letters and digits.",
    ),
    row(
        "GATEHOUSE_SMS_MAX_PRICE",
        None,
        "The most that one text message may cost, in US dollars.",
    ),
    row(
        "GATEHOUSE_PHONE_ALLOWED",
        Some(""),
        "Regular expressions, separated by spaces; a phone number (its digits with the country's code) must match one as a whole, if there are any.",
    ),
    row(
        "GATEHOUSE_PHONE_DENIED",
        Some(""),
        "The same; a number must match none.",
    ),
    row(
        "GATEHOUSE_NEXT_LINK_HOSTS",
        Some(""),
        "Hosts, separated by spaces, that a browser may be sent to when an address is validated (a client's `next_link`). To others nobody is sent.",
    ),
    row(
        "GATEHOUSE_THREEPID_PRIVACY",
        Some("quiet"),
        "`quiet`: who asks for a message to an address does not learn whether it has an account; its owner is written to. `tell`: they do, by an error.",
    ),
    row(
        "GATEHOUSE_TRUSTED_ID_SERVERS",
        Some(""),
        "Identity servers that may be asked, separated by spaces: `id.example.org`, or with where it is reached `id.example.org=https://id.internal:8090`. Without such an address only public ones are called. Without any, none is.",
    ),
    row(
        "GATEHOUSE_ID_SERVER_API",
        Some("v2"),
        "`v2`, or `v1`: then requests without an `id_access_token` are made in the interface of r0, which asks for none.",
    ),
    row(
        "GATEHOUSE_THREEPID_VALIDATION",
        Some("own"),
        "`own`: this server finds out whose an address is. `delegated`: for requests with an `id_server`, that one does.",
    ),
    row(
        "GATEHOUSE_SIGNING_KEY",
        None,
        "What requests to identity servers are signed with, as homeservers keep it: `ed25519 a_1 <seed>`. Without it one comes out of `GATEHOUSE_SECRET`. Must be the homeserver's own where one has the same name.",
    ),
    row(
        "GATEHOUSE_LIMITS",
        Some("on"),
        "`off` lifts every rate limit.",
    ),
    row(
        "GATEHOUSE_TRUSTED_PROXIES",
        Some(""),
        "Addresses and ranges, separated by spaces, whose `X-Forwarded-For` is believed.",
    ),
    row(
        "GATEHOUSE_WARM_UP",
        Some("true"),
        "`false`: nothing is read ahead of the first request; for functions that do not use the application services.",
    ),
];
