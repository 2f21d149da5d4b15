//! Every requirement is named by a test, or stands in `without-test.txt` with a reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::files::{self, Test};

/// The groups of `requirements.md`, in its order.
const GROUPS: [&str; 20] = [
    "HTTP", "TOK", "UIA", "REG", "GUEST", "AVAIL", "3PID", "PWD", "DEACT", "IDS", "VER", "LOGIN",
    "OUT", "REFR", "RTOK", "WHO", "ACC3", "DEV", "CAP", "WK",
];

/// The lines `ID: text` of a file, comments left out. What follows the ID must be said in words.
fn rows(path: &str) -> Vec<(String, String)> {
    let text = files::read(path);
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| row(line).unwrap_or_else(|| panic!("{path}: `{line}` is not `ID: text`")))
        .collect()
}

fn row(line: &str) -> Option<(String, String)> {
    let (id, text) = line.split_once(": ")?;
    let said = text.len() > 10 && text.contains(' ');
    (is_id(id) && said).then(|| (id.to_owned(), text.to_owned()))
}

/// The requirements and what they demand, in the file's order.
fn requirements() -> Vec<(String, String)> {
    rows("tests/requirements.md")
}

/// The requirements that have no test yet, and why.
fn without_test() -> BTreeMap<String, String> {
    let rows = rows("tests/without-test.txt");
    let count = rows.len();
    let map: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(map.len(), count, "an ID stands twice in without-test.txt");
    map
}

/// Whether a word is the ID of a requirement, by its form.
fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(group, number)| {
        GROUPS.contains(&group) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The IDs of our groups in a text: `REG-14`, not `XREG-14` nor `REG-14a`.
fn ids(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.split(|c| !word(c))
        .filter(|word| is_id(word))
        .map(str::to_owned)
        .collect()
}

/// The ID that a test's name begins with: `reg_14_…` is REG-14, and `_3pid_14_…` is 3PID-14, since no
/// name begins with a digit.
fn id_of_name(name: &str) -> Option<String> {
    let name = name.strip_prefix('_').unwrap_or(name);
    let (group, rest) = name.split_once('_')?;
    let (number, _) = rest.split_once('_')?;
    let group = GROUPS.into_iter().find(|own| own.to_lowercase() == group)?;
    let digits = number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty();
    digits.then(|| format!("{group}-{number}"))
}

fn named_by(test: &Test) -> BTreeSet<String> {
    let mut named = ids(&test.doc);
    named.extend(id_of_name(&test.name));
    named
}

#[test]
fn every_requirement_is_named_by_a_test_or_listed_with_a_reason() {
    let mut namers: BTreeMap<String, String> = BTreeMap::new();
    for test in files::tests() {
        for id in named_by(&test) {
            namers.insert(id, format!("{}::{}", test.path, test.name));
        }
    }
    let listed = without_test();
    let mut faults = Vec::new();
    let known: BTreeMap<String, String> = requirements().into_iter().collect();
    for (id, sentence) in &known {
        match (namers.get(id), listed.get(id)) {
            (None, None) => faults.push(format!(
                "{id}: no test names it, and it is not in tests/without-test.txt: {sentence}"
            )),
            (Some(test), Some(_)) => faults.push(format!(
                "{id}: {test} names it: take it out of tests/without-test.txt"
            )),
            _ => {}
        }
    }
    for id in listed.keys().filter(|id| !known.contains_key(*id)) {
        faults.push(format!(
            "{id}: in tests/without-test.txt, but not in tests/requirements.md"
        ));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_requirement_is_named_that_does_not_exist() {
    let known: BTreeSet<String> = requirements().into_iter().map(|(id, _)| id).collect();
    let mut faults = Vec::new();
    for file in files::rust() {
        // This file's own examples.
        if file.path.ends_with("contract/files.rs")
            || file.path.ends_with("contract/requirements.rs")
        {
            continue;
        }
        for id in ids(&file.text).difference(&known) {
            faults.push(format!("{}: {id}", file.path));
        }
    }
    for test in files::tests() {
        if let Some(id) = id_of_name(&test.name).filter(|id| !known.contains(id)) {
            faults.push(format!("{}::{}: {id}", test.path, test.name));
        }
    }
    assert!(
        faults.is_empty(),
        "not in tests/requirements.md:\n{}",
        faults.join("\n")
    );
}

#[test]
fn the_list_of_requirements_holds_each_once_and_in_the_groups_order() {
    let all = requirements();
    let unique: BTreeSet<_> = all.iter().map(|(id, _)| id).collect();
    assert_eq!(unique.len(), all.len(), "an ID stands twice");
    let unique: BTreeSet<_> = all.iter().map(|(_, sentence)| sentence).collect();
    assert_eq!(unique.len(), all.len(), "a sentence stands twice");
    for (id, sentence) in &all {
        assert!(sentence.ends_with('.'), "{id}: `{sentence}` is no sentence");
    }
    let mut seen: Vec<_> = all
        .iter()
        .filter_map(|(id, _)| id.split('-').next())
        .collect();
    seen.dedup();
    assert_eq!(seen, GROUPS);
}

#[test]
fn each_group_of_the_list_has_a_heading_over_its_own_requirements() {
    let text = files::read("tests/requirements.md");
    let mut headings = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(heading) = line.strip_prefix("# ") {
            let group = heading.split_once(": ").map(|(group, _)| group);
            let capitals = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
            headings.extend(group.filter(|group| group.bytes().all(capitals)));
        } else if let Some((group, _)) = line.split_once('-') {
            assert_eq!(headings.last(), Some(&group), "the heading over `{line}`");
        }
    }
    assert_eq!(headings, GROUPS);
}

#[test]
fn a_requirement_is_an_id_of_a_known_group_and_a_sentence() {
    let line = "REG-14: Of several who race for one name, a single one gets it.";
    let (id, sentence) = row(line).unwrap_or_default();
    assert_eq!(id, "REG-14");
    assert!(sentence.starts_with("Of several"));
    for line in [
        "REG-14",
        "REG-14:",
        "REG-14: ",
        "REG-14: REG-15-and-so-on",
        "MAIL-14: A group that nobody has heard of.",
        "REG: A group without a number.",
    ] {
        assert_eq!(row(line), None, "{line}");
    }
}

#[test]
fn ids_are_found_in_prose_and_in_names() {
    let found = ids("(UIA-02 to UIA-05), REG-14's; not UIA-, XUIA-01, REG-14a or SHA-256");
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["REG-14", "UIA-02", "UIA-05"]);
    for (name, id) in [
        ("reg_14_of_twenty_one_wins", Some("REG-14")),
        ("http_05_x", Some("HTTP-05")),
        ("_3pid_01_x", Some("3PID-01")),
        ("reg_names", None),
        ("regular_14_x", None),
        ("reg__x", None),
    ] {
        assert_eq!(id_of_name(name).as_deref(), id, "{name}");
    }
}
