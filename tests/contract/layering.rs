//! The order of the modules of the shared crate, the external crates that each part of the project may use, and the
//! form of source files.

mod imports;

use std::collections::BTreeSet;

use crate::contract::files::{self, File};
use imports::imports;

/// The modules of the crates below `shared/crates`, from the lowest crate to the highest. A module may import only
/// modules before it. The compiler enforces the order of the crates, and this list determines the order inside each
/// crate.
const ORDER: [(&str, &str); 4] = [
    (
        "model",
        "rng clock format_date secrets ids client_network host_name threepid stage_type signing id_server_name password_hash
         validation_session appservices outbox metrics",
    ),
    ("store", "aws store"),
    (
        "core",
        "config key_ring http_exchange captcha passwords id_server_client homeserver_client app limits security_notifications
         threepids threepid_validation identity_servers accounts homeserver tokens oauth",
    ),
    (
        "http",
        "error http auth_apis oauth_http pages credentials oauth_pages recipients callers threepid_creds uia account_threepids account_changes password_change devices registration request_token validation_pages lambda",
    ),
];

/// The code of a file without comment lines and unit tests.
fn code(file: &File) -> String {
    let production = file.text.split("#[cfg(test)]\nmod tests {").next();
    without_comments(production.unwrap_or_default())
}

fn without_comments(text: &str) -> String {
    let lines = text.lines();
    let lines: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

/// The path of the module in a file of a crate below `shared/crates`: `["uia", "stages"]` for
/// `shared/crates/http/src/uia/stages.rs`.
fn module(file: &File) -> Option<Vec<&str>> {
    let path = file.path.strip_prefix("shared/crates/")?;
    let (_, path) = path.split_once("/src/")?;
    let path = path.strip_suffix(".rs")?;
    (path != "lib").then(|| path.split('/').collect())
}

/// The position of a module in [`ORDER`], and the index of its layer.
fn place(name: &str) -> Option<(usize, usize)> {
    let layers = ORDER.iter().enumerate();
    let mut modules = layers.flat_map(|(layer, (_, modules))| {
        modules
            .split_whitespace()
            .map(move |module| (layer, module))
    });
    let index = modules.clone().position(|(_, module)| module == name)?;
    Some((index, modules.nth(index)?.0))
}

/// The files of `shared`, `functions` and `admin` with `crate_name::` in their code.
fn mentions(crate_name: &str) -> BTreeSet<String> {
    let path = format!("{crate_name}::");
    let files = files::rust().into_iter();
    let production = files.filter(|file| {
        ["shared/", "functions/", "admin/"]
            .iter()
            .any(|directory| file.path.starts_with(directory))
    });
    production
        .filter(|file| code(file).contains(&path))
        .map(|file| file.path)
        .collect()
}

/// Whether a file belongs to the AWS clients of the admin CLI. The admin CLI takes credentials from the same places as
/// the AWS tools, and reads data that no function may read: the settings of tables, and quotas.
fn is_admin_client(path: &str) -> bool {
    let clients = ["admin/src/main.rs", "admin/src/services.rs"];
    clients.contains(&path) || path.starts_with("admin/src/doctor/")
}

#[test]
fn only_the_store_uses_dynamodb() {
    for path in mentions("aws_sdk_dynamodb") {
        let in_store = path.starts_with("shared/crates/store/");
        assert!(in_store || is_admin_client(&path), "{path}");
    }
}

#[test]
fn the_admin_cli_reads_and_writes_rows_through_the_store() {
    let rows = "item() query() scan() items() send_email() publish()";
    for file in files::below("admin/src") {
        for call in rows.split(' ') {
            assert!(!code(&file).contains(call), "{call} in {}", file.path);
        }
    }
}

#[test]
fn only_one_file_uses_the_lambda_runtime() {
    for name in ["lambda_http", "lambda_runtime"] {
        let known: Vec<_> = mentions(name).into_iter().collect();
        assert_eq!(known, ["shared/crates/http/src/lambda.rs"], "{name}");
    }
}

#[test]
fn only_two_files_use_the_http_client() {
    let known: Vec<_> = mentions("aws_smithy_http_client").into_iter().collect();
    let ours = ["core/src/http_exchange.rs", "store/src/aws.rs"];
    assert_eq!(known, ours.map(|file| format!("shared/crates/{file}")));
}

#[test]
fn only_one_file_uses_secrets_manager() {
    let known: Vec<_> = mentions("aws_sdk_secretsmanager").into_iter().collect();
    assert_eq!(known, ["shared/crates/core/src/key_ring.rs"]);
}

#[test]
fn only_deliver_uses_ses_and_sns_in_one_file_each() {
    for (name, only) in [
        ("aws_sdk_ses", "functions/deliver/src/ses.rs"),
        ("aws_sdk_sns", "functions/deliver/src/sns.rs"),
    ] {
        let known = mentions(name).into_iter();
        let known: Vec<_> = known.filter(|path| !is_admin_client(path)).collect();
        assert_eq!(known, [only], "{name}");
        let package = name.replace('_', "-");
        let directories = ["shared", "functions"].into_iter();
        let manifests = directories
            .flat_map(files::below)
            .filter(|file| file.path.ends_with("/Cargo.toml") && file.text.contains(&package));
        let known: Vec<_> = manifests.map(|file| file.path).collect();
        assert_eq!(known, ["functions/deliver/Cargo.toml"], "{package}");
    }
}

#[test]
fn time_and_randomness_come_from_one_file_each() {
    for (word, only) in [
        ("SystemTime::now", "shared/crates/model/src/clock.rs"),
        ("Utc::now", ""),
        ("getrandom::", "shared/crates/model/src/rng.rs"),
        ("OsRng", ""),
        ("thread_rng", ""),
        ("rand::rng", ""),
    ] {
        for file in files::rust() {
            // The list above is in this file.
            if file.path == only || file.path.ends_with("contract/layering.rs") {
                continue;
            }
            assert!(!code(&file).contains(word), "{word} in {}", file.path);
        }
    }
}

#[test]
fn each_module_lies_in_the_crate_of_its_layer() {
    for file in files::below("shared/crates") {
        let Some(path) = module(&file) else { continue };
        let layer = place(path[0]).map(|(_, layer)| ORDER[layer].0);
        let layer = layer.unwrap_or("no listed layer");
        let directory = format!("shared/crates/{layer}/");
        assert!(file.path.starts_with(&directory), "{}: {layer}", file.path);
    }
}

#[test]
fn the_order_lists_every_module_of_shared_once() {
    let files = files::below("shared/crates");
    let modules = files.iter().filter_map(module);
    let modules: BTreeSet<_> = modules.filter_map(|path| path.first().copied()).collect();
    let listed: Vec<_> = ORDER
        .iter()
        .flat_map(|(_, modules)| modules.split_whitespace())
        .collect();
    let names: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(names, modules);
    assert_eq!(names.len(), listed.len(), "a module is listed twice");
}

#[test]
fn a_module_imports_only_modules_before_it() {
    let mut faults = Vec::new();
    for file in files::below("shared/crates") {
        let Some(path) = module(&file) else { continue };
        let own = path[0];
        for import in imports(&path, &code(&file)) {
            let is_before = match (place(&import), place(own)) {
                (Some((import, _)), Some((own, _))) => import < own,
                _ => false,
            };
            if import != own && !is_before {
                faults.push(format!("{} imports `{import}`", file.path));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Unit tests may import modules above their own, but no module of a higher layer.
#[test]
fn unit_tests_import_no_higher_layer() {
    let mut faults = Vec::new();
    for file in files::below("shared/crates") {
        let Some(path) = module(&file) else { continue };
        let own = place(path[0]).map(|(_, layer)| layer);
        let text = without_comments(&file.text);
        // In a nested module of tests, `super` is another module.
        for import in imports(&[], &text.replace("super::", "")) {
            if place(&import).map(|(_, layer)| layer) > own {
                faults.push(format!("{} imports `{import}`", file.path));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn functions_use_no_sdk_and_no_local_crate() {
    // Only `deliver` sends messages.
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
fn functions_name_no_errcode_variable_or_clock() {
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
fn http_23_only_a_setting_can_name_a_plain_http_url() {
    // The first two files accept such a URL as a setting. The others accept it as `next_link` or as a redirect URI of a
    // program on the computer of the user, which the server never calls.
    let accept = [
        "shared/crates/core/src/config/oauth.rs",
        "shared/crates/core/src/config/parse.rs",
        "shared/crates/core/src/oauth/clients/uris.rs",
        "shared/crates/core/src/oauth/redirects.rs",
        "shared/crates/core/src/threepids/link.rs",
    ];
    for directory in ["shared", "functions", "admin/src"] {
        for file in files::below(directory)
            .iter()
            .filter(|file| files::is_rust(&file.path))
        {
            let is_test = file.path.ends_with("/tests.rs");
            if !is_test && !accept.contains(&file.path.as_str()) {
                assert!(!code(file).contains("\"http://"), "{}", file.path);
            }
        }
    }
}

#[test]
fn every_package_inherits_the_workspace_fields_and_lints() {
    let functions = files::names_in("functions");
    let functions = functions.iter().map(|stem| format!("functions/{stem}"));
    let crates = files::names_in("shared/crates");
    let crates = crates.iter().map(|name| format!("shared/crates/{name}"));
    let others = ["admin", "local", "shared", "tests", "xtask"].map(str::to_owned);
    for package in functions.chain(crates).chain(others) {
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
fn no_file_is_a_mod_rs_and_every_file_has_a_doc_comment() {
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
fn no_file_names_a_build_directory_or_a_registry_mirror() {
    // A generated file may pick up a directory of the build machine or the host of a registry. Each word is in two
    // pieces, so that this file does not contain them.
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
