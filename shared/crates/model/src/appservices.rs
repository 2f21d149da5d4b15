//! Application services: who they are and which names are theirs.
//!
//! All of them are one small item, kept here compiled for up to a minute, so that the operator's
//! command changes them without a deployment. `hs_token`s are not known here at all.

use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{Localpart, ServerName},
    secrets::{KeyPurpose, KeyRing, Secret},
};

/// How long a copy may be used before it is read again, in milliseconds.
pub const FRESH_FOR_MS: i64 = 60_000;

/// The largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// One application service as stored: what its registration file says, the token hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppserviceRecord {
    /// Its id in the registration file.
    pub id: String,
    /// The keyed hash of its `as_token`.
    pub token_hash: String,
    /// The localpart of its own user.
    pub sender_localpart: String,
    /// The user namespaces.
    pub users: Vec<NamespaceRecord>,
}

/// One entry of `namespaces.users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// Whether nobody else may have names in it.
    pub exclusive: bool,
    /// A pattern for the beginning of whole user IDs.
    pub regex: String,
}

/// A namespace's pattern is no regular expression we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("application service `{id}`: `{regex}` is no regular expression that can be used")]
pub struct NamespaceError {
    id: String,
    regex: String,
}

/// An application service, ready for questions.
#[derive(Debug)]
pub struct Appservice {
    record: AppserviceRecord,
    users: Vec<(bool, Regex)>,
}

impl Appservice {
    fn new(record: AppserviceRecord) -> Result<Self, NamespaceError> {
        let compile = |namespace: &NamespaceRecord| {
            // The pattern stands for the beginning of the user ID, as homeservers have always
            // read it. One that matches nothing at all matches everybody.
            RegexBuilder::new(&format!("^(?:{})", namespace.regex))
                .size_limit(MAX_PATTERN_BYTES)
                .build()
                .ok()
                .filter(|regex| !regex.is_match(""))
                .map(|regex| (namespace.exclusive, regex))
                .ok_or_else(|| NamespaceError {
                    id: record.id.clone(),
                    regex: namespace.regex.clone(),
                })
        };
        let users = record.users.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { record, users })
    }

    /// The localpart of its own user.
    pub fn sender_localpart(&self) -> &str {
        &self.record.sender_localpart
    }

    /// Whether `name` is one it may use: in a namespace of its own, or its own user.
    pub fn may_use(&self, name: &Localpart, server: &ServerName) -> bool {
        let user_id = name.user_id(server);
        name.as_str() == self.record.sender_localpart
            || self.users.iter().any(|(_, regex)| regex.is_match(&user_id))
    }

    fn excludes(&self, name: &Localpart, server: &ServerName) -> bool {
        let user_id = name.user_id(server);
        name.as_str() == self.record.sender_localpart
            || self
                .users
                .iter()
                .any(|(exclusive, regex)| *exclusive && regex.is_match(&user_id))
    }
}

/// All application services of this server.
#[derive(Debug, Default)]
pub struct Appservices(Vec<Arc<Appservice>>);

impl Appservices {
    /// Compiles what is stored.
    pub fn compile(records: Vec<AppserviceRecord>) -> Result<Self, NamespaceError> {
        records
            .into_iter()
            .map(|record| Appservice::new(record).map(Arc::new))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The one whose token this is.
    pub fn by_token(&self, keys: &KeyRing, token: &Secret) -> Option<Arc<Appservice>> {
        let hash = |own: &Appservice| {
            let token = token.reveal().as_bytes();
            keys.hash_matches(KeyPurpose::AppserviceToken, token, &own.record.token_hash)
        };
        self.0.iter().find(|own| hash(own)).cloned()
    }

    /// Whether somebody other than `requester` has `name` for himself alone (REG-12, AVAIL-04).
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
    fn exclusive_names_are_closed_to_all_but_their_owner() {
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
    fn a_pattern_that_does_not_compile_is_named() {
        let error = Appservices::compile(vec![record("irc", "@irc_(", true)]).unwrap_err();
        assert!(error.to_string().contains("irc") && error.to_string().contains("@irc_("));
    }
}
