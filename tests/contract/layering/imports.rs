//! Finds the paths with which one module of a crate names another.

use std::collections::BTreeSet;

/// The macros at the root of the crate, each with the module that defines it.
const MACROS: [(&str, &str); 1] = [("opaque_debug", "secrets")];

/// The top-level modules that the code of a module names. `module` is the path of the module: `["uia", "stages"]` for
/// `shared/crates/http/src/uia/stages.rs`. The names come from paths that start with `crate::` or `super::`, in `use`
/// declarations with nested lists as well as in expressions.
pub(super) fn imports(module: &[&str], code: &str) -> BTreeSet<String> {
    let mut found = Vec::new();
    let mut before = None;
    let mut rest = code;
    while let Some(character) = rest.chars().next() {
        let begins_a_path = !before.is_some_and(|c| is_of_name(c) || c == ':');
        if begins_a_path && (rest.starts_with("crate::") || rest.starts_with("super::")) {
            let after = expand(rest, &[], &mut found);
            before = rest[..rest.len() - after.len()].chars().next_back();
            rest = after;
        } else {
            before = Some(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    found
        .iter()
        .filter_map(|path| top_level(module, path))
        .map(|name| {
            let defined_in = MACROS.iter().find(|(own, _)| *own == name);
            defined_in.map_or(name, |(_, module)| *module).to_owned()
        })
        .collect()
}

/// Reads the path, or the list of paths, at the start of `text`, adds every whole path to `found` and returns the text
/// after it.
fn expand<'a>(text: &'a str, prefix: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> &'a str {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        return expand_list(list, prefix, found);
    }
    let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return text;
    }
    let path = [prefix, &[name]].concat();
    match rest.strip_prefix("::") {
        Some(rest) if rest.starts_with('{') || rest.starts_with(is_of_name) => {
            expand(rest, &path, found)
        }
        _ => {
            found.push(path);
            rest
        }
    }
}

fn expand_list<'a>(list: &'a str, prefix: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> &'a str {
    let mut rest = list;
    loop {
        rest = expand(rest, prefix, found);
        // `as` and another name may follow.
        let Some(end) = rest.find([',', '}']) else {
            return "";
        };
        let is_last = rest[end..].starts_with('}');
        rest = &rest[end + 1..];
        if is_last {
            return rest;
        }
    }
}

/// The top-level module that a path leads to. Returns `None` if the path stays in its own module or names only the
/// root.
fn top_level<'a>(module: &[&'a str], path: &[&'a str]) -> Option<&'a str> {
    let supers = path.iter().take_while(|name| **name == "super").count();
    let names = match path.first() {
        Some(&"crate") => path.get(1..)?,
        _ if supers >= module.len() => path.get(supers..)?,
        _ => return None,
    };
    names.first().copied().filter(|name| *name != "self")
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[test]
fn imports_are_read_from_paths_and_nested_lists() {
    for (module, code, expected) in [
        ("a", "use crate::b::C;\nlet x = crate::d();", "b d"),
        (
            "a",
            "use crate::{\n    b::{c, d::{E, F}},\n    g as h,\n    self,\n    i,\n};\nuse crate::j;",
            "b g i j",
        ),
        ("a", "use super::{b::C, d};", "b d"),
        ("a", "use super::super::b;", "b"),
        ("a::b", "use super::{super::{c, d::E}, f};", "c d"),
        ("a::b", "use super::c::D;", ""),
        ("a::b", "super::super::c::d(super::e);", "c"),
        (
            "a",
            "pub(in crate::a) fn f() -> crate::b::C<crate::d::E> {}",
            "a b d",
        ),
        ("a", "crate::opaque_debug!(T); $crate::b::C", "b secrets"),
        (
            "a",
            "use other::crate_name::b; other::super::c; thecrate::d",
            "",
        ),
        ("a", "crate::b::<T>::new(); crate::c::{", "b"),
    ] {
        let module: Vec<_> = module.split("::").collect();
        let found: Vec<_> = imports(&module, code).into_iter().collect();
        assert_eq!(found.join(" "), expected, "{code}");
    }
}
