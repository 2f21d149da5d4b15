//! The mailbox of an e-mail address, for rate limits: one mailbox has many addresses.
//!
//! The result is only the key of a quota. A message is always sent to the address that was entered. If two mailboxes
//! have the same key, they share a quota; if one mailbox has two keys, it has two quotas. Therefore a rule is here only
//! if the provider documents it.

/// The characters of a local part that a provider ignores, and the characters at which a tag begins.
struct Provider {
    /// The provider's domains. All of them deliver to the same mailboxes; the key has the first one.
    domains: &'static [&'static str],
    ignored: &'static [char],
    tags: &'static [char],
}

/// The rules of providers with many users. Sources:
///
/// - Gmail: "Dots don't matter in Gmail addresses", <https://support.google.com/mail/answer/7436150>. The dots of other
///   domains at Google matter.
/// - Proton Mail: <https://proton.me/support/addresses-and-aliases>, and `removeEmailAlias` in ProtonMail/WebClients.
/// - iCloud Mail: `@icloud.com`, `@me.com` and `@mac.com` are one address, <https://support.apple.com/en-us/102605>.
/// - Yandex Mail: all domains are one address, and hyphens and dots are equivalent,
///   <https://yandex.com/support/yandex-360/customers/mail/en/web/preferences/aliases>.
const PROVIDERS: [Provider; 4] = [
    Provider {
        domains: &["gmail.com", "googlemail.com"],
        ignored: &['.'],
        tags: &['+'],
    },
    Provider {
        domains: &["proton.me", "protonmail.com", "protonmail.ch", "pm.me"],
        ignored: &['.', '-', '_'],
        tags: &['+'],
    },
    Provider {
        domains: &["icloud.com", "me.com", "mac.com"],
        ignored: &[],
        tags: &['+'],
    },
    Provider {
        domains: &[
            "yandex.ru",
            "ya.ru",
            "yandex.com",
            "yandex.by",
            "yandex.kz",
            "yandex.uz",
            "yandex.ua",
        ],
        ignored: &['.', '-'],
        tags: &['+'],
    },
];

/// A name of Yahoo has no hyphen: an address with a hyphen is a disposable address of the name before it.
/// <https://help.yahoo.com/kb/SLN28815.html>
const YAHOO: [&str; 3] = ["ymail.com", "rocketmail.com", "myyahoo.com"];

/// Domains of Fastmail, which delivers `tag@user.fastmail.com` to `user@fastmail.com`.
/// <https://www.fastmail.help/hc/en-us/articles/360060591053>
const FASTMAIL: [&str; 2] = ["fastmail.com", "fastmail.fm"];

/// The mailbox that most likely receives the messages to `address`, which is canonical. At an unknown provider, `+`
/// begins a tag.
pub fn mailbox(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or_default();
    let subdomain = FASTMAIL.iter().find_map(|own| {
        let user = domain.strip_suffix(own)?.strip_suffix('.')?;
        Some((user, *own))
    });
    let (local, domain) = subdomain.unwrap_or((local, domain));
    if let Some(provider) = PROVIDERS.iter().find(|own| own.domains.contains(&domain)) {
        let name = without_tag(local, provider.tags).replace(provider.ignored, "");
        let domain = provider.domains.first().copied().unwrap_or(domain);
        return format!("{name}@{domain}");
    }
    let is_yahoo = domain.starts_with("yahoo.") || YAHOO.contains(&domain);
    let tags: &[char] = if is_yahoo { &['+', '-'] } else { &['+'] };
    format!("{}@{domain}", without_tag(local, tags))
}

/// The part of a local part before its tag. A local part that begins with a tag is a name.
fn without_tag<'a>(local: &'a str, tags: &[char]) -> &'a str {
    let name = local.split(tags).next();
    name.filter(|name| !name.is_empty()).unwrap_or(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_one_mailbox_have_one_key() {
        for (mailbox_key, addresses) in [
            (
                "alice@gmail.com",
                &[
                    "a.l.i.c.e@gmail.com",
                    "alice+x@googlemail.com",
                    "al.ice+a.b@gmail.com",
                ][..],
            ),
            (
                "aliceb@proton.me",
                &[
                    "alice.b@protonmail.com",
                    "alice-b@pm.me",
                    "a_lice_b+t@proton.me",
                ],
            ),
            ("alice@icloud.com", &["alice@me.com", "alice+a@mac.com"]),
            (
                "aliceb@yandex.ru",
                &["alice.b@ya.ru", "alice-b+x@yandex.com"],
            ),
            (
                "nick@yahoo.co.uk",
                &["nick-shop@yahoo.co.uk", "nick+a@yahoo.co.uk"],
            ),
            ("nick@ymail.com", &["nick-1@ymail.com"]),
            (
                "alice@fastmail.com",
                &[
                    "shop@alice.fastmail.com",
                    "a+b@alice.fastmail.com",
                    "alice+x@fastmail.com",
                ],
            ),
            (
                "alice@example.org",
                &["alice+1@example.org", "alice+1+2@example.org"],
            ),
        ] {
            assert_eq!(mailbox(mailbox_key), mailbox_key);
            for address in addresses {
                assert_eq!(mailbox(address), mailbox_key, "{address}");
            }
        }
    }

    #[test]
    fn different_mailboxes_have_different_keys() {
        for (one, other) in [
            ("a.b@example.org", "ab@example.org"),
            ("a-b@example.org", "a@example.org"),
            ("a.b@outlook.com", "ab@outlook.com"),
            ("a@me.com", "a@example.me.com"),
            ("a@gmail.com", "a@gmail.com.example.org"),
            ("a@alice.fastmail.com", "a@bob.fastmail.com"),
            ("a@notfastmail.com", "a@fastmail.com"),
            ("+a@example.org", "+b@example.org"),
        ] {
            assert_ne!(mailbox(one), mailbox(other));
        }
    }
}
