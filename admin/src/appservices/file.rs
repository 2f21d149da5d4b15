//! Registration files in YAML. `hs_token` is neither used nor stored, and no error message contains a token.

use std::fmt;

use anyhow::{Context, bail, ensure};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use shared::{
    appservices::{AppserviceRecord, NamespaceRecord, excerpt},
    ids::{MAX_USER_ID_BYTES, is_localpart},
    secrets::{KeyPurpose, KeyRing, Secret},
    tokens,
};

/// The maximum length of a regular expression, in bytes. All registrations share one row.
const MAX_REGEX_BYTES: usize = 16 * 1024;

/// The parts of a registration file that Gatehouse uses. The homeserver uses the others.
#[derive(Deserialize)]
struct RegistrationFile {
    id: Text,
    as_token: Text,
    sender_localpart: Text,
    namespaces: Option<Namespaces>,
}

#[derive(Deserialize)]
struct Namespaces {
    users: Option<Vec<Namespace>>,
}

#[derive(Deserialize)]
struct Namespace {
    exclusive: Option<Flag>,
    regex: Text,
}

/// A string. The error for another type does not contain the value, which may be a token.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Text, E> {
                Err(E::custom("the value must be a string; put it in quotes"))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Text, E> {
                self.visit_bool(false)
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Text, E> {
                self.visit_bool(false)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Text, E> {
                self.visit_bool(false)
            }

            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Err(E::custom("the value is missing"))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// A Boolean value, also as `yes`, `no`, `on` and `off`, which other homeservers read as YAML 1.1.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;

        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true` or `false`")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
                match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" => Ok(Flag(true)),
                    "false" | "no" | "off" => Ok(Flag(false)),
                    _ => Err(E::custom("`exclusive` must be `true` or `false`")),
                }
            }
        }

        deserializer.deserialize_any(FlagVisitor)
    }
}

/// Parses a registration file. The result contains only the hash of the token.
pub fn parse(yaml: &str, keys: &KeyRing) -> anyhow::Result<AppserviceRecord> {
    let file: RegistrationFile = serde_yaml_ng::from_str(yaml.trim_start_matches('\u{feff}'))
        .context("the file is not a registration of an application service")?;
    let (id, as_token, sender) = (file.id.0, file.as_token.0, file.sender_localpart.0);
    ensure!(!id.is_empty(), "`id` is empty");
    ensure!(!as_token.is_empty(), "`as_token` is empty");
    ensure!(
        !tokens::has_our_prefix(&as_token),
        "`as_token` starts like an access token of this server; choose another token"
    );
    ensure!(
        as_token.bytes().all(|b| b.is_ascii_graphic()),
        "`as_token` has a character that is not allowed in an HTTP header"
    );
    check_sender(&sender)?;
    let users = file.namespaces.and_then(|namespaces| namespaces.users);
    let users = users.unwrap_or_default().into_iter().map(namespace);
    let as_token = Secret::new(as_token);
    Ok(AppserviceRecord {
        id,
        token_hash: keys.hash(KeyPurpose::AppserviceToken, as_token.reveal().as_bytes()),
        sender_localpart: sender,
        users: users.collect::<anyhow::Result<_>>()?,
    })
}

/// The name of the service's own user may have capital letters, as many bridges generate it. It is then compared in
/// lower case.
fn check_sender(sender: &str) -> anyhow::Result<()> {
    ensure!(
        !sender.starts_with('@') && !sender.contains(':'),
        "`sender_localpart` must be only the part of the user ID between `@` and `:`"
    );
    ensure!(
        is_localpart(&sender.to_ascii_lowercase()),
        "`sender_localpart` is not a valid localpart; use letters, digits and `._=-/+`"
    );
    ensure!(
        sender.len() + "@:a".len() <= MAX_USER_ID_BYTES,
        "`sender_localpart` is too long for a user ID"
    );
    Ok(())
}

fn namespace(entry: Namespace) -> anyhow::Result<NamespaceRecord> {
    let regex = entry.regex.0;
    if regex.len() > MAX_REGEX_BYTES {
        let (size, limit) = (regex.len() / 1000, MAX_REGEX_BYTES / 1000);
        bail!(
            "the regular expression `{}` is too large ({size} kB, at most {limit} kB); divide it into several entries",
            excerpt(&regex)
        );
    }
    let Some(Flag(exclusive)) = entry.exclusive else {
        bail!(
            "the entry of `namespaces.users` with the regular expression `{}` has no `exclusive`; \
             add `exclusive: true` or `exclusive: false`",
            excerpt(&regex)
        );
    };
    Ok(NamespaceRecord { exclusive, regex })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> KeyRing {
        KeyRing::new(Secret::new(vec![7; 32]), None)
    }

    fn error(yaml: &str) -> String {
        format!("{:#}", parse(yaml, &keys()).unwrap_err())
    }

    #[test]
    fn a_standard_registration_file_is_parsed_and_its_token_hashed() {
        let yaml = "id: irc\nurl: http://localhost:1\nas_token: sesame\nhs_token: other\nsender_localpart: ircbot\n\
                    rate_limited: false\nnamespaces:\n  users:\n  - exclusive: true\n    regex: '@irc_.*'\n  aliases: []\n";
        let record = parse(yaml, &keys()).unwrap();
        assert_eq!(
            (record.id.as_str(), record.sender_localpart.as_str()),
            ("irc", "ircbot")
        );
        assert_eq!(
            record.users,
            [NamespaceRecord {
                exclusive: true,
                regex: "@irc_.*".to_owned()
            }]
        );
        assert!(!record.token_hash.contains("sesame"));
    }

    /// Files in the form in which these services write them, with other tokens: the name, the number of namespaces and
    /// the text.
    const COMMON: [(&str, usize, &str); 8] = [
        (
            "mautrix-whatsapp",
            2,
            "id: whatsapp\nurl: http://localhost:29318\nas_token: Vd8Ex\nhs_token: kRb\n\
             sender_localpart: zJ5H2lXNYdSVYFqA9DpWQnMn\nrate_limited: false\nnamespaces:\n    users:\n\
             \x20       - regex: ^@whatsappbot:example\\.org$\n          exclusive: true\n\
             \x20       - regex: ^@whatsapp_.*:example\\.org$\n          exclusive: true\n\
             de.sorunome.msc2409.push_ephemeral: true\nreceive_ephemeral: true\n\
             io.element.msc4190: true\norg.matrix.msc3202: true\n",
        ),
        (
            "heisenbridge",
            1,
            "id: heisenbridge\nurl: http://127.0.0.1:9898\nas_token: EK\nhs_token: Zn\nrate_limited: false\n\
             sender_localpart: heisenbridge\nnamespaces:\n  users:\n  - regex: '@irc_.*'\n    exclusive: true\n\
             \x20 aliases: []\n  rooms: []\n",
        ),
        (
            "matrix-appservice-irc",
            1,
            "id: 8d1f\nhs_token: 5a\nas_token: 3c\nnamespaces:\n  users:\n    - exclusive: true\n\
             \x20     regex: '@irc.example_.*:example\\.org'\n  aliases:\n    - exclusive: true\n\
             \x20     regex: '#irc.example_.*:example\\.org'\n  rooms: []\nurl: 'http://localhost:9999'\n\
             sender_localpart: appservice-irc\nrate_limited: false\nprotocols:\n  - irc\n",
        ),
        (
            "Rocket.Chat",
            1,
            "id: rocketchat\nhs_token: q\nas_token: w\nurl: http://host:3300\nsender_localpart: rocket.cat\n\
             namespaces:\n  users:\n    - exclusive: false\n      regex: .*\n  rooms:\n    - exclusive: false\n\
             \x20     regex: .*\n  aliases:\n    - exclusive: false\n      regex: .*\nrocketchat:\n\
             \x20 homeserver_url: http://host\n  homeserver_domain: example.org\n",
        ),
        (
            "hookshot",
            2,
            "id: matrix-hookshot\nas_token: a\nhs_token: b\nnamespaces:\n  rooms: []\n  users:\n\
             \x20   - regex: \"@_github_.*:example.org\"\n      exclusive: true\n\
             \x20   - regex: \"@_webhooks_.*:example.org\"\n      exclusive: Yes\n\
             sender_localpart: hookshot\nurl: \"\"\nrate_limited: false\n",
        ),
        (
            "mx-puppet-slack",
            1,
            "as_token: a\nhs_token: b\nid: slack-puppet\nnamespaces:\n  users:\n    - exclusive: true\n\
             \x20     regex: '@_slackpuppet_.*'\n  rooms:\n  aliases:\nprotocols: []\nrate_limited: false\n\
             sender_localpart: _SlackBot\nurl: null\nde.sorunome.msc2409.push_ephemeral: true\n",
        ),
        (
            "a bot without users",
            0,
            "{\"id\":\"draupnir\",\"url\":null,\"as_token\":\"a\",\"hs_token\":\"b\",\
             \"sender_localpart\":\"draupnir\",\"namespaces\":{\"users\":null}}",
        ),
        (
            "a file of Windows",
            0,
            "\u{feff}id: bot\r\nas_token: a\r\nsender_localpart: bot\r\nnamespaces:\r\n",
        ),
    ];

    #[test]
    fn the_files_of_common_services_are_accepted() {
        for (name, namespaces, yaml) in COMMON {
            let record = parse(yaml, &keys()).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(record.users.len(), namespaces, "{name}");
            for namespace in &record.users {
                namespace.compile().unwrap();
            }
        }
    }

    #[test]
    fn a_file_without_a_token_is_rejected() {
        assert!(error("id: irc\nas_token: ''\nsender_localpart: x\n").contains("empty"));
        assert!(error("id: irc\nsender_localpart: x\n").contains("as_token"));
        assert!(error("id: irc\nas_token:\nsender_localpart: x\n").contains("as_token"));
        error("- not: a registration");
        error("");
    }

    #[test]
    fn an_error_has_its_line_and_column_but_no_token() {
        for (yaml, place) in [
            (
                "id: irc\nas_token: 123456\nsender_localpart: x\n",
                "line 2 column 11",
            ),
            (
                "id: 7\nas_token: s3cret\nsender_localpart: x\n",
                "line 1 column 5",
            ),
            ("id: irc\nas_token: \"s3cret\nsender_localpart: x\n", "line"),
            ("id: irc\n\tas_token: s3cret\n", "line 2 column 1"),
            (
                "id: irc\nas_token: [s3cret]\nsender_localpart: x\n",
                "line 2 column 11",
            ),
        ] {
            let error = error(yaml);
            assert!(error.contains(place), "{error}");
            assert!(
                !error.contains("s3cret") && !error.contains("123456"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_name_of_the_own_user_may_have_capital_letters() {
        let sender = |name: &str| {
            let yaml = format!("id: x\nas_token: y\nsender_localpart: '{name}'\n");
            parse(&yaml, &keys()).map(|record| record.sender_localpart)
        };
        for name in [
            "zJ5H2lXNYdSVYFqA9DpWQnMn",
            "_SlackBot",
            "irc",
            "a.b_c=d-e/f+1",
        ] {
            assert_eq!(sender(name).unwrap(), name);
        }
        for name in [
            "",
            "@bot:example.org",
            "bot:example.org",
            "böt",
            "a b",
            "a\u{212A}",
        ] {
            let error = sender(name).unwrap_err().to_string();
            assert!(error.contains("`sender_localpart`"), "{name}: {error}");
        }
        assert!(sender(&"a".repeat(253)).is_err());
    }

    /// Synapse refuses such a file too.
    #[test]
    fn each_namespace_says_whether_it_is_exclusive() {
        let yaml = |entry: &str| {
            format!("id: x\nas_token: y\nsender_localpart: z\nnamespaces: {{users: [{entry}]}}\n")
        };
        let missing = error(&yaml("{regex: '@irc_.*'}"));
        assert!(
            missing.contains("`exclusive`") && missing.contains("@irc_.*"),
            "{missing}"
        );
        let wrong = error(&yaml("{regex: '@irc_.*', exclusive: perhaps}"));
        assert!(
            wrong.contains("`exclusive`") && wrong.contains("line 4"),
            "{wrong}"
        );
        assert!(error(&yaml("{exclusive: true}")).contains("regex"));
    }

    #[test]
    fn a_large_regular_expression_is_cut_in_the_message() {
        let regex = format!("@({}x)", "some_body|".repeat(24_000));
        let yaml = format!(
            "id: x\nas_token: y\nsender_localpart: z\nnamespaces: {{users: [{{exclusive: true, regex: '{regex}'}}]}}\n"
        );
        let error = error(&yaml);
        assert!(error.len() < 300, "{error}");
        assert!(
            error.contains("too large (240 kB, at most 16 kB)"),
            "{error}"
        );
    }
}
