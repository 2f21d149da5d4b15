//! What each function may do.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{elements, text};

/// What comes before the resource in the ARN of something of SES.
const SES: &str = "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:";

/// Every topic of SNS.
const TOPICS: &str = "arn:${AWS::Partition}:sns:*:*:*";

/// Something a function may do: an action of AWS on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// The action, of `DynamoDB` without its service (`GetItem`), of others with it (`ses:SendEmail`).
    pub action: String,
    /// On what. Of `DynamoDB` the table's logical id, followed by `/index/<name>` for an index; of SES the end
    /// of an ARN (`identity/…`); of SNS a phone number; of Secrets Manager the secret's logical id.
    pub resource: String,
}

impl Permission {
    /// Whether it allows what is needed; a resource may end in `*`.
    pub fn covers(&self, needed: &Self) -> bool {
        let resource = match self.resource.strip_suffix('*') {
            Some(beginning) => needed.resource.starts_with(beginning),
            None => self.resource == needed.resource,
        };
        resource && self.action == needed.action
    }
}

/// The permissions in a function's policies.
pub(super) fn read(policies: &Value) -> Result<BTreeSet<Permission>> {
    let mut permissions = BTreeSet::new();
    for document in elements(policies) {
        for statement in elements(&document["Statement"]) {
            ensure!(statement["Effect"] == "Allow", "only Allow is understood");
            for action in elements(&statement["Action"]) {
                let action = text(action)?;
                let resources = resources(statement, &action)
                    .with_context(|| format!("resources of {action}"))?;
                let action = action.strip_prefix("dynamodb:").unwrap_or(&action);
                permissions.extend(resources.into_iter().map(|resource| Permission {
                    action: action.to_owned(),
                    resource,
                }));
            }
        }
    }
    Ok(permissions)
}

fn resources(statement: &Value, action: &str) -> Result<Vec<String>> {
    let service = action.split_once(':').map(|(service, _)| service);
    if service == Some("sns") {
        ensure!(
            statement["NotResource"]["Fn::Sub"] == TOPICS && statement.get("Resource").is_none(),
            "all but topics are understood alone"
        );
        return Ok(vec!["+*".to_owned()]);
    }
    ensure!(
        statement.get("NotResource").is_none(),
        "NotResource is not understood"
    );
    elements(&statement["Resource"])
        .map(|resource| match service {
            Some("dynamodb") => table(resource),
            Some("ses") => ses(resource),
            Some("secretsmanager") => secret(resource),
            _ => bail!("the service is not known here"),
        })
        .collect()
}

/// The end of an ARN of SES. A name that only a deployment knows is any name here.
fn ses(resource: &Value) -> Result<String> {
    let pattern = &resource["Fn::Sub"];
    let (pattern, variables) = (pattern.get(0).unwrap_or(pattern), &pattern[1]);
    let end = pattern.as_str().and_then(|arn| arn.strip_prefix(SES));
    let end = end.with_context(|| format!("{resource} is not understood"))?;
    Ok(match end.split_once("${") {
        Some((kind, name)) if variables.get(name.trim_end_matches('}')).is_some() => {
            format!("{kind}*")
        }
        _ => end.to_owned(),
    })
}

/// The logical id of a secret, to which a reference is its ARN.
fn secret(resource: &Value) -> Result<String> {
    let id = resource["Ref"].as_str();
    id.map(ToOwned::to_owned)
        .with_context(|| format!("{resource} is not understood"))
}

/// The logical id that a table's ARN belongs to, with what is appended to it.
pub(super) fn table(arn: &Value) -> Result<String> {
    if let Some(attribute) = arn["Fn::GetAtt"].as_str() {
        return attribute
            .strip_suffix(".Arn")
            .map(ToOwned::to_owned)
            .with_context(|| format!("{attribute} is no Arn"));
    }
    let pattern = arn["Fn::Sub"]
        .as_str()
        .with_context(|| format!("{arn} is not understood"))?;
    pattern
        .strip_prefix("${")
        .and_then(|rest| rest.split_once(".Arn}"))
        .map(|(id, rest)| format!("{id}{rest}"))
        .with_context(|| format!("{pattern} is not understood"))
}
