//! The commands in the documentation for operators exist.

use std::path::Path;

use crate::contract::files;

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
