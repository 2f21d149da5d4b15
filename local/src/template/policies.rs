//! The IAM policies of the functions.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{elements, text};

/// The part of an SES ARN before the resource.
const SES: &str = "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:";

/// The ARN pattern of every SNS topic.
const TOPICS: &str = "arn:${AWS::Partition}:sns:*:*:*";

/// The only action that policies deny.
const LOG_GROUPS: &str = "logs:CreateLogGroup";

/// A permission: an action of AWS on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// The action. An action of `DynamoDB` has no service prefix (`GetItem`). Other actions have a prefix
    /// (`ses:SendEmail`).
    pub action: String,
    /// The resource. For `DynamoDB`, the logical id of the table, with `/index/<name>` for an index. For SES, the end
    /// of the ARN (`identity/…`). For SNS, a phone number. For Secrets Manager, the logical id of the secret.
    pub resource: String,
}

impl Permission {
    /// Whether it includes the needed permission. The resource may end in `*`.
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
            // Functions write their logs to the standard output here.
            if statement["Effect"] == "Deny" && statement["Action"] == json!([LOG_GROUPS]) {
                continue;
            }
            ensure!(
                statement["Effect"] == "Allow",
                "only the effect Allow is supported"
            );
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
            "the only supported resource of SNS is NotResource with every topic"
        );
        return Ok(vec!["+*".to_owned()]);
    }
    ensure!(
        statement.get("NotResource").is_none(),
        "NotResource is only supported for SNS"
    );
    elements(&statement["Resource"])
        .map(|resource| match service {
            Some("dynamodb") => table(resource),
            Some("ses") => ses(resource),
            Some("secretsmanager") => secret(resource),
            _ => bail!("the service is not supported"),
        })
        .collect()
}

/// The end of an SES ARN. A name that is only set in a deployment matches any name.
fn ses(resource: &Value) -> Result<String> {
    let pattern = &resource["Fn::Sub"];
    let (pattern, variables) = (pattern.get(0).unwrap_or(pattern), &pattern[1]);
    let end = pattern.as_str().and_then(|arn| arn.strip_prefix(SES));
    let end = end.with_context(|| format!("{resource} is not supported"))?;
    Ok(match end.split_once("${") {
        Some((kind, name)) if variables.get(name.trim_end_matches('}')).is_some() => {
            format!("{kind}*")
        }
        _ => end.to_owned(),
    })
}

/// The logical id of a secret, from a `Ref`, which is the ARN on AWS.
fn secret(resource: &Value) -> Result<String> {
    let id = resource["Ref"].as_str();
    id.map(ToOwned::to_owned)
        .with_context(|| format!("{resource} is not supported"))
}

/// The logical id of a table, from its ARN, with the suffix of the ARN.
pub(super) fn table(arn: &Value) -> Result<String> {
    if let Some(attribute) = arn["Fn::GetAtt"].as_str() {
        return attribute
            .strip_suffix(".Arn")
            .map(ToOwned::to_owned)
            .with_context(|| format!("{attribute} is not an Arn"));
    }
    let pattern = arn["Fn::Sub"]
        .as_str()
        .with_context(|| format!("{arn} is not supported"))?;
    pattern
        .strip_prefix("${")
        .and_then(|rest| rest.split_once(".Arn}"))
        .map(|(id, rest)| format!("{id}{rest}"))
        .with_context(|| format!("{pattern} is not supported"))
}
