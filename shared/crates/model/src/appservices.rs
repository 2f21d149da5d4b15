//! Application services and their user namespaces.
//!
//! All application services are stored in one small item in DynamoDB. Each process keeps a compiled copy for up to
//! a minute, so that changes by the admin CLI take effect without a deployment. The server never receives their
//! `hs_token`s.

use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{Localpart, ServerName},
    secrets::{KeyPurpose, KeyRing, Secret},
};

/// The maximum age of the copy, in milliseconds.
pub const FRESH_FOR_MS: i64 = 60_000;

/// The maximum size of a compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// A stored application service: the fields of its registration file, with the token as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppserviceRecord {
    /// The `id` in the registration file.
    pub id: String,
    /// The keyed hash of the `as_token`.
    pub token_hash: String,
    /// The localpart of the application service's own user, as in its registration file. It may have capital letters.
    pub sender_localpart: String,
    /// The entries of `namespaces.users`.
    pub users: Vec<NamespaceRecord>,
}

/// One entry of `namespaces.users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// Whether only this application service may use the names in the namespace.
    pub exclusive: bool,
    /// A regular expression that matches the beginning of a full user ID.
    pub regex: String,
}

/// The maximum number of characters of a regular expression in a message.
const SHOWN_CHARS: usize = 100;

/// The regular expression of a namespace cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("application service `{id}`: the regular expression `{}` {reason}", excerpt(.regex))]
pub struct NamespaceError {
    id: String,
    regex: String,
    reason: String,
}

/// The beginning of a regular expression, for messages.
pub fn excerpt(regex: &str) -> String {
    match regex.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &regex[..end]),
        None => regex.to_owned(),
    }
}

impl NamespaceRecord {
    /// Compiles the regular expression, or returns the reason why it cannot be used.
    ///
    /// As in other homeservers, it is anchored at the beginning of the user ID only. An exclusive namespace must not
    /// match every user ID, because no other user could register. A shared namespace may, because it reserves no name.
    pub fn compile(&self) -> Result<Regex, String> {
        let regex = RegexBuilder::new(&format!("^(?:{})", self.regex))
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_err(|error| match error.to_string() {
                text if text.contains("size limit") => {
                    let kilobytes = MAX_PATTERN_BYTES / 1024;
                    format!("is too large: its compiled form has more than {kilobytes} kB")
                }
                text => format!("is invalid: {text}"),
            })?;
        if self.exclusive && regex.is_match("") {
            return Err("is exclusive and matches every user ID".to_owned());
        }
        Ok(regex)
    }

    /// The compiled patterns. There are none if the regular expression cannot be used.
    pub fn patterns(&self) -> NamespacePatterns {
        let patterns = self.compile().ok().into_iter();
        let ignoring_case = ignoring_case(self).map(|(_, regex)| regex);
        NamespacePatterns(patterns.chain(ignoring_case).collect())
    }
}

/// The compiled patterns of a namespace.
#[derive(Debug, Clone)]
pub struct NamespacePatterns(Vec<Regex>);

impl NamespacePatterns {
    /// Whether the namespace contains the user ID.
    pub fn contain(&self, user_id: &str) -> bool {
        self.0.iter().any(|regex| regex.is_match(user_id))
    }
}

/// An application service with compiled namespaces.
#[derive(Debug)]
pub struct Appservice {
    record: AppserviceRecord,
    /// The name of its own user as it is stored: in lower case.
    sender: String,
    users: Vec<(bool, Regex)>,
}

impl Appservice {
    fn new(record: AppserviceRecord) -> Result<Self, NamespaceError> {
        let compile = |namespace: &NamespaceRecord| {
            let regex = namespace.compile().map_err(|reason| NamespaceError {
                id: record.id.clone(),
                regex: namespace.regex.clone(),
                reason,
            })?;
            Ok((namespace.exclusive, regex))
        };
        let mut users: Vec<(bool, Regex)> =
            record.users.iter().map(compile).collect::<Result<_, _>>()?;
        // Names are stored in lower case, so a name belongs to a namespace if any spelling of it does. The pattern as
        // it is stays, because `[^A-Z]` matches less if case is ignored.
        users.extend(record.users.iter().filter_map(ignoring_case));
        let sender = record.sender_localpart.to_ascii_lowercase();
        Ok(Self {
            record,
            sender,
            users,
        })
    }

    /// The localpart of the application service's own user, in lower case.
    pub fn sender_localpart(&self) -> &str {
        &self.sender
    }

    /// Whether the application service may use `name`: its own user, or a name in one of its namespaces.
    pub fn may_use(&self, name: &Localpart, server: &ServerName) -> bool {
        let user_id = name.user_id(server);
        name.as_str() == self.sender || self.users.iter().any(|(_, regex)| regex.is_match(&user_id))
    }

    fn excludes(&self, name: &Localpart, server: &ServerName) -> bool {
        let user_id = name.user_id(server);
        name.as_str() == self.sender
            || self
                .users
                .iter()
                .any(|(exclusive, regex)| *exclusive && regex.is_match(&user_id))
    }
}

/// The namespace with a pattern that ignores case, if the pattern has capital letters.
fn ignoring_case(namespace: &NamespaceRecord) -> Option<(bool, Regex)> {
    if !namespace.regex.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let regex = RegexBuilder::new(&format!("^(?:{})", namespace.regex))
        .size_limit(2 * MAX_PATTERN_BYTES)
        .case_insensitive(true)
        .build();
    Some((namespace.exclusive, regex.ok()?))
}

/// The application services of this server.
#[derive(Debug, Default)]
pub struct Appservices(Vec<Arc<Appservice>>);

impl Appservices {
    /// Compiles the stored records. Fails on the first invalid namespace.
    pub fn compile(records: Vec<AppserviceRecord>) -> Result<Self, NamespaceError> {
        records
            .into_iter()
            .map(|record| Appservice::new(record).map(Arc::new))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The application service that has this `as_token`.
    pub fn by_token(&self, keys: &KeyRing, token: &Secret) -> Option<Arc<Appservice>> {
        let hash = |own: &Appservice| {
            let token = token.reveal().as_bytes();
            keys.hash_matches(KeyPurpose::AppserviceToken, token, &own.record.token_hash)
        };
        self.0.iter().find(|own| hash(own)).cloned()
    }

    /// Whether `name` is exclusive to an application service other than `requester` (REG-12, AVAIL-04).
    pub fn exclude(
        &self,
        name: &Localpart,
        requester: Option<&Appservice>,
        server: &ServerName,
    ) -> bool {
        let other = |own: &&Arc<Appservice>| {
            requester.is_none_or(|requester| requester.record.id != own.record.id)
        };
        self.0
            .iter()
            .filter(other)
            .any(|own| own.excludes(name, server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, regex: &str, exclusive: bool) -> AppserviceRecord {
        AppserviceRecord {
            id: id.to_owned(),
            token_hash: String::new(),
            sender_localpart: format!("{id}bot"),
            users: vec![NamespaceRecord {
                exclusive,
                regex: regex.to_owned(),
            }],
        }
    }

    #[test]
    fn exclusive_names_are_reserved_for_their_appservice() {
        let all = Appservices::compile(vec![
            record("irc", "@irc_.*", true),
            record("xmpp", "@x_.*", false),
        ])
        .unwrap();
        let server = ServerName::parse("example.org").unwrap();
        let name = |text| Localpart::parse(text, &server).unwrap();
        let (irc, xmpp) = (all.0[0].clone(), all.0[1].clone());
        assert!(all.exclude(&name("irc_alice"), None, &server));
        assert!(all.exclude(&name("irc_alice"), Some(&xmpp), &server));
        assert!(!all.exclude(&name("irc_alice"), Some(&irc), &server));
        assert!(!all.exclude(&name("x_alice"), None, &server));
        assert!(!all.exclude(&name("not_irc_alice"), None, &server));
        assert!(all.exclude(&name("ircbot"), None, &server));
        assert!(irc.may_use(&name("irc_bob"), &server) && irc.may_use(&name("ircbot"), &server));
        assert!(!irc.may_use(&name("bob"), &server));
    }

    #[test]
    fn a_pattern_with_capitals_matches_folded_names() {
        let all = Appservices::compile(vec![
            record("irc", "@IRC_[A-Za-z0-9]+:example.org", true),
            record("other", "@other_[^A-Z]+:example.org", true),
        ])
        .unwrap();
        let server = ServerName::parse("example.org").unwrap();
        for (text, id) in [("IRC_Bob", 0), ("irc_bob", 0), ("other_bob", 1)] {
            let name = Localpart::parse(text, &server).unwrap();
            assert!(all.exclude(&name, None, &server), "{text}");
            assert!(all.0[id].may_use(&name, &server), "{text}");
            assert!(!all.0[1 - id].may_use(&name, &server), "{text}");
        }
    }

    /// Bridges generate the name of their own user with letters of both cases.
    #[test]
    fn the_own_user_may_be_written_with_capital_letters() {
        let mut own = record("slack", "@slack_.*", true);
        own.sender_localpart = "zJ5H2lXNYdSVYFqA".to_owned();
        let all = Appservices::compile(vec![own]).unwrap();
        let server = ServerName::parse("example.org").unwrap();
        let slack = all.0[0].clone();
        for text in ["zJ5H2lXNYdSVYFqA", "zj5h2lxnydsvyfqa"] {
            let name = Localpart::parse(text, &server).unwrap();
            assert!(slack.may_use(&name, &server));
            assert!(all.exclude(&name, None, &server));
            assert_eq!(slack.sender_localpart(), name.as_str());
        }
    }

    #[test]
    fn a_shared_namespace_may_match_every_user() {
        let all = Appservices::compile(vec![record("chat", ".*", false)]).unwrap();
        let server = ServerName::parse("example.org").unwrap();
        let name = Localpart::parse("alice", &server).unwrap();
        assert!(!all.exclude(&name, None, &server));
        assert!(all.0[0].may_use(&name, &server));
        for regex in [".*", "", "(@x.*)?"] {
            let error = Appservices::compile(vec![record("chat", regex, true)]).unwrap_err();
            assert!(error.to_string().contains("every user ID"), "{error}");
        }
    }

    #[test]
    fn the_error_names_the_pattern_and_the_reason() {
        let error = |regex: &str| {
            let records = vec![record("irc", regex, true)];
            Appservices::compile(records).unwrap_err().to_string()
        };
        let unclosed = error("@irc_(");
        assert!(unclosed.contains("`irc`") && unclosed.contains("`@irc_(` is invalid"));
        let large = error(&format!("@({}x)", "some_body|".repeat(20_000)));
        assert!(large.len() < 300 && large.contains("too large"), "{large}");
    }
}
