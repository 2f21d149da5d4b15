//! What `template.yaml` says: routes, the gateway's own answers, tables and what each function may do.
//!
//! The template is compiled in and is the only source: no route, table or permission is written a
//! second time for local use. Intrinsic functions are understood as far as the template uses them.

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
/// The methods that a path of an API can have beside OPTIONS.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// The parsed template.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Every path the API knows.
    pub routes: Vec<Route>,
    /// What the gateway answers by itself, by response type (`DEFAULT_4XX`, `THROTTLED` …).
    pub gateway_responses: BTreeMap<String, GatewayResponse>,
    /// The `DynamoDB` tables.
    pub tables: Vec<Table>,
    /// Each function: its logical id and the stem that names its package and binary.
    pub functions: BTreeMap<String, String>,
    /// What feeds each function that is no endpoint, by logical id.
    pub workers: BTreeMap<String, Vec<Source>>,
    /// What each function may do, by logical id.
    pub policies: BTreeMap<String, BTreeSet<Permission>>,
    /// The name of the API's stage.
    pub stage: String,
}

/// A path's methods with one for all that answer what is no endpoint, HEAD among them.
fn with_any(methods: BTreeMap<String, Target>) -> Result<BTreeMap<String, Target>> {
    for method in METHODS {
        ensure!(methods.contains_key(method), "nothing answers {method}");
    }
    let rest = methods["HEAD"].clone();
    let own = methods.into_iter().filter(|(_, target)| *target != rest);
    Ok(own.chain([("ANY".to_owned(), rest.clone())]).collect())
}

/// One path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The path as the template writes it, `{parameters}` included.
    pub path: String,
    /// What answers, by method; `ANY` answers whatever has no entry of its own.
    pub methods: BTreeMap<String, Target>,
}

/// What answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The function with this logical id.
    Function(String),
    /// The gateway itself, always with the same answer.
    Mock(GatewayResponse),
}

/// An answer the gateway makes without a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayResponse {
    /// The status, if the response type does not leave it to the cause.
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
    /// What follows the prefix in its name, for example `-accounts`.
    pub suffix: String,
    /// The names of its key attributes, partition key first.
    pub keys: Vec<String>,
    /// The attribute whose passing deletes a row.
    pub ttl: Option<String>,
    /// The properties `CreateTable` takes, as the template writes them.
    pub definition: Map<String, Value>,
}

/// Where a function that is no endpoint gets its events from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The rows that are put into a table and were not there before.
    NewRows {
        /// The table's logical id.
        table: String,
        /// How many make one event at most.
        batch: usize,
    },
    /// The clock, each minute.
    EachMinute,
}

impl Template {
    /// The template this program was compiled with.
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

    /// What a function may do; nothing is known of a caller that is no function.
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

/// Where a function's event is from. What is not understood would not happen here, so it is an error.
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
                "only new rows are understood, not {patterns:?}"
            );
            Ok(Source::NewRows {
                table: table.context("Stream is no table's")?.to_owned(),
                batch: text(&properties["BatchSize"])?.parse()?,
            })
        }
        "Schedule" if properties["Schedule"] == "rate(1 minute)" => Ok(Source::EachMinute),
        kind => bail!("{kind} as it is there is not understood"),
    }
}

/// `value` as JSON, each short tag (`!Ref X`) as its long form (`{"Ref": "X"}`).
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
                .context("uri is no Fn::Sub")?;
            let (_, function) = uri
                .split_once("/functions/${")
                .context("uri names no function")?;
            let (function, _) = function
                .split_once(".Arn}")
                .context("uri names no function")?;
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
        other => bail!("integration type {other:?} is not known here"),
    }
}

fn table(id: &str, properties: &Value) -> Result<Table> {
    let name = properties["TableName"]["Fn::Sub"]
        .as_str()
        .context("TableName is no Fn::Sub")?;
    let suffix = name
        .strip_prefix("${AWS::StackName}")
        .context("TableName does not begin with the stack's name")?
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
    .filter_map(|name| Some((name.to_owned(), properties.get(name)?.clone())))
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

/// `CloudFormation` has no `StreamEnabled`; a stream that is specified is enabled.
fn stream(specification: &Value) -> (String, Value) {
    let mut specification = specification.clone();
    specification["StreamEnabled"] = Value::Bool(true);
    ("StreamSpecification".to_owned(), specification)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The elements of a list; what is no list is its own only element.
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
        other => Err(anyhow!("{other} is no text")),
    }
}

/// A header's value: the gateway's mappings write constants in single quotes.
fn unquoted(value: &Value) -> Result<String> {
    let text = text(value)?;
    let inner = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    inner
        .map(ToOwned::to_owned)
        .with_context(|| format!("{text} is no constant"))
}

#[cfg(test)]
mod tests;
