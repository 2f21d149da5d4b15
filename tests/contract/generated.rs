//! The README's tables against the code they are about.

use std::fmt::Write as _;

use shared::config::{SETTINGS, Setting};

use crate::contract::files;

/// The README's table of settings. What has no default has an empty cell.
fn settings_table(settings: &[Setting]) -> String {
    let mut table = "| Setting | Default | Meaning |\n| --- | --- | --- |".to_owned();
    for row in settings {
        let default = match row.default {
            None | Some("") => String::new(),
            Some(default) => format!("`{default}` "),
        };
        let meaning = row.meaning.replace('|', "\\|");
        let _ = write!(table, "\n| `{}` | {default}| {meaning} |", row.name);
    }
    table
}

/// `UPDATE_README=1` writes the table into the README instead of comparing it.
fn update_is_wanted() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch for whoever runs this test, no setting"
    )]
    let switch = std::env::var("UPDATE_README");
    switch.is_ok_and(|value| value == "1")
}

#[test]
fn the_table_of_settings_is_the_one_in_the_code() {
    let readme = files::read("README.md");
    let expected = settings_table(SETTINGS);
    let found = files::between(&readme, "settings")
        .expect("README.md has the lines `<!-- settings -->` and `<!-- /settings -->`");
    if found == expected {
        return;
    }
    if update_is_wanted() {
        let (before, rest) = readme.split_once("<!-- settings -->").unwrap();
        let (_, after) = rest.split_once("<!-- /settings -->").unwrap();
        let updated = format!("{before}<!-- settings -->\n{expected}\n<!-- /settings -->{after}");
        std::fs::write(files::root().join("README.md"), updated).unwrap();
        return;
    }
    panic!(
        "README.md's table of settings is not that of shared/src/config/settings.rs. \
         UPDATE_README=1 in the environment of this test rewrites it; it is to be:\n\n{expected}\n"
    );
}

#[test]
fn every_setting_stands_once_and_says_what_it_means() {
    let mut names: Vec<_> = SETTINGS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SETTINGS.len(), "a setting stands twice");
    for row in SETTINGS {
        assert!(row.name.starts_with("GATEHOUSE_"), "{}", row.name);
        assert!(row.meaning.ends_with('.'), "{}: a sentence", row.name);
        assert!(!row.meaning.contains('\n'), "{}: one line", row.name);
    }
}

#[test]
fn every_function_has_a_row_in_the_table_of_endpoints() {
    let readme = files::read("README.md");
    let table = files::between(&readme, "endpoints")
        .expect("README.md has the lines `<!-- endpoints -->` and `<!-- /endpoints -->`");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
    for (number, row) in rows.iter().enumerate() {
        assert!(!rows[..number].contains(row), "a row stands twice: {row}");
    }
    for stem in files::names_in("functions") {
        let named = format!("`{stem}`");
        let count = rows.iter().filter(|row| row.contains(&named)).count();
        assert!(count >= 1, "no row of the table of endpoints has {named}");
    }
}

#[test]
fn a_row_has_its_default_in_backticks_and_no_bare_bar() {
    let row = |default| Setting {
        name: "GATEHOUSE_X",
        default,
        meaning: "`a|b`.",
    };
    let table = settings_table(&[row(Some("1")), row(None), row(Some(""))]);
    let expected = "| Setting | Default | Meaning |\n| --- | --- | --- |\n\
                    | `GATEHOUSE_X` | `1` | `a\\|b`. |\n| `GATEHOUSE_X` | | `a\\|b`. |\n| `GATEHOUSE_X` | | `a\\|b`. |";
    assert_eq!(table, expected);
}
