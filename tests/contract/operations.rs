//! Compares docs/operations.md with the template.
#![expect(
    clippy::expect_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::path::Path;

use gatehouse_local::template::Template;
use regex_lite::Regex;

use crate::contract::files;

/// The regular expression for the forwarded paths in the snippet of a reverse proxy.
fn expression(proxy: &str) -> Regex {
    let page = files::read("docs/operations.md");
    let snippet = files::between(&page, proxy).expect("the page has the snippet");
    let (_, from) = snippet.split_once("^/").expect("an expression begins");
    let line = from.lines().next().unwrap_or_default();
    let text = line.trim_end_matches("\" {");
    Regex::new(&format!("^/{text}")).expect("an expression that compiles")
}

/// A path with an example for each parameter.
fn example(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{type}" => "m.login.dummy",
        "{medium}" => "email",
        part if part.starts_with('{') => "ABC/DEF",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn the_nginx_output_is_the_documented_snippet() {
    let template = files::read("template.yaml");
    let (_, from) = template.split_once("  Nginx:\n").expect("an output");
    let (_, from) = from.split_once("- |-\n").expect("a text");
    let (output, _) = from.split_once("      - Host:").expect("an end");
    let output = output
        .replace("${Host}", "accounts.example.org")
        .replace("${Path}", "");
    let page = files::read("docs/operations.md");
    let snippet = files::between(&page, "nginx").expect("the page has the snippet");
    let is_in_output =
        |line: &&str| !line.starts_with("```") && !line.trim_start().starts_with('#');
    let snippet: Vec<&str> = snippet
        .lines()
        .filter(is_in_output)
        .map(str::trim)
        .collect();
    let output: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(output, snippet);
}

#[test]
fn the_proxies_forward_our_paths_and_none_of_the_homeserver() {
    let template = Template::ours().unwrap();
    // The homeserver answers these paths for the whole server.
    let not_forwarded = [
        "/",
        "/{proxy+}",
        "/.well-known/matrix/client",
        "/_matrix/client/r0/capabilities",
        "/_matrix/client/v3/capabilities",
        "/_matrix/client/versions",
        "/_matrix/key/v2/server",
        "/_matrix/key/v2/server/",
    ];
    let theirs = [
        "/_matrix/client/v3/sync",
        "/_matrix/client/v3/login/sso/redirect",
        "/_matrix/client/v3/login/get_token",
        "/_matrix/client/v3/registered",
        "/_matrix/client/v3/account_data",
        "/_matrix/client/v3/user/@alice:example.org/account_data/register",
        "/_matrix/client/v3/devices2",
        "/_matrix/client/v3/keys/query",
        "/_matrix/client/unstable/register",
        "/_matrix/federation/v1/version",
        "/_matrix/key/v2/query",
        "/_matrix/media/v3/config",
        "/_synapse/admin/v1/register",
    ];
    for proxy in ["nginx", "caddy"] {
        let ours = expression(proxy);
        for route in &template.routes {
            let path = example(&route.path);
            let expected = !not_forwarded.contains(&route.path.as_str());
            assert_eq!(ours.is_match(&path), expected, "{proxy}: {path}");
        }
        for path in theirs {
            assert!(!ours.is_match(path), "{proxy}: {path}");
        }
    }
}

/// The arguments of every `gatehouse-admin` command in the documentation, with its page.
fn admin_commands() -> Vec<(String, Vec<String>)> {
    let pages = files::below("docs").into_iter();
    let pages = pages.filter(|page| {
        let extension = Path::new(&page.path).extension();
        extension.is_some_and(|extension| extension == "md")
    });
    let mut commands = Vec::new();
    for page in pages {
        for (_, rest) in page
            .text
            .match_indices("gatehouse-admin ")
            .map(|(at, name)| page.text.split_at(at + name.len()))
        {
            let command = rest.split(['`', '\n', '|', ';', ')', '<', ',']).next();
            let words = command.unwrap_or_default().split_whitespace();
            // A shell variable may be empty.
            let words = words.filter(|word| !word.starts_with('$'));
            let words = words.map(|word| word.trim_matches(['"', '…']).to_owned());
            commands.push((page.path.clone(), words.collect()));
        }
    }
    commands
}

#[test]
fn every_documented_command_of_the_admin_cli_exists() {
    use clap::{Parser, error::ErrorKind};
    let mut known = 0;
    for (page, words) in admin_commands() {
        // In a sentence, the name of the program is followed by other words.
        let is_command = words.first().is_some_and(|word| {
            [
                "users",
                "registration-tokens",
                "appservices",
                "doctor",
                "--json",
            ]
            .contains(&&**word)
        });
        if !is_command {
            continue;
        }
        known += 1;
        let all = ["gatehouse-admin".to_owned()]
            .into_iter()
            .chain(words.clone());
        let Err(error) = gatehouse_admin::Cli::try_parse_from(all) else {
            continue;
        };
        // A sentence may name a group of commands, or a command without its arguments.
        let is_incomplete = matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        let continues = words.first().is_some_and(|word| word == "doctor") && words.len() > 1;
        assert!(is_incomplete || continues, "{page}: {words:?}: {error}");
    }
    assert!(known > 10, "{known} commands");
}
