//! Each incident in `incidents.md` names tests that prevent it, or the reason why it cannot happen
//! here.

use std::collections::BTreeSet;

use crate::contract::files;

#[test]
fn every_incident_names_existing_tests_or_a_reason() {
    let text = files::read("tests/incidents.md");
    let existing: BTreeSet<String> = files::tests().into_iter().map(|test| test.name).collect();
    let mut numbers = Vec::new();
    let mut errors = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, description, tests_cell] = cells[..] else {
            panic!("a row must have three cells: {line}");
        };
        if number == "#" || number.starts_with("---") {
            continue;
        }
        numbers.push(number.to_owned());
        // Test names are in backticks, so every second piece is a name.
        let named: Vec<_> = tests_cell.split('`').skip(1).step_by(2).collect();
        for name in named.iter().filter(|name| !existing.contains(**name)) {
            errors.push(format!("{number}: there is no test `{name}`"));
        }
        let has_reason = ["Not yet: ", "Cannot apply: "]
            .iter()
            .any(|prefix| tests_cell.contains(prefix));
        if named.is_empty() && !has_reason {
            errors.push(format!(
                "{number}: the row names neither a test nor `Not yet: …` nor `Cannot apply: …`"
            ));
        }
        if description.is_empty() {
            errors.push(format!("{number}: the description is empty"));
        }
    }
    let incident_numbers = (1..=32)
        .chain([33, 37, 38])
        .map(|number: u32| number.to_string());
    let flaw_numbers = (1..=19).map(|number: u32| format!("L{number}"));
    assert_eq!(
        numbers,
        incident_numbers.chain(flaw_numbers).collect::<Vec<_>>()
    );
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}
