use super::*;

fn ours() -> Arc<Template> {
    Template::ours().expect("our own template parses")
}

#[test]
fn every_path_has_a_function_for_the_rest_and_a_preflight() {
    for route in &ours().routes {
        let rest = route.methods.get("ANY");
        assert_eq!(
            rest,
            Some(&Target::Function("Unrecognized".to_owned())),
            "{}",
            route.path
        );
        let Some(Target::Mock(preflight)) = route.methods.get("OPTIONS") else {
            panic!("{} answers no preflight", route.path)
        };
        assert_eq!(preflight.status, Some(200));
        assert_eq!(preflight.headers["Access-Control-Allow-Origin"], "*");
    }
}

#[test]
fn every_function_is_reached_and_every_target_exists() {
    let template = ours();
    let reached: BTreeSet<&String> = template
        .routes
        .iter()
        .flat_map(|route| route.methods.values())
        .filter_map(|target| match target {
            Target::Function(id) => Some(id),
            Target::Mock(_) => None,
        })
        .collect();
    assert_eq!(reached, template.functions.keys().collect());
}

#[test]
fn tables_and_policies_are_read_with_their_intrinsic_functions() {
    let template = ours();
    let accounts = template
        .tables
        .iter()
        .find(|table| table.id == "Accounts")
        .expect("a table");
    assert_eq!(
        (accounts.suffix.as_str(), accounts.ttl.as_deref()),
        ("-accounts", None)
    );
    assert_eq!(accounts.keys, ["pk", "sk"]);
    let limits = template
        .tables
        .iter()
        .find(|table| table.id == "Limits")
        .expect("a table");
    assert_eq!(limits.ttl.as_deref(), Some("ttl"));
    let may = template.policy("Register").expect("a policy");
    assert!(
        may.iter()
            .any(|it| it.action == "PutItem" && it.resource == "Accounts")
    );
    assert_eq!(template.policy("Versions").map(BTreeSet::len), Some(0));
    assert_eq!(template.policy("admin"), None);
}

#[test]
fn every_gateway_response_is_a_matrix_error_with_cors_headers() {
    let template = ours();
    for (kind, response) in &template.gateway_responses {
        let body: Value = serde_json::from_str(&response.body).expect("JSON");
        assert!(
            body["errcode"].is_string() && body["error"].is_string(),
            "{kind}"
        );
        assert_eq!(
            response.headers["Access-Control-Allow-Origin"], "*",
            "{kind}"
        );
    }
    assert!(template.gateway_responses.contains_key("DEFAULT_5XX"));
}

#[test]
fn an_index_is_a_resource_of_its_own() {
    assert_eq!(
        arn(&json!({"Fn::Sub": "${Outbox.Arn}/index/*"})).expect("an index"),
        "Outbox/index/*"
    );
    assert!(arn(&json!("*")).is_err());
}

#[test]
fn the_gateway_throttles_every_method_and_traces_no_body() {
    let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(TEMPLATE).expect("YAML");
    let document = plain(&document).expect("JSON");
    assert_eq!(
        document["Resources"]["Api"]["Properties"]["MethodSettings"],
        json!([{
            "ResourcePath": "/*",
            "HttpMethod": "*",
            "ThrottlingRateLimit": { "Ref": "ApiRate" },
            "ThrottlingBurstLimit": { "Ref": "ApiBurst" },
            "DataTraceEnabled": false,
        }])
    );
    for (parameter, default) in [("ApiRate", 100), ("ApiBurst", 200)] {
        let parameter = &document["Parameters"][parameter];
        assert_eq!(parameter["Default"], default);
        assert_eq!(parameter["MinValue"], 1);
    }
}
