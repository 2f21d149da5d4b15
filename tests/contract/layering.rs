//! The rooms of the house: who may know whom, how large a file may be, and words that do not
//! belong into it.

use std::collections::BTreeSet;

use crate::contract::files::{self, File};

/// The rooms at the bottom: they know only one another.
const FLOOR: [&str; 5] = ["aws", "rng", "clock", "ids", "secrets"];

/// A file's lines without those that are comments only, and without its unit tests.
fn code(file: &File) -> String {
    let production = file.text.split("#[cfg(test)]\nmod tests {").next();
    let lines = production.unwrap_or_default().lines();
    let lines: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

/// The rooms of the shared crate that a text imports: `b` of `crate::b::c`, `b` and `d` of
/// `crate::{b::c, d}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let mut rest = code;
    while let Some((_, after)) = rest.split_once("crate::") {
        rest = after;
        let Some(group) = after.strip_prefix('{') else {
            rooms.insert(first_name(after));
            continue;
        };
        let mut depth = 0_i32;
        let mut at_start = true;
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                _ if at_start && !character.is_whitespace() => {
                    rooms.insert(first_name(&group[index..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn first_name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// The room a file of the shared crate is in: `uia` for `shared/src/uia/stages/dummy.rs`.
fn room(file: &File) -> Option<String> {
    let path = file.path.strip_prefix("shared/src/")?;
    let name = path.split(['/', '.']).next()?;
    (name != "lib").then(|| name.to_owned())
}

fn shared() -> impl Iterator<Item = (String, File)> {
    let files = files::below("shared/src").into_iter();
    files.filter_map(|file| Some((room(&file)?, file)))
}

/// The files whose code mentions `crate_name::`, among the functions', the operator's and shared.
fn mentions(crate_name: &str) -> BTreeSet<String> {
    let path = format!("{crate_name}::");
    let files = files::rust().into_iter();
    let production = files.filter(|file| {
        ["shared/", "functions/", "admin/"]
            .iter()
            .any(|room| file.path.starts_with(room))
    });
    production
        .filter(|file| code(file).contains(&path))
        .map(|file| file.path)
        .collect()
}

/// Where the operator's command makes clients, with credentials from wherever the AWS tools take
/// them, and asks what no function may: how a table is set up, what a quota is.
fn asks_for_the_operator(path: &str) -> bool {
    let clients = ["admin/src/main.rs", "admin/src/services.rs"];
    clients.contains(&path) || path.starts_with("admin/src/doctor/")
}

#[test]
fn only_the_store_knows_dynamodb() {
    for path in mentions("aws_sdk_dynamodb") {
        let in_store = path.starts_with("shared/src/store");
        assert!(in_store || asks_for_the_operator(&path), "{path}");
    }
}

#[test]
fn the_operators_command_reads_and_writes_rows_in_the_stores_verbs_alone() {
    let rows = "item() query() scan() items() send_email() publish()";
    for file in files::below("admin/src") {
        for call in rows.split(' ') {
            assert!(!code(&file).contains(call), "{call} in {}", file.path);
        }
    }
}

#[test]
fn only_one_file_knows_lambda() {
    for name in ["lambda_http", "lambda_runtime"] {
        let known: Vec<_> = mentions(name).into_iter().collect();
        assert_eq!(known, ["shared/src/lambda.rs"], "{name}");
    }
}

#[test]
fn only_three_files_know_the_http_client() {
    let known: Vec<_> = mentions("aws_smithy_http_client").into_iter().collect();
    let ours = ["aws.rs", "captcha.rs", "identity_servers/client.rs"];
    assert_eq!(known, ours.map(|file| format!("shared/src/{file}")));
}

#[test]
fn only_one_file_knows_secrets_manager() {
    let known: Vec<_> = mentions("aws_sdk_secretsmanager").into_iter().collect();
    assert_eq!(known, ["shared/src/key_ring.rs"]);
}

#[test]
fn one_function_sends_and_one_file_each_knows_how() {
    for (name, only) in [
        ("aws_sdk_ses", "functions/deliver/src/ses.rs"),
        ("aws_sdk_sns", "functions/deliver/src/sns.rs"),
    ] {
        let known = mentions(name).into_iter();
        let known: Vec<_> = known.filter(|path| !asks_for_the_operator(path)).collect();
        assert_eq!(known, [only], "{name}");
        let package = name.replace('_', "-");
        let rooms = ["shared", "functions"].into_iter();
        let manifests = rooms
            .flat_map(files::below)
            .filter(|file| file.path.ends_with("/Cargo.toml") && file.text.contains(&package));
        let known: Vec<_> = manifests.map(|file| file.path).collect();
        assert_eq!(known, ["functions/deliver/Cargo.toml"], "{package}");
    }
}

#[test]
fn time_and_chance_come_from_one_file_each() {
    for (word, only) in [
        ("SystemTime::now", "shared/src/clock.rs"),
        ("Utc::now", ""),
        ("getrandom::", "shared/src/rng.rs"),
        ("OsRng", ""),
        ("thread_rng", ""),
        ("rand::rng", ""),
    ] {
        for file in files::rust() {
            // This file's own list.
            if file.path == only || file.path.ends_with("contract/rooms.rs") {
                continue;
            }
            assert!(!code(&file).contains(word), "{word} in {}", file.path);
        }
    }
}

#[test]
fn the_rooms_at_the_bottom_know_only_one_another() {
    for (room, file) in shared().filter(|(room, _)| FLOOR.contains(&room.as_str())) {
        for import in imports(&code(&file)) {
            assert!(
                import == room || FLOOR.contains(&import.as_str()),
                "{} imports `{import}`",
                file.path
            );
        }
    }
}

#[test]
fn the_arrows_between_rooms_point_one_way() {
    // What a room must not know. Wire, domain, tables and settings, from the edge inwards.
    // `limits` does know one type of `http`, the network that a budget belongs to; `config` three
    // of the rooms above it, whose settings it parses.
    let forbidden = [
        ("accounts", "app captcha error http lambda limits"),
        ("app", "error http lambda limits tokens uia"),
        ("appservices", "app config error http lambda store uia"),
        ("captcha", "app error http lambda store uia"),
        ("config", "accounts app error lambda limits store tokens"),
        ("credentials", "accounts config lambda tokens uia"),
        (
            "devices",
            "accounts captcha config lambda limits outbox pages threepids",
        ),
        ("error", "app config lambda"),
        (
            "uia_request",
            "captcha config lambda outbox pages threepids validation_pages",
        ),
        ("http", "accounts app config lambda limits store tokens uia"),
        (
            "identity_servers",
            "accounts captcha error http lambda limits outbox passwords tokens uia",
        ),
        (
            "key_ring",
            "accounts app config error http lambda limits store tokens uia",
        ),
        ("limits", "accounts error lambda tokens uia"),
        (
            "metrics",
            "accounts app config error http lambda limits passwords store tokens uia",
        ),
        (
            "notices",
            "accounts config error http lambda passwords store tokens uia",
        ),
        (
            "outbox",
            "accounts app config error http lambda limits passwords store tokens uia",
        ),
        (
            "own_addresses",
            "captcha config credentials guarded lambda passwords",
        ),
        ("pages", "accounts app lambda limits store tokens uia"),
        ("passwords", "app error http lambda store uia"),
        (
            "request_token",
            "accounts lambda passwords store tokens uia",
        ),
        ("store", "app captcha config error http lambda"),
        ("threepids", "accounts error lambda passwords tokens uia"),
        ("tokens", "config error http lambda uia"),
        ("uia", "accounts lambda tokens"),
        (
            "validation_pages",
            "accounts lambda passwords store tokens uia",
        ),
    ];
    let mut faults = Vec::new();
    for (room, file) in shared() {
        let rule = forbidden.iter().find(|(own, _)| *own == room);
        let known = rule.is_some() || room == "lambda" || FLOOR.contains(&room.as_str());
        assert!(known, "{}: say here what `{room}` must not know", file.path);
        let Some((_, forbidden)) = rule else { continue };
        let imports = imports(&code(&file)).into_iter();
        let wrong = imports.filter(|import| forbidden.split(' ').any(|word| word == import));
        faults.extend(wrong.map(|import| format!("{} imports `{import}`", file.path)));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn functions_know_no_sdk_and_no_local_crate() {
    // What sends.
    let exceptions = [
        "functions/deliver/Cargo.toml",
        "functions/deliver/src/ses.rs",
        "functions/deliver/src/sns.rs",
    ];
    for file in files::below("functions") {
        if exceptions.contains(&file.path.as_str()) {
            continue;
        }
        for name in [
            "aws_",
            "aws-",
            "lambda_http",
            "lambda_runtime",
            "gatehouse_local",
            "gatehouse-local",
        ] {
            let text = if files::is_rust(&file.path) {
                code(&file)
            } else {
                file.text.clone()
            };
            assert!(!text.contains(name), "{name} in {}", file.path);
        }
    }
}

#[test]
fn functions_leave_errcodes_keys_and_settings_to_the_shared_crate() {
    for file in files::below("functions") {
        if !files::is_rust(&file.path) {
            continue;
        }
        let code = code(&file);
        for word in [
            "\"M_",
            "std::env",
            "std::time::Instant",
            "tracing_subscriber",
        ] {
            assert!(!code.contains(word), "{word} in {}", file.path);
        }
    }
}

#[test]
fn http_23_nothing_is_called_over_plain_http_but_what_a_setting_names() {
    // The one accepts such a URL as a setting, the other as a client's page, which we never call.
    let accept = ["shared/src/config/parse.rs", "shared/src/threepids/link.rs"];
    for room in ["shared/src", "functions", "admin/src"] {
        for file in files::below(room)
            .iter()
            .filter(|file| files::is_rust(&file.path))
        {
            if !accept.contains(&file.path.as_str()) {
                assert!(!code(file).contains("\"http://"), "{}", file.path);
            }
        }
    }
}

#[test]
fn every_package_is_as_private_and_licensed_as_the_workspace() {
    let functions = files::names_in("functions");
    let functions = functions.iter().map(|stem| format!("functions/{stem}"));
    let others = ["admin", "local", "shared", "tests"].map(str::to_owned);
    for package in functions.chain(others) {
        let manifest = files::read(&format!("{package}/Cargo.toml"));
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            let inherited = format!("\n{field}.workspace = true\n");
            assert!(manifest.contains(&inherited), "{package}: {field}");
        }
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{package}: lints"
        );
    }
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let mut faults = Vec::new();
    for file in files::rust() {
        let production = file.text.split("#[cfg(test)]\nmod tests {").next();
        let lines = production.unwrap_or_default().lines().count();
        if lines > 400 {
            faults.push(format!("{}: {lines}", file.path));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_module_is_a_mod_rs_and_every_file_says_what_it_is() {
    for file in files::rust() {
        assert!(!file.path.ends_with("/mod.rs"), "{}", file.path);
        let unit_tests = file.path.ends_with("/tests.rs");
        assert!(
            file.text.starts_with("//!") || unit_tests,
            "{} does not begin with `//!`",
            file.path
        );
    }
}

#[test]
fn nothing_names_a_machine_or_the_host_of_a_registry() {
    // In two pieces each, or this file would name them.
    let words = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["index.crat", "es.io"],
        ["static.crat", "es.io"],
    ]
    .map(|word| word.concat());
    for file in files::below("") {
        for word in &words {
            assert!(!file.text.contains(word), "{word} in {}", file.path);
        }
    }
    let lock = files::read("Cargo.lock");
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        assert!(
            line.starts_with("source = \"registry+https://github.com/rust-lang/"),
            "{line}"
        );
    }
}

#[test]
fn imports_are_read_from_paths_and_groups() {
    let code = "use crate::{\n    a::{b, c::D},\n    e,\n};\nuse crate::f::G;\nlet x = crate::h();";
    let found: Vec<_> = imports(code).into_iter().collect();
    assert_eq!(found, ["a", "e", "f", "h"]);
}
