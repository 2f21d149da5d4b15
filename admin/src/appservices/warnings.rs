//! Mistakes in registrations that other homeservers do not report either: namespaces that no name can be in, and
//! services that exclude each other.

use shared::{
    appservices::{AppserviceRecord, NamespacePatterns, NamespaceRecord, excerpt},
    ids::{Localpart, ServerName, is_localpart},
};

use super::samples;

/// Names that nobody reserves on purpose. A namespace that contains them contains almost every name.
const PROBES: [&str; 2] = ["zq3x-v.w", "k9_unlikely"];

/// A registration and the examples of its namespaces.
struct Examined<'a> {
    record: &'a AppserviceRecord,
    exclusive: Vec<Examples>,
}

struct Examples {
    patterns: NamespacePatterns,
    user_ids: Vec<String>,
}

/// Returns a warning for each mistake in the registrations with the IDs `new`, which are among `all`. The name of the
/// server may be unknown.
pub(super) fn of(
    all: &[AppserviceRecord],
    new: &[&str],
    server: Option<&ServerName>,
) -> Vec<String> {
    let examined: Vec<_> = all.iter().map(|record| examine(record, server)).collect();
    let is_new = |own: &Examined<'_>| new.contains(&own.record.id.as_str());
    let mut warnings = Vec::new();
    for (index, own) in examined.iter().enumerate() {
        if is_new(own) {
            warnings.extend(own_mistakes(own.record, server));
        }
        for other in &examined[index + 1..] {
            if is_new(own) || is_new(other) {
                warnings.extend(conflict(own, other, server));
            }
        }
    }
    warnings
}

fn examine<'a>(record: &'a AppserviceRecord, server: Option<&ServerName>) -> Examined<'a> {
    let exclusive = record.users.iter().filter(|namespace| namespace.exclusive);
    let exclusive = exclusive.map(|namespace| Examples {
        patterns: namespace.patterns(),
        user_ids: user_ids(namespace, server).names.unwrap_or_default(),
    });
    Examined {
        record,
        exclusive: exclusive.collect(),
    }
}

/// The examples of a namespace that are user IDs.
#[derive(Default)]
struct UserIds {
    /// User IDs that can exist. `None` if it is unknown whether there are any.
    names: Option<Vec<String>>,
    /// Whether the pattern matches a name only if it is written with capital letters.
    needs_capitals: bool,
    /// Whether the namespace contains users of another server.
    is_elsewhere: bool,
}

fn user_ids(namespace: &NamespaceRecord, server: Option<&ServerName>) -> UserIds {
    let (Some(samples), Ok(regex)) = (samples::of(&namespace.regex), namespace.compile()) else {
        return UserIds::default();
    };
    let mut found = UserIds::default();
    let (mut names, mut folded) = (Vec::new(), Vec::new());
    for text in &samples.texts {
        let text = text.trim_start_matches('@');
        let (name, own_server) = text.split_once(':').unwrap_or((text, ""));
        let host = server.map_or(own_server, ServerName::as_str);
        let host = if host.is_empty() { "localhost" } else { host };
        let user_id = format!("@{name}:{host}");
        if regex.is_match(&user_id) {
            if is_localpart(name) {
                names.push(user_id);
            } else if is_localpart(&name.to_ascii_lowercase()) {
                folded.push(user_id.to_ascii_lowercase());
            }
        } else if is_localpart(&name.to_ascii_lowercase())
            && regex.is_match(&format!("@{name}:{own_server}"))
        {
            found.is_elsewhere = true;
        }
    }
    found.needs_capitals = names.is_empty() && !folded.is_empty();
    // Names are compared without regard to case.
    names.append(&mut folded);
    // The user ID may be correct although no example is.
    found.names = (samples.is_complete || !names.is_empty()).then_some(names);
    found
}

fn own_mistakes(record: &AppserviceRecord, server: Option<&ServerName>) -> Vec<String> {
    let (id, mut warnings) = (&record.id, Vec::new());
    for namespace in &record.users {
        let regex = excerpt(&namespace.regex);
        let found = user_ids(namespace, server);
        if found.needs_capitals {
            warnings.push(format!(
                "`{id}`: the regular expression `{regex}` has capital letters, but usernames are stored in lower case: \
                 it is compared without regard to case; write it in lower case"
            ));
        }
        if found.names.as_ref().is_some_and(Vec::is_empty) {
            let reason = match (found.is_elsewhere, server) {
                (true, Some(own)) => format!("it is for another server than `{own}`"),
                _ => "a user ID is `@`, a name of lower-case letters, digits and `._=-/+`, `:` and the server name"
                    .to_owned(),
            };
            warnings.push(format!(
                "`{id}`: no name can match the regular expression `{regex}`: {reason}"
            ));
        }
        let patterns = namespace.patterns();
        let is_probe = |name: &&str| patterns.contain(&user_id(name, server));
        if namespace.exclusive && PROBES.iter().all(is_probe) {
            warnings.push(format!(
                "`{id}`: the exclusive regular expression `{regex}` reserves almost every name: no other user can register"
            ));
        }
    }
    warnings
}

/// The conflict of two services, if there is one. Neither of them can use a name that both reserve.
fn conflict(one: &Examined<'_>, two: &Examined<'_>, server: Option<&ServerName>) -> Option<String> {
    let (a, b) = (&one.record.id, &two.record.id);
    let sender = |of: &Examined<'_>| of.record.sender_localpart.to_ascii_lowercase();
    if sender(one) == sender(two) {
        let name = sender(one);
        return Some(format!(
            "`{a}` and `{b}` have the same `sender_localpart`: neither can register `{name}`"
        ));
    }
    for (own, other) in [(one, two), (two, one)] {
        let own_user = user_id(&sender(own), server);
        if other
            .exclusive
            .iter()
            .any(|examples| examples.patterns.contain(&own_user))
        {
            let (own, other) = (&own.record.id, &other.record.id);
            return Some(format!(
                "`{other}` reserves the `sender_localpart` of `{own}`: `{own}` cannot register it"
            ));
        }
    }
    for (own, other) in [(one, two), (two, one)] {
        let mut names = own.exclusive.iter().flat_map(|examples| &examples.user_ids);
        let is_reserved = |name: &&String| {
            let mut examples = other.exclusive.iter();
            examples.any(|examples| examples.patterns.contain(name))
        };
        if let Some(name) = names.find(is_reserved) {
            return Some(format!(
                "`{a}` and `{b}` both reserve names such as `{name}`: neither can register them"
            ));
        }
    }
    None
}

fn user_id(name: &str, server: Option<&ServerName>) -> String {
    match (server, Localpart::stored(name)) {
        (Some(server), Some(name)) => name.user_id(server),
        _ => format!("@{name}:localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, sender: &str, regexes: &[&str]) -> AppserviceRecord {
        let namespaces = regexes.iter().map(|regex| NamespaceRecord {
            exclusive: true,
            regex: (*regex).to_owned(),
        });
        AppserviceRecord {
            id: id.to_owned(),
            token_hash: id.to_owned(),
            sender_localpart: sender.to_owned(),
            users: namespaces.collect(),
        }
    }

    fn server() -> ServerName {
        ServerName::parse("example.org").unwrap()
    }

    fn warnings(all: &[AppserviceRecord]) -> Vec<String> {
        let new: Vec<&str> = all.iter().map(|record| record.id.as_str()).collect();
        of(all, &new, Some(&server()))
    }

    #[test]
    fn usual_registrations_have_no_warning() {
        let all = [
            record(
                "whatsapp",
                "zJ5H2lXNYdSVYFqA",
                &[
                    r"^@whatsappbot:example\.org$",
                    r"^@whatsapp_.*:example\.org$",
                ],
            ),
            record("irc", "appservice-irc", &["@irc_.*"]),
            record("telegram", "tgbot", &[r"@tg_[0-9]+:example\.org"]),
            record(
                "hookshot",
                "hookshot",
                &["@_github_.*:example.org", "@_jira_.+"],
            ),
            record("slack", "_SlackBot", &["@_slack[a-zA-Z0-9]*_.*"]),
            record(
                "discord",
                "_discord_bot",
                &[r"@_discord_[^:]+:example\.org"],
            ),
            record("bot", "postmoogle", &["@postmoogle:example.org"]),
        ];
        assert_eq!(warnings(&all), [""; 0]);
        assert_eq!(of(&all, &["irc"], None), [""; 0]);
    }

    #[test]
    fn a_regex_that_no_name_can_match_is_reported() {
        for (regex, reason) in [
            ("@IRC_[A-Za-z0-9]+:example.org", "lower case"),
            ("@[A-Z]+_.*", "lower case"),
            ("@irc_.*:other.example", "another server than `example.org`"),
            ("irc_.*", "`@`"),
            ("#irc_.*", "`@`"),
            ("@irc .*", "`@`"),
        ] {
            let found = warnings(&[record("x", "xbot", &[regex])]);
            assert_eq!(found.len(), 1, "{regex}: {found:?}");
            assert!(
                found[0].contains(regex) && found[0].contains(reason),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_namespace_of_every_name_is_reported() {
        for regex in ["@.*", "@.+:example.org", "^@[^:]+:.*"] {
            let found = warnings(&[record("x", "xbot", &[regex])]);
            assert!(found[0].contains("almost every name"), "{found:?}");
        }
    }

    #[test]
    fn services_that_exclude_each_other_are_named() {
        for (one, two, reason) in [
            (
                record("a", "bot", &[]),
                record("b", "Bot", &[]),
                "the same `sender_localpart`",
            ),
            (
                record("a", "irc_bot", &[]),
                record("b", "x", &["@irc_.*"]),
                "`sender_localpart` of `a`",
            ),
            (
                record("a", "x", &["@irc_.*"]),
                record("b", "y", &["@irc_.*"]),
                "both reserve",
            ),
            (
                record("a", "x", &["@irc_.*"]),
                record("b", "y", &[r"^@irc_libera_[a-z]+:example\.org$"]),
                "both reserve",
            ),
            (
                record("a", "x", &["@(irc|xmpp)_.*"]),
                record("b", "y", &["@xmpp_.+"]),
                "both reserve",
            ),
        ] {
            for all in [[one.clone(), two.clone()], [two, one]] {
                let found = warnings(&all);
                assert_eq!(found.len(), 1, "{found:?}");
                let named = ["`a`", "`b`", reason]
                    .iter()
                    .all(|text| found[0].contains(text));
                assert!(named, "{found:?}");
                assert_eq!(of(&all, &[], Some(&server())), [""; 0]);
            }
        }
    }
}
