//! Compares `CargoLambda.toml` with the template, as `local/` reads it.

use std::collections::BTreeSet;

use gatehouse_local::template::{Target, Template};

use crate::contract::files;

#[test]
fn cargo_lambda_watch_has_the_routes_of_the_template() {
    let template = Template::ours().unwrap_or_else(|error| panic!("{error:#}"));
    let expected: BTreeSet<String> = template
        .routes
        .iter()
        .map(|route| {
            let own: Vec<_> = route
                .methods
                .iter()
                .filter_map(|(method, target)| match target {
                    Target::Function(id) if method != "ANY" => {
                        let stem = &template.functions[id];
                        Some(format!(
                            "{{ method = \"{method}\", function = \"{stem}\" }}"
                        ))
                    }
                    _ => None,
                })
                .collect();
            let path = route.path.replace("{proxy+}", "{*proxy}");
            if own.is_empty() {
                format!("\"{path}\" = \"unrecognized\"")
            } else {
                format!("\"{path}\" = [{}]", own.join(", "))
            }
        })
        .collect();
    let file = files::read("CargoLambda.toml");
    let (_, router) = file
        .split_once("[watch.router]\n")
        .unwrap_or_else(|| panic!("CargoLambda.toml has no [watch.router]"));
    let lines = router.lines().filter(|line| !line.starts_with('#'));
    let found: BTreeSet<String> = lines.map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let other: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && other.is_empty(),
        "CargoLambda.toml lacks {missing:#?} and should not have {other:#?}"
    );
}

/// `cargo lambda watch` looks for functions only in the default members. `cargo run` runs the only default member that
/// has a `default-run`.
#[test]
fn cargo_lambda_watch_finds_every_function() {
    let workspace = files::read("Cargo.toml");
    assert!(workspace.contains("\ndefault-members = [\"local\", \"functions/*\"]\n"));
}
