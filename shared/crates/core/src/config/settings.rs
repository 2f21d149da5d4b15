//! The table of settings.

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name of the environment variable.
    pub name: &'static str,
    /// The default value. `None` if there is none.
    pub default: Option<&'static str>,
    /// The description, for `docs/configuration.md`.
    pub meaning: &'static str,
}

const fn row(name: &'static str, default: Option<&'static str>, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
    }
}

/// The name and the default of each setting. Functions use this table instead of [`SETTINGS`], so that their binaries
/// do not contain the descriptions.
pub(super) static DEFAULTS: [(&str, Option<&str>); SETTINGS.len()] = {
    let mut rows = [("", None); SETTINGS.len()];
    let mut position = 0;
    while position < rows.len() {
        rows[position] = (SETTINGS[position].name, SETTINGS[position].default);
        position += 1;
    }
    rows
};

/// All settings. A setting without a default is required or optional, as stated in its description.
pub const SETTINGS: &[Setting] = &[
    row(
        "GATEHOUSE_SERVER_NAME",
        None,
        "The name of the homeserver, as in `@alice:example.org`. Required.",
    ),
    row(
        "GATEHOUSE_PUBLIC_URL",
        None,
        "The URL at which clients reach this service, for example in links in e-mails. Default: `https://` and the server name.",
    ),
    row(
        "GATEHOUSE_SECRET",
        None,
        "The root secret of all keys, at least 32 bytes (`openssl rand -base64 32`). Either this or `GATEHOUSE_SECRET_ARN` is required.",
    ),
    row(
        "GATEHOUSE_SECRET_ARN",
        None,
        "The ARN of a secret in Secrets Manager, read when a function starts. The secret is a JSON object with `current` and, where needed, `next`, `previous`, `pepper`, `pepper_previous`, `imported_pepper`, `captcha_secret_key`, `signing_key` and `homeserver_secret`, which replace the settings with secret values. `none` for a function that uses no key.",
    ),
    row(
        "GATEHOUSE_SECRET_NEXT",
        None,
        "The root secret that will follow `GATEHOUSE_SECRET` in a rotation. Values made with it are already accepted. Set it on every function before any function uses it as `GATEHOUSE_SECRET`.",
    ),
    row(
        "GATEHOUSE_SECRET_PREVIOUS",
        None,
        "The root secret before `GATEHOUSE_SECRET`. Keep it for at least 48 hours, so that sessions can be completed. A change of the secret resets rate limits. Registration tokens and application services created with the previous secret stop working when it is removed; create them again first.",
    ),
    row(
        "GATEHOUSE_TABLES",
        Some("gatehouse"),
        "The prefix of the names of the DynamoDB tables.",
    ),
    row(
        "GATEHOUSE_REGISTRATION",
        Some("open"),
        "`open` or `closed`. While registration is closed, only application services and, if enabled, guests can register.",
    ),
    row(
        "GATEHOUSE_REGISTRATION_FLOWS",
        None,
        "The flows that registration offers, separated by spaces. A flow is one or more stages separated by `+`: `m.login.dummy`, `m.login.registration_token`, `m.login.terms`, `m.login.recaptcha`, `m.login.email.identity`, `m.login.msisdn`. A flow that needs e-mails or text messages is not offered if they cannot be sent. Required while registration is open.",
    ),
    row(
        "GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION",
        Some("false"),
        "`true` allows flows with neither captcha, registration token, e-mail address nor phone number.",
    ),
    row(
        "GATEHOUSE_GUESTS",
        Some("false"),
        "`true` enables guest accounts.",
    ),
    row(
        "GATEHOUSE_GUEST_LIFETIME",
        Some("30d"),
        "The lifetime of a guest's access token: a number with one of the units `s`, `m`, `h`, `d`.",
    ),
    row(
        "GATEHOUSE_RESERVED_NAMES",
        Some("abuse hostmaster postmaster webmaster"),
        "Names that no new account may take, separated by spaces; `none` for none.",
    ),
    row(
        "GATEHOUSE_NAME_PATTERN",
        None,
        "A regular expression that the whole of a new name must match.",
    ),
    row(
        "GATEHOUSE_NAME_LENGTH",
        Some("1-255"),
        "The minimum and the maximum length of a new name, as in `3-30`; both from 1 to 255.",
    ),
    row(
        "GATEHOUSE_PASSWORD_MIN_SCORE",
        Some("3"),
        "The minimum zxcvbn score of a new password, `0` to `4`. `0` accepts every password except the empty one.",
    ),
    row(
        "GATEHOUSE_PASSWORD_PEPPER",
        None,
        "A secret of at least 16 bytes that is mixed into every password hash. If it is lost, no password can be verified any more.",
    ),
    row(
        "GATEHOUSE_PASSWORD_PEPPER_PREVIOUS",
        None,
        "The pepper before `GATEHOUSE_PASSWORD_PEPPER`. Hashes made with it stay valid until it is removed, and are replaced at the next login.",
    ),
    row(
        "GATEHOUSE_IMPORTED_PEPPER",
        None,
        "The pepper of the server that users were imported from (`import synapse`, `users import --peppered`). Needed until every imported user has logged in.",
    ),
    row(
        "GATEHOUSE_ARGON2",
        Some("m=19456,t=2,p=1"),
        "The cost of a password hash (argon2id): `m` is the memory in KiB, `t` the passes, `p` the lanes.",
    ),
    row(
        "GATEHOUSE_TOKEN_LIFETIME",
        Some("never"),
        "The lifetime of an access token of a client that did not request a refresh token: a number with one of the units `s`, `m`, `h`, `d`, or `never`.",
    ),
    row(
        "GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME",
        Some("never"),
        "The lifetime of an access token of a client that requested a refresh token: a number with one of the units `s`, `m`, `h`, `d`, or `never`.",
    ),
    row(
        "GATEHOUSE_QUERY_TOKENS",
        Some("on"),
        "`off` rejects access tokens in the query string, which may end up in logs.",
    ),
    row(
        "GATEHOUSE_PASSWORD_CHANGES",
        Some("on"),
        "`off` disables changing and resetting passwords on this server.",
    ),
    row(
        "GATEHOUSE_RESET_PHONE_AGE",
        Some("365d"),
        "How long after its validation a phone number can reset the password of an account without an e-mail address: a number with one of the units `s`, `m`, `h`, `d`, or `never` for no time limit. A phone number never resets the password of an account that has an e-mail address, because phone numbers are reassigned. An e-mail address that is newer than the number counts after 30 days, so that an attacker with an access token cannot prevent a reset by adding an address.",
    ),
    row(
        "GATEHOUSE_3PID_CHANGES",
        Some("on"),
        "`off` disables adding and removing e-mail addresses and phone numbers of an account on this server.",
    ),
    row(
        "GATEHOUSE_DEACTIVATION",
        Some("on"),
        "`off` disables deactivation by the account owner on this server.",
    ),
    row(
        "GATEHOUSE_HOMESERVER_URL",
        None,
        "The URL of a homeserver that uses this server for all accounts: the part before `/_synapse/mas/`. Without it, accounts exist here only. Requires `GATEHOUSE_HOMESERVER_SECRET`.",
    ),
    row(
        "GATEHOUSE_HOMESERVER_SECRET",
        None,
        "The secret that the homeserver and this server share, at least 16 visible ASCII characters: `matrix_authentication_service.secret` of Synapse, `admin.mas_secret` of Palpo.",
    ),
    row(
        "GATEHOUSE_AUTH_APIS",
        Some("both"),
        "The authentication APIs that clients can use. `legacy`: login and registration of the account API. `both`: also the OAuth 2.0 API, over the same accounts. `oauth`: only the OAuth 2.0 API. A change ends no session.",
    ),
    row(
        "GATEHOUSE_OAUTH_TOKEN_LIFETIME",
        Some("15m"),
        "The lifetime of an access token of the OAuth 2.0 API, from `2m` to `1h`: a number with one of the units `s`, `m`, `h`.",
    ),
    row(
        "GATEHOUSE_OAUTH_LOOPBACK_PORT",
        Some("accept"),
        "`accept`: a native client may register a redirect URI such as `http://localhost:3001/login`, and its port has no effect. `refuse`: such a registration fails, as the specification requires.",
    ),
    row(
        "GATEHOUSE_OAUTH_DEVICE_GRANT",
        Some("on"),
        "`on`: a device can log in with a code that its user enters on another device (device authorization grant of the OAuth 2.0 API). `off`: it cannot.",
    ),
    row(
        "GATEHOUSE_WELL_KNOWN_HOMESERVER",
        None,
        "The URL of the homeserver in `/.well-known/matrix/client`, for a server name that resolves to this service. If unset, that path returns 404.",
    ),
    row(
        "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
        None,
        "The URL of the identity server in `/.well-known/matrix/client`. Requires `GATEHOUSE_WELL_KNOWN_HOMESERVER`.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_PROVIDER",
        None,
        "`recaptcha`, `hcaptcha` or `turnstile`. Required for `m.login.recaptcha`.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_SITE_KEY",
        None,
        "The public (site) key at the captcha provider. Required with `GATEHOUSE_CAPTCHA_PROVIDER`.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_SECRET_KEY",
        None,
        "The secret key at the captcha provider. Required with `GATEHOUSE_CAPTCHA_PROVIDER`.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_VERIFY_URL",
        None,
        "The URL at which captcha responses are verified. Default: the provider's own URL.",
    ),
    row(
        "GATEHOUSE_CAPTCHA_SCRIPT_URL",
        None,
        "The URL of the script of the captcha widget. Default: the provider's own URL.",
    ),
    row(
        "GATEHOUSE_TERMS",
        None,
        "The policies of `m.login.terms` as JSON: `{\"privacy\":{\"version\":\"1\",\"en\":{\"name\":\"Privacy policy\",\"url\":\"https://…\"}}}`, with any number of languages for each policy. `none` for a function that does not show them.",
    ),
    row(
        "GATEHOUSE_MAIL_FROM",
        None,
        "The sender of e-mails: `Name <address>` or an address, verified in SES. The name may have any character, and may be in quotes. If unset, no e-mail is sent, and flows with `m.login.email.identity` are offered only if `GATEHOUSE_THREEPID_VALIDATION` is `delegated`.",
    ),
    row(
        "GATEHOUSE_SES_CONFIGURATION_SET",
        None,
        "The SES configuration set for e-mails. Requires `GATEHOUSE_MAIL_FROM`.",
    ),
    row(
        "GATEHOUSE_EMAIL_LINK",
        Some("confirm"),
        "`confirm`: the link in an e-mail opens a page with a confirmation button, so that an e-mail scanner that opens links validates nothing. `direct`: opening the link validates the address, except for a password reset.",
    ),
    row(
        "GATEHOUSE_EMAIL_ALLOWED",
        Some(""),
        "Regular expressions with an `@`, separated by spaces. If there are any, the whole of an e-mail address must match one of them. Case is ignored.",
    ),
    row(
        "GATEHOUSE_EMAIL_DENIED",
        Some(""),
        "Regular expressions in the format of `GATEHOUSE_EMAIL_ALLOWED`. An e-mail address must match none of them. Example: `.*@spam[.]example`.",
    ),
    row(
        "GATEHOUSE_SMS_COUNTRIES",
        Some(""),
        "The countries that text messages are sent to, as ISO 3166 codes separated by spaces. If empty, no text message is sent, and flows with `m.login.msisdn` are offered only if `GATEHOUSE_THREEPID_VALIDATION` is `delegated`.",
    ),
    row(
        "GATEHOUSE_SMS_NUMBERS",
        Some("valid"),
        "`valid`: text messages are sent only to assignable mobile numbers. `possible`: also to every other number of the right length, some of which may cost more; for tests.",
    ),
    row(
        "GATEHOUSE_SMS_SENDER_ID",
        None,
        "The sender that text messages show, where the country allows it: 1 to 11 letters and digits, at least one of them a letter. Requires `GATEHOUSE_SMS_COUNTRIES`.",
    ),
    row(
        "GATEHOUSE_SMS_MAX_PRICE",
        None,
        "The maximum price of one text message in US dollars, as in `0.10`. Requires `GATEHOUSE_SMS_COUNTRIES`.",
    ),
    row(
        "GATEHOUSE_PHONE_ALLOWED",
        Some(""),
        "Regular expressions, separated by spaces. If there are any, the whole of a phone number (its digits including the country code, without `+`) must match one of them.",
    ),
    row(
        "GATEHOUSE_PHONE_DENIED",
        Some(""),
        "Regular expressions in the format of `GATEHOUSE_PHONE_ALLOWED`. A phone number must match none of them.",
    ),
    row(
        "GATEHOUSE_NEXT_LINK_HOSTS",
        Some(""),
        "Hosts, separated by spaces, that a browser may be redirected to after an address was validated (the `next_link` of a client). There are no redirects to other hosts.",
    ),
    row(
        "GATEHOUSE_THREEPID_PRIVACY",
        Some("quiet"),
        "`quiet`: a client that requests a validation message does not learn whether the address belongs to an account; the owner of the address receives a message instead. `tell`: the client learns it from an error.",
    ),
    row(
        "GATEHOUSE_TRUSTED_ID_SERVERS",
        Some(""),
        "Trusted identity servers, separated by spaces: `id.example.org`, or with the URL at which the server is reached, `id.example.org=https://id.internal:8090`. Without a URL, an identity server is called only at public IP addresses. If empty, no identity server is called.",
    ),
    row(
        "GATEHOUSE_ID_SERVER_API",
        Some("v2"),
        "`v2` or `v1`. With `v1`, requests without an `id_access_token` use the v1 API of identity servers (specification r0), which requires no token.",
    ),
    row(
        "GATEHOUSE_THREEPID_VALIDATION",
        Some("own"),
        "`own`: this server validates addresses. `delegated`: for requests with an `id_server`, that identity server does.",
    ),
    row(
        "GATEHOUSE_SIGNING_KEY",
        None,
        "The key that signs requests to identity servers, in the format of a homeserver's key file: `ed25519 a_1 <seed>`. If unset, a key is derived from `GATEHOUSE_SECRET`. If a homeserver uses the same server name, this must be the key of that homeserver.",
    ),
    row(
        "GATEHOUSE_LIMITS",
        Some("on"),
        "`off` disables all rate limits.",
    ),
    row(
        "GATEHOUSE_DAILY_EMAILS",
        Some("10000"),
        "The most e-mails that are sent in any 24 hours, or `unlimited`. A part of them is reserved for password resets and security notifications.",
    ),
    row(
        "GATEHOUSE_DAILY_TEXTS",
        Some("500"),
        "The most text messages that are sent in any 24 hours, or `unlimited`. Multiplied by the price of a text message, it is the maximum cost of a day. A part is reserved in the same way.",
    ),
    row(
        "GATEHOUSE_SHOW_REQUEST_NETWORK",
        Some("on"),
        "`on`: an e-mail for a validation and the page behind its link show the IP address (IPv6: the /64) of the client that requested the e-mail. `off`: they show only the time, and for a password reset whether the account owner has used the network.",
    ),
    row(
        "GATEHOUSE_TRUSTED_PROXIES",
        Some(""),
        "IP addresses and CIDR ranges of trusted proxies, separated by spaces. Only these may set the client address by `X-Forwarded-For`, and each must append the address of its client to it.",
    ),
    row(
        "GATEHOUSE_WARM_UP",
        Some("true"),
        "`true`: a function reads the application services before its first request. `false` for functions that do not use the application services.",
    ),
];
