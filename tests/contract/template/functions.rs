//! Checks that every function has the same name everywhere, the common `main` and the permission of its caller.

use std::collections::BTreeMap;

use serde_yaml_ng::Mapping;
use shared::{
    password_hash::MAX_MEMORY_KIB,
    passwords::{self, HashFormatError},
};

use super::{is_worker, mapping, template, text, yaml};
use crate::contract::files;

/// The logical ID of a stem: `RegisterAvailable` for `register-available`.
fn pascal(stem: &str) -> String {
    stem.split('-')
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        })
        .collect()
}

fn snake(stem: &str) -> String {
    stem.replace('-', "_")
}

#[test]
fn every_function_has_the_same_name_in_template_and_manifest() {
    let stems = files::names_in("functions");
    let in_template: BTreeMap<String, String> = stems
        .iter()
        .map(|stem| (pascal(stem), stem.clone()))
        .collect();
    assert_eq!(
        template().functions,
        in_template,
        "template.yaml: logical ID and Binary"
    );

    let resources = yaml()["Resources"].clone();
    for stem in &stems {
        let id = pascal(stem);
        let function = &resources[id.as_str()];
        assert_eq!(
            function["Metadata"]["BuildMethod"], "rust-cargolambda",
            "{id}"
        );
        assert_eq!(
            function["Properties"]["CodeUri"],
            format!("functions/{stem}").as_str()
        );
        let manifest = files::read(&format!("functions/{stem}/Cargo.toml"));
        let named = format!("name = \"{stem}\"");
        assert_eq!(
            manifest.matches(&named).count(),
            2,
            "{stem}: package and binary"
        );
        assert!(
            manifest.contains("path = \"src/main.rs\"\ntest = false"),
            "{stem}"
        );
    }
}

/// The tests of a function without a route are flow tests.
#[test]
fn every_function_has_a_module_of_tests_of_its_name() {
    let (api, flows) = (files::read("tests/api.rs"), files::read("tests/flows.rs"));
    let missing: Vec<_> = files::names_in("functions")
        .iter()
        .filter(|stem| {
            let modules = if is_worker(&pascal(stem)) {
                &flows
            } else {
                &api
            };
            !modules.contains(&format!("mod {};", snake(stem)))
        })
        .cloned()
        .collect();
    assert!(
        missing.is_empty(),
        "tests/api.rs, or tests/flows.rs for a function without a route, lacks {missing:?}"
    );
}

#[test]
fn all_mains_are_equal_except_for_the_name() {
    for stem in files::names_in("functions") {
        let main = files::read(&format!("functions/{stem}/src/main.rs"));
        let package = snake(&stem);
        let id = pascal(&stem);
        let (import, run) = if is_worker(&id) {
            (
                format!("use {package}::{id};\n\n"),
                format!("run_worker({id}::new)"),
            )
        } else {
            (String::new(), format!("run({package}::handle)"))
        };
        let expected = format!(
            "//! The function `{stem}`, on AWS Lambda.\n\nuse std::process::ExitCode;\n\n{import}\
             fn main() -> ExitCode {{\n    shared::lambda::{run}\n}}\n"
        );
        assert_eq!(main, expected, "{stem}");
    }
}

/// The resource policy of a function is limited to 20 kB. One wildcard permission for all routes is far below the
/// limit. One permission for each route and method would exceed it.
#[test]
fn every_endpoint_has_exactly_one_permission_for_the_gateway() {
    let yaml = yaml();
    let resources = mapping(&yaml, &["Resources"]).expect("Resources");
    let mut permitted = Vec::new();
    for (id, resource) in resources {
        let properties = &resource["Properties"];
        for event in mapping(properties, &["Events"])
            .into_iter()
            .flat_map(Mapping::values)
        {
            let kind = text(&event["Type"]);
            assert!(
                ["DynamoDB", "Schedule"].contains(&kind),
                "{id:?}: SAM would add permissions of its own for {kind}"
            );
        }
        if resource["Type"] != "AWS::Lambda::Permission" {
            continue;
        }
        let function = text(&properties["FunctionName"]);
        // The function with a URL. tests/infra checks its other permissions.
        if properties["Principal"] == "*" {
            assert_eq!(function, "Oauth2Introspect", "{id:?}");
            continue;
        }
        permitted.push(function.to_owned());
        assert_eq!(properties["Principal"], "apigateway.amazonaws.com");
        assert!(
            text(&properties["SourceArn"]).ends_with(":${Api}/*"),
            "{id:?}"
        );
    }
    permitted.sort();
    let template = template();
    let endpoints = template.functions.keys().filter(|id| !is_worker(id));
    assert_eq!(permitted, endpoints.cloned().collect::<Vec<_>>());
}

/// An environment of a function handles one request at a time, and a request computes one hash at a time. The most
/// expensive hash that may be imported or configured must therefore fit beside the rest of the process, which needs
/// less than 100 MB.
#[test]
fn the_most_expensive_hash_fits_into_every_function_that_hashes() {
    const REST_MB: u64 = 256;
    let resources = yaml()["Resources"].clone();
    let mut count = 0;
    for stem in files::names_in("functions") {
        let declaration = files::read(&format!("functions/{stem}/function.yaml"));
        if !declaration.contains("\nhashes_passwords: true\n") {
            continue;
        }
        count += 1;
        let memory = &resources[pascal(&stem).as_str()]["Properties"]["MemorySize"];
        let needed = u64::from(MAX_MEMORY_KIB / 1024) + REST_MB;
        assert!(
            memory.as_u64().is_some_and(|memory| needed <= memory),
            "{stem}: a hash needs up to {needed} MB"
        );
    }
    assert_eq!(count, 13);
}

/// The limit of the rule is the limit of the import: a hash of one KiB more is rejected.
#[test]
fn an_import_rejects_a_hash_that_no_function_can_verify() {
    let hash = |memory: u32, passes: u32| {
        let rest = "$c2FsdHNhbHRzYWx0$VoPhPyNH6J4G5n2RaY3w5hB3ZbI2uBi0oPsd3WYEDTA";
        passwords::check_hash_format(&format!("$argon2id$v=19$m={memory},t={passes},p=1{rest}"))
    };
    assert_eq!(hash(MAX_MEMORY_KIB, 2), Ok(()));
    for (memory, passes) in [(MAX_MEMORY_KIB + 1, 1), (MAX_MEMORY_KIB, 3), (u32::MAX, 1)] {
        assert_eq!(hash(memory, passes), Err(HashFormatError::TooExpensive));
    }
}

#[test]
fn stems_become_the_names_of_other_places() {
    assert_eq!(pascal("register-m-login-x"), "RegisterMLoginX");
    assert_eq!(snake("register-m-login-x"), "register_m_login_x");
}
