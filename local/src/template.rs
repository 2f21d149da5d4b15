//! The parser of `template.yaml`: routes, gateway responses, tables and IAM policies.
//!
//! The template is compiled in. It is the only source: no route, table or permission is repeated for local use. Only
//! the intrinsic functions that the template uses are supported.

mod policies;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value, json};

pub use self::policies::Permission;

const TEMPLATE: &str = include_str!("../../template.yaml");
const INTEGRATION: &str = "x-amazon-apigateway-integration";
/// The methods that each path of the API must have besides OPTIONS.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// The parsed template.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Every path of the API.
    pub routes: Vec<Route>,
    /// The responses of the gateway itself, by response type (`DEFAULT_4XX`, `THROTTLED` …).
    pub gateway_responses: BTreeMap<String, GatewayResponse>,
    /// The `DynamoDB` tables.
    pub tables: Vec<Table>,
    /// Each function: its logical id and the name of its package and binary.
    pub functions: BTreeMap<String, String>,
    /// The event sources of each function that is not an endpoint, by logical id.
    pub workers: BTreeMap<String, Vec<Source>>,
    /// The IAM policy of each function, by logical id.
    pub policies: BTreeMap<String, BTreeSet<Permission>>,
    /// The name of the API's stage.
    pub stage: String,
}

/// The methods of a path, with `ANY` in place of the methods that have the same target as PATCH. PATCH is never an
/// endpoint, so these are the methods without an endpoint.
fn with_any(methods: BTreeMap<String, Target>) -> Result<BTreeMap<String, Target>> {
    for method in METHODS {
        ensure!(
            methods.contains_key(method),
            "the method {method} is missing"
        );
    }
    let rest = methods["PATCH"].clone();
    let own = methods.into_iter().filter(|(_, target)| *target != rest);
    Ok(own.chain([("ANY".to_owned(), rest.clone())]).collect())
}

/// One path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The path in the template, with its `{parameters}`.
    pub path: String,
    /// The targets by method. `ANY` is the target of methods that have no entry.
    pub methods: BTreeMap<String, Target>,
}

/// The target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The function with this logical id.
    Function(String),
    /// The gateway itself, with a constant response.
    Mock(GatewayResponse),
}

/// A response of the gateway without a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayResponse {
    /// The status. `None` if it depends on the error.
    pub status: Option<u16>,
    /// Header names and values.
    pub headers: BTreeMap<String, String>,
    /// The body's template.
    pub body: String,
}

/// A `DynamoDB` table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its logical id.
    pub id: String,
    /// The part of its name after the prefix, for example `-accounts`.
    pub suffix: String,
    /// The names of its key attributes, partition key first.
    pub keys: Vec<String>,
    /// The attribute with the time to live of a row.
    pub ttl: Option<String>,
    /// The properties of the template that `CreateTable` has too.
    pub definition: Map<String, Value>,
}

/// An event source of a function that is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The stream records of new rows in a table.
    NewRows {
        /// The table's logical id.
        table: String,
        /// The largest number of rows in an event.
        batch: usize,
    },
    /// A schedule that runs each minute.
    EachMinute,
}

impl Template {
    /// The template that this program was compiled with.
    pub fn ours() -> Result<Arc<Self>> {
        static OURS: OnceLock<Arc<Template>> = OnceLock::new();
        if let Some(template) = OURS.get() {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(Self::parse(TEMPLATE).context("template.yaml")?);
        Ok(Arc::clone(OURS.get_or_init(|| template)))
    }

    /// Parses a template.
    pub fn parse(yaml: &str) -> Result<Self> {
        let mut document: serde_yaml_ng::Value = serde_yaml_ng::from_str(yaml)?;
        document.apply_merge()?;
        let document = plain(&document)?;
        let resources = document["Resources"].as_object().context("no Resources")?;
        let mut template = Self::default();
        for (id, resource) in resources {
            let properties = &resource["Properties"];
            match resource["Type"].as_str().unwrap_or_default() {
                "AWS::Serverless::Api" => template.read_api(properties),
                "AWS::Serverless::Function" => template.read_function(id, resource),
                "AWS::DynamoDB::Table" => {
                    table(id, properties).map(|table| template.tables.push(table))
                }
                _ => Ok(()),
            }
            .with_context(|| id.clone())?;
        }
        Ok(template)
    }

    /// The policy of a function. Returns `None` if the caller is not a function.
    pub fn policy(&self, function: &str) -> Option<&BTreeSet<Permission>> {
        self.policies.get(function)
    }

    fn read_api(&mut self, properties: &Value) -> Result<()> {
        self.stage = text(&properties["StageName"]).context("StageName")?;
        for (path, methods) in members(&properties["DefinitionBody"]["paths"]) {
            let methods = members(methods)
                .map(|(method, operation)| {
                    let method = method.to_uppercase();
                    let target = target(&operation[INTEGRATION])
                        .with_context(|| format!("{method} {path}"))?;
                    Ok((method, target))
                })
                .collect::<Result<_>>()?;
            self.routes.push(Route {
                path: path.clone(),
                methods: with_any(methods).with_context(|| path.clone())?,
            });
        }
        for (kind, response) in members(&properties["GatewayResponses"]) {
            let headers = members(&response["ResponseParameters"]["Headers"])
                .map(|(name, value)| Ok((name.clone(), unquoted(value)?)))
                .collect::<Result<_>>()?;
            let status = response["StatusCode"]
                .as_u64()
                .map(u16::try_from)
                .transpose()?;
            let body = text(&response["ResponseTemplates"]["application/json"]).unwrap_or_default();
            self.gateway_responses.insert(
                kind.clone(),
                GatewayResponse {
                    status,
                    headers,
                    body,
                },
            );
        }
        Ok(())
    }

    fn read_function(&mut self, id: &str, resource: &Value) -> Result<()> {
        let stem = text(&resource["Metadata"]["BuildProperties"]["Binary"]).context("no Binary")?;
        self.functions.insert(id.to_owned(), stem);
        let properties = &resource["Properties"];
        self.policies
            .insert(id.to_owned(), policies::read(&properties["Policies"])?);
        let sources: Vec<Source> = members(&properties["Events"])
            .map(|(name, event)| source(event).with_context(|| name.clone()))
            .collect::<Result<_>>()?;
        if !sources.is_empty() {
            self.workers.insert(id.to_owned(), sources);
        }
        Ok(())
    }
}

/// The event source of a function. An unsupported source is an error, because its events would be missing.
fn source(event: &Value) -> Result<Source> {
    let properties = &event["Properties"];
    match text(&event["Type"])?.as_str() {
        "DynamoDB" => {
            let table = properties["Stream"]["Fn::GetAtt"].as_str();
            let table = table.and_then(|stream| stream.strip_suffix(".StreamArn"));
            let patterns: Vec<Value> = elements(&properties["FilterCriteria"]["Filters"])
                .map(|filter| Ok(serde_json::from_str(&text(&filter["Pattern"])?)?))
                .collect::<Result<_>>()?;
            ensure!(
                patterns == [json!({ "eventName": ["INSERT"] })],
                "only the filter for new rows is supported, not {patterns:?}"
            );
            Ok(Source::NewRows {
                table: table
                    .context("Stream is not the stream of a table")?
                    .to_owned(),
                batch: text(&properties["BatchSize"])?.parse()?,
            })
        }
        "Schedule" if properties["Schedule"] == "rate(1 minute)" => Ok(Source::EachMinute),
        kind => bail!("this event source of type {kind} is not supported"),
    }
}

/// `value` as JSON. Each short tag (`!Ref X`) has its long form (`{"Ref": "X"}`).
fn plain(value: &serde_yaml_ng::Value) -> Result<Value> {
    use serde_yaml_ng::Value as Yaml;
    Ok(match value {
        Yaml::Sequence(items) => Value::Array(items.iter().map(plain).collect::<Result<_>>()?),
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let key = match key {
                    Yaml::String(key) => key.clone(),
                    other => serde_yaml_ng::to_string(other)?.trim().to_owned(),
                };
                object.insert(key, plain(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({ name: plain(&tagged.value)? })
        }
        scalar => serde_json::to_value(scalar)?,
    })
}

fn target(integration: &Value) -> Result<Target> {
    match integration["type"].as_str() {
        Some("aws_proxy") => {
            let uri = integration["uri"]["Fn::Sub"]
                .as_str()
                .context("uri is not an Fn::Sub")?;
            let (_, function) = uri
                .split_once("/functions/${")
                .context("uri has no function")?;
            let (function, _) = function
                .split_once(".Arn}")
                .context("uri has no function")?;
            Ok(Target::Function(function.to_owned()))
        }
        Some("mock") => {
            let response = &integration["responses"]["default"];
            let headers = members(&response["responseParameters"])
                .filter_map(|(name, value)| {
                    Some((name.strip_prefix("method.response.header.")?, value))
                })
                .map(|(name, value)| Ok((name.to_owned(), unquoted(value)?)))
                .collect::<Result<_>>()?;
            Ok(Target::Mock(GatewayResponse {
                status: Some(text(&response["statusCode"])?.parse()?),
                headers,
                body: text(&response["responseTemplates"]["application/json"]).unwrap_or_default(),
            }))
        }
        other => bail!("the integration type {other:?} is not supported"),
    }
}

fn table(id: &str, properties: &Value) -> Result<Table> {
    let name = properties["TableName"]["Fn::Sub"]
        .as_str()
        .context("TableName is not an Fn::Sub")?;
    let suffix = name
        .strip_prefix("${AWS::StackName}")
        .context("TableName does not start with ${AWS::StackName}")?
        .to_owned();
    let keys = elements(&properties["KeySchema"])
        .map(|key| text(&key["AttributeName"]))
        .collect::<Result<_>>()?;
    let ttl = &properties["TimeToLiveSpecification"];
    let ttl = if ttl["Enabled"].as_bool() == Some(true) {
        Some(text(&ttl["AttributeName"])?)
    } else {
        None
    };
    let definition = [
        "AttributeDefinitions",
        "BillingMode",
        "DeletionProtectionEnabled",
        "GlobalSecondaryIndexes",
        "KeySchema",
    ]
    .into_iter()
    .filter_map(|name| {
        Some((
            name.to_owned(),
            if_condition_holds(properties.get(name)?).clone(),
        ))
    })
    .chain(properties.get("StreamSpecification").map(stream))
    .collect();
    Ok(Table {
        id: id.to_owned(),
        suffix,
        keys,
        ttl,
        definition,
    })
}

/// The value of a property if its condition holds: no local table is part of a first deployment that may fail.
fn if_condition_holds(value: &Value) -> &Value {
    value["Fn::If"].get(1).unwrap_or(value)
}

/// The stream for `CreateTable`. `CloudFormation` has no `StreamEnabled`, because a specified stream is enabled.
fn stream(specification: &Value) -> (String, Value) {
    let mut specification = specification.clone();
    specification["StreamEnabled"] = Value::Bool(true);
    ("StreamSpecification".to_owned(), specification)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The elements of a list. Any other value is a list of one element.
fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.as_slice(),
        Value::Null => &[],
        single => std::slice::from_ref(single),
    }
    .iter()
}

fn text(value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(anyhow!("{other} is not a string or number")),
    }
}

/// The value of a header. Constants in mappings of API Gateway are in single quotes.
fn unquoted(value: &Value) -> Result<String> {
    let text = text(value)?;
    let inner = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    inner
        .map(ToOwned::to_owned)
        .with_context(|| format!("{text} is not a constant in single quotes"))
}

#[cfg(test)]
mod tests;
