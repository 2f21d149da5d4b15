//! Each requirement of `requirements.md` is named by a test, or `without-test.txt` gives the reason why no test names
//! it.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::files::{self, Test};

/// The groups of `requirements.md`, in the order of the file.
const GROUPS: [&str; 22] = [
    "HTTP", "TOK", "UIA", "REG", "GUEST", "AVAIL", "3PID", "PWD", "DEACT", "IDS", "VER", "LOGIN",
    "OUT", "REFR", "RTOK", "WHO", "ACC3", "DEV", "CAP", "WK", "HS", "OA",
];

/// Parses `ID: text`. The text must consist of words, so that it cannot be another ID.
fn row(line: &str) -> Option<(String, String)> {
    let (id, text) = line.split_once(": ")?;
    let has_words = text.len() > 10 && text.contains(' ');
    (is_id(id) && has_words).then(|| (id.to_owned(), text.to_owned()))
}

fn parse_row(path: &str, line: &str) -> (String, String) {
    row(line).unwrap_or_else(|| panic!("{path}: `{line}` is not `ID: text`"))
}

/// The requirements with their sentences, in the order of the file. Each list item is a requirement.
fn requirements() -> Vec<(String, String)> {
    let path = "tests/requirements.md";
    let text = files::read(path);
    let items = text.lines().filter_map(|line| line.strip_prefix("- "));
    items.map(|item| parse_row(path, item)).collect()
}

/// The requirements that no test names yet, with the reasons.
fn without_test() -> BTreeMap<String, String> {
    let path = "tests/without-test.txt";
    let text = files::read(path);
    let lines = text.lines().map(str::trim);
    let rows: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| parse_row(path, line))
        .collect();
    let count = rows.len();
    let map: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(map.len(), count, "{path}: an ID is listed twice");
    map
}

/// Whether a word has the form of a requirement ID.
fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(group, number)| {
        GROUPS.contains(&group) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The requirement IDs in a text: `REG-14`, but not `XREG-14` or `REG-14a`.
fn ids(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.split(|c| !word(c))
        .filter(|word| is_id(word))
        .map(str::to_owned)
        .collect()
}

/// The ID at the start of a test's name: `reg_14_…` is REG-14, and `threepid_14_…` is 3PID-14, because a name cannot
/// start with a digit.
fn id_of_name(name: &str) -> Option<String> {
    let name = name.strip_prefix('_').unwrap_or(name);
    let (prefix, rest) = name.split_once('_')?;
    let (number, _) = rest.split_once('_')?;
    let prefix = if prefix == "threepid" { "3pid" } else { prefix };
    let group = GROUPS
        .into_iter()
        .find(|own| own.to_lowercase() == prefix)?;
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
                "{id}: {test} names it: remove it from tests/without-test.txt"
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
        // These two files contain examples of IDs.
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
fn each_requirement_is_listed_once_in_its_groups_order() {
    let all = requirements();
    let unique: BTreeSet<_> = all.iter().map(|(id, _)| id).collect();
    assert_eq!(unique.len(), all.len(), "an ID is listed twice");
    let unique: BTreeSet<_> = all.iter().map(|(_, sentence)| sentence).collect();
    assert_eq!(unique.len(), all.len(), "a sentence is listed twice");
    for (id, sentence) in &all {
        assert!(
            sentence.ends_with('.'),
            "{id}: `{sentence}` does not end with a full stop"
        );
    }
    let mut seen: Vec<_> = all
        .iter()
        .filter_map(|(id, _)| id.split('-').next())
        .collect();
    seen.dedup();
    assert_eq!(seen, GROUPS);
}

#[test]
fn each_group_has_a_heading_over_its_requirements() {
    let text = files::read("tests/requirements.md");
    let mut headings = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            headings.extend(heading.split_once(": ").map(|(group, _)| group));
        } else if let Some(item) = line.strip_prefix("- ") {
            let group = item.split_once('-').map(|(group, _)| group);
            assert_eq!(headings.last().copied(), group, "the heading over `{item}`");
        }
    }
    assert_eq!(headings, GROUPS);
}

#[test]
fn a_requirement_is_an_id_of_a_known_group_and_a_sentence() {
    let line = "REG-14: Of several concurrent requests for one username, exactly one gets it.";
    let (id, sentence) = row(line).unwrap_or_default();
    assert_eq!(id, "REG-14");
    assert!(sentence.starts_with("Of several"));
    for line in [
        "REG-14",
        "REG-14:",
        "REG-14: ",
        "REG-14: REG-15-and-so-on",
        "MAIL-14: A group that does not exist.",
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
        ("threepid_01_x", Some("3PID-01")),
        ("_3pid_01_x", Some("3PID-01")),
        ("reg_names", None),
        ("regular_14_x", None),
        ("reg__x", None),
    ] {
        assert_eq!(id_of_name(name).as_deref(), id, "{name}");
    }
}
