//! The files of the project and the tests in them, for the other contract tests.
#![expect(
    clippy::expect_used,
    reason = "a file that cannot be read ends the test"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One file of the project.
pub(crate) struct File {
    /// The path from the project's root, with slashes.
    pub(crate) path: String,
    /// The content.
    pub(crate) text: String,
}

/// One test.
pub(crate) struct Test {
    /// The path of its file.
    pub(crate) path: String,
    /// The name of its function.
    pub(crate) name: String,
    /// The doc comment.
    pub(crate) doc: String,
}

/// The root directory of the project.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("`tests` is a directory of the project")
        .to_owned()
}

/// Reads a file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names in a directory, sorted.
pub(crate) fn names_in(directory: &str) -> BTreeSet<String> {
    fs::read_dir(root().join(directory))
        .unwrap_or_else(|error| panic!("{directory}: {error}"))
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("a name in UTF-8")
        })
        .collect()
}

/// Every text file below a directory of the project, without build output and version control. `""` is the whole
/// project. Files that are not UTF-8 are left out.
pub(crate) fn below(directory: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for name in names_in(&directory) {
            let path = if directory.is_empty() {
                name.clone()
            } else {
                format!("{directory}/{name}")
            };
            // In an additional worktree, `.git` is a file.
            if [".git", "target", "node_modules", ".aws-sam"].contains(&name.as_str()) {
                continue;
            }
            let full = root().join(&path);
            if full.is_dir() {
                pending.push(path);
            } else if full.is_file()
                && let Ok(text) = fs::read_to_string(full)
            {
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every Rust file of the project.
pub(crate) fn rust() -> Vec<File> {
    let crates = ["shared", "functions", "admin", "local", "tests"];
    let files = crates.into_iter().flat_map(below);
    files.filter(|file| is_rust(&file.path)).collect()
}

pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

/// Every test of the project: a function with an attribute that ends in `test`, with or without a
/// path or arguments (`#[test]`, `#[tokio::test(flavor = "multi_thread")]`).
pub(crate) fn tests() -> Vec<Test> {
    rust().iter().flat_map(tests_of).collect()
}

fn tests_of(file: &File) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut doc = String::new();
    let mut is_test = false;
    for line in file.text.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
            doc.push('\n');
        } else if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']']).next().unwrap_or_default();
            is_test |= path == "test" || path.ends_with("::test");
        } else if let Some(name) = function_name(line) {
            if is_test {
                tests.push(Test {
                    path: file.path.clone(),
                    name: name.to_owned(),
                    doc: std::mem::take(&mut doc),
                });
            }
            doc.clear();
            is_test = false;
        } else if line.is_empty() || line.ends_with(['}', ';', '{']) {
            doc.clear();
            is_test = false;
        }
    }
    tests
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// The text between `<!-- name -->` and `<!-- /name -->`, without the line ends next to them.
pub(crate) fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<!-- {name} -->"))?;
    let (inside, _) = rest.split_once(&format!("<!-- /{name} -->"))?;
    Some(inside.trim_matches('\n'))
}

#[test]
fn the_scanner_finds_tests_and_nothing_else() {
    let text = "/// UIA-01, UIA-02\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn one() {\n}\n\
                /// REG-01\nfn helper() {}\n\n#[test]\n/// REG-02\nfn two() {}\nproptest! {\n  #[test]\n  fn three(x in 0..2) {}\n}\n";
    let file = File {
        path: "a.rs".to_owned(),
        text: text.to_owned(),
    };
    let seen: Vec<_> = tests_of(&file)
        .into_iter()
        .map(|test| (test.name, test.doc.trim().to_owned()))
        .collect();
    let expected = [("one", "UIA-01, UIA-02"), ("two", "REG-02"), ("three", "")];
    assert_eq!(
        seen,
        expected.map(|(name, doc)| (name.to_owned(), doc.to_owned()))
    );
}
