//! The generated files are up to date, and the settings that a table is generated from are complete.

use shared::config::SETTINGS;

use crate::contract::files;

#[test]
fn every_generated_file_is_up_to_date() {
    let stale = xtask::stale(&files::root()).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(
        stale.is_empty(),
        "{stale:?} are out of date; run `{}` and commit the result",
        xtask::COMMAND
    );
}

#[test]
fn every_setting_is_listed_once_with_its_meaning() {
    let mut names: Vec<_> = SETTINGS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SETTINGS.len(), "a setting is listed twice");
    for row in SETTINGS {
        assert!(row.name.starts_with("GATEHOUSE_"), "{}", row.name);
        assert!(row.meaning.ends_with('.'), "{}: a sentence", row.name);
        assert!(!row.meaning.contains('\n'), "{}: one line", row.name);
    }
}
