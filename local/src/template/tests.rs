use super::*;

fn ours() -> Arc<Template> {
    Template::ours().expect("our own template parses")
}

#[test]
fn every_path_has_a_fallback_function_and_a_preflight() {
    for route in &ours().routes {
        let rest = route.methods.get("ANY");
        assert_eq!(
            rest,
            Some(&Target::Function("Unrecognized".to_owned())),
            "{}",
            route.path
        );
        let Some(Target::Mock(preflight)) = route.methods.get("OPTIONS") else {
            panic!("{} has no preflight response", route.path)
        };
        assert_eq!(preflight.status, Some(200));
        assert_eq!(preflight.headers["Access-Control-Allow-Origin"], "*");
    }
}

#[test]
fn every_endpoint_has_a_route_and_every_target_exists() {
    let template = ours();
    let targets: BTreeSet<&String> = template
        .routes
        .iter()
        .flat_map(|route| route.methods.values())
        .filter_map(|target| match target {
            Target::Function(id) => Some(id),
            Target::Mock(_) => None,
        })
        .collect();
    let endpoints = template.functions.keys();
    let endpoints = endpoints.filter(|id| !template.workers.contains_key(*id));
    assert_eq!(targets, endpoints.collect());
}

#[test]
fn intrinsic_functions_of_tables_and_policies_are_resolved() {
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
        policies::table(&json!({"Fn::Sub": "${Outbox.Arn}/index/*"})).expect("an index"),
        "Outbox/index/*"
    );
    assert!(policies::table(&json!("*")).is_err());
}

fn permission(action: &str, resource: &str) -> Permission {
    Permission {
        action: action.to_owned(),
        resource: resource.to_owned(),
    }
}

#[test]
fn a_permission_for_a_table_excludes_its_indexes() {
    let held = permission("Query", "Outbox");
    assert!(held.covers(&permission("Query", "Outbox")));
    assert!(!held.covers(&permission("GetItem", "Outbox")));
    assert!(!held.covers(&permission("Query", "Outbox/index/due")));
    assert!(permission("Query", "Outbox/index/*").covers(&permission("Query", "Outbox/index/due")));
}

#[test]
fn only_deliver_may_send_and_never_to_a_topic() {
    let template = ours();
    let sending = |id: &str| -> Vec<Permission> {
        let policy = template.policy(id).expect("a policy").iter();
        policy
            .filter(|held| held.action.starts_with("ses:") || held.action.starts_with("sns:"))
            .cloned()
            .collect()
    };
    let expected = [
        permission("ses:SendEmail", "configuration-set/*"),
        permission("ses:SendEmail", "identity/*"),
        permission("sns:Publish", "+*"),
    ];
    assert_eq!(sending("Deliver"), expected);
    for id in template.functions.keys().filter(|id| *id != "Deliver") {
        assert_eq!(sending(id), [], "{id}");
    }
    let topic = permission("sns:Publish", "arn:aws:sns:us-east-1:123456789012:topic");
    assert!(!expected.iter().any(|held| held.covers(&topic)));
}

#[test]
fn unsupported_policy_statements_are_errors() {
    let read = |statement: Value| policies::read(&json!([{ "Statement": [statement] }]));
    let table = json!({ "Fn::GetAtt": "Outbox.Arn" });
    let identity = json!({ "Fn::Sub": "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*" });
    let statement = |effect: &str, action: &str, resource: &Value| json!({ "Effect": effect, "Action": action, "Resource": resource });
    assert!(read(statement("Allow", "dynamodb:GetItem", &table)).is_ok());
    assert!(read(statement("Allow", "ses:SendEmail", &identity)).is_ok());
    let ring = statement(
        "Allow",
        "secretsmanager:GetSecretValue",
        &json!({ "Ref": "KeyRing" }),
    );
    let held = BTreeSet::from([permission("secretsmanager:GetSecretValue", "KeyRing")]);
    assert_eq!(read(ring).expect("a policy"), held);
    for unsupported in [
        statement("Deny", "dynamodb:GetItem", &table),
        statement("Allow", "dynamodb:GetItem", &identity),
        statement("Allow", "ses:SendEmail", &table),
        statement("Allow", "ses:SendEmail", &json!("*")),
        statement("Allow", "sns:Publish", &json!("*")),
        statement("Allow", "s3:GetObject", &json!("*")),
        statement("Allow", "secretsmanager:GetSecretValue", &json!("*")),
        json!({ "Effect": "Allow", "Action": "dynamodb:GetItem", "NotResource": table }),
    ] {
        assert!(read(unsupported.clone()).is_err(), "{unsupported}");
    }
}

#[test]
fn deliver_has_the_outbox_stream_and_a_schedule() {
    let template = ours();
    let rows = Source::NewRows {
        table: "Outbox".to_owned(),
        batch: 10,
    };
    let mut sources = template.workers["Deliver"].clone();
    sources.sort_by_key(|source| *source == Source::EachMinute);
    assert_eq!(sources, [rows, Source::EachMinute]);
    assert_eq!(template.workers.len(), 1);
    for unsupported in [
        json!({ "Type": "SQS" }),
        json!({ "Type": "Schedule", "Properties": { "Schedule": "rate(5 minutes)" } }),
        json!({ "Type": "DynamoDB", "Properties": { "Stream": { "Fn::GetAtt": "Outbox.StreamArn" }, "BatchSize": 10 } }),
    ] {
        assert!(source(&unsupported).is_err(), "{unsupported}");
    }
}

#[test]
fn the_outbox_table_has_a_stream_and_an_index_of_due_rows() {
    let template = ours();
    let tables = template.tables.iter();
    let outbox = tables.clone().find(|table| table.id == "Outbox");
    let definition = &outbox.expect("a table").definition;
    assert_eq!(
        definition["StreamSpecification"],
        json!({ "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" })
    );
    assert_eq!(definition["GlobalSecondaryIndexes"][0]["IndexName"], "due");
    for id in ["Outbox", "Proofs"] {
        let table = tables.clone().find(|table| table.id == id);
        assert_eq!(table.expect(id).ttl.as_deref(), Some("ttl"), "{id}");
    }
}

#[test]
fn the_api_throttles_every_method_and_logs_no_bodies() {
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
    for (parameter, default) in [("ApiRate", 20), ("ApiBurst", 10)] {
        let parameter = &document["Parameters"][parameter];
        assert_eq!(parameter["Default"], default);
        assert_eq!(parameter["MinValue"], 0);
    }
}
