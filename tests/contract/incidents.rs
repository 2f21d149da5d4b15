//! `incidents.md`: each past break-in of a system like this one has a test that guards against it,
//! or a reason why it cannot happen here yet.

use std::collections::BTreeSet;

use crate::contract::files;

#[test]
fn every_incident_is_guarded_by_a_test_that_exists_or_says_why_not() {
    let text = files::read("tests/incidents.md");
    let tests: BTreeSet<String> = files::tests().into_iter().map(|test| test.name).collect();
    let mut numbers = Vec::new();
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, what, guard] = cells[..] else {
            panic!("a row has three cells: {line}");
        };
        if number == "#" || number.starts_with("---") {
            continue;
        }
        numbers.push(number.to_owned());
        // Test names stand in backticks; every second piece is inside a pair.
        let named: Vec<_> = guard.split('`').skip(1).step_by(2).collect();
        for name in named.iter().filter(|name| !tests.contains(**name)) {
            faults.push(format!("{number}: there is no test `{name}`"));
        }
        let excused = ["Not yet: ", "Cannot apply: "]
            .iter()
            .any(|word| guard.contains(word));
        if named.is_empty() && !excused {
            faults.push(format!(
                "{number}: neither a test nor `Not yet: …` nor `Cannot apply: …`"
            ));
        }
        if what.is_empty() {
            faults.push(format!("{number}: does not say what happened"));
        }
    }
    let incidents = (1..=32).map(|number: u32| number.to_string());
    let flaws = (1..=19).map(|number: u32| format!("L{number}"));
    assert_eq!(numbers, incidents.chain(flaws).collect::<Vec<_>>());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
