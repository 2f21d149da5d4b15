//! The cause of a failed call, and the action that solves it.

use anyhow::anyhow;

use crate::{Admin, doctor};

const DOCTOR: &str = "`gatehouse-admin doctor` checks the set-up";

/// Adds the cause to an error of DynamoDB. The text of the error shows its kind, because the errors of several
/// operations contain it.
pub(crate) async fn explain(admin: &Admin, error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    if text.contains("ResourceNotFoundException") {
        let missing = doctor::missing_tables(admin).await;
        let tables = if missing.is_empty() {
            format!("a table `{}-…` does not exist", admin.services.tables)
        } else {
            let names = missing.iter().map(|name| format!("`{name}`"));
            format!("missing table: {}", names.collect::<Vec<_>>().join(", "))
        };
        return anyhow!(
            "{text}\n{tables}; GATEHOUSE_TABLES must be the name of the stack, and AWS_REGION its region; {DOCTOR}"
        );
    }
    if let Some(action) = denied_action(&text) {
        return anyhow!("{text}\nthe credentials do not have the permission {action}");
    }
    if text.contains("DynamoDB is unavailable") {
        return match doctor::unreachable(admin).await {
            Some(cause) => anyhow!("{text}\n{cause}"),
            None => error,
        };
    }
    error
}

/// The IAM action that is missing according to an error of the store: `GetItem: AccessDeniedException: message`.
pub(crate) fn denied_action(text: &str) -> Option<String> {
    let (before, message) = text.split_once(": AccessDenied")?;
    let operation = before.rsplit(' ').next()?;
    Some(missing_action("dynamodb", operation, message))
}

/// The IAM action that a service has denied: the one that its message names, or that of the operation.
pub(crate) fn missing_action(service: &str, operation: &str, message: &str) -> String {
    let named = message.split_once("perform: ").map(|(_, rest)| rest);
    let named = named.or_else(|| message.split_once("perform ").map(|(_, rest)| rest));
    let is_action = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let named = named.map(|rest| {
        let rest = rest.trim_start_matches(['`', '\'', '"']);
        rest.split(|c| !is_action(c)).next().unwrap_or_default()
    });
    match named.filter(|action| action.contains(':')) {
        Some(action) => format!("`{action}`"),
        // A transaction needs the permissions of its items.
        None if operation == "TransactWriteItems" => {
            "`dynamodb:PutItem`, `dynamodb:UpdateItem`, `dynamodb:DeleteItem` or `dynamodb:ConditionCheckItem`"
                .to_owned()
        }
        None => format!("`{service}:{operation}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_action_is_named() {
        let message = "User: arn:aws:iam::1:user/x is not authorized to perform: dynamodb:PutItem on resource: y";
        for (operation, message, expected) in [
            ("TransactWriteItems", message, "`dynamodb:PutItem`"),
            ("GetItem", "no", "`dynamodb:GetItem`"),
            (
                "GetSendQuota",
                "not authorized to perform `ses:GetSendQuota' on",
                "`ses:GetSendQuota`",
            ),
        ] {
            assert_eq!(missing_action("dynamodb", operation, message), expected);
        }
        let text = "interrupted after 3 new users: DynamoDB rejected the call: GetItem: AccessDeniedException: no";
        assert_eq!(denied_action(text).as_deref(), Some("`dynamodb:GetItem`"));
        assert_eq!(denied_action("no connection"), None);
        assert!(missing_action("dynamodb", "TransactWriteItems", "no").contains("PutItem"));
    }
}
