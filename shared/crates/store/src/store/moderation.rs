//! Locking and suspension of accounts by the operator (TOK-14, TOK-15).

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{
    AccountStatus, Store, StoreError,
    dynamodb::{
        item::{Item, Row, text},
        keys::{self, MAIN},
        write::ConditionalWrite,
    },
};
use crate::ids::Localpart;

/// A change of the account status that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moderation {
    /// Lock the account. Its tokens are kept.
    Lock,
    /// Restore the status from before the lock.
    Unlock,
    /// Suspend the account: its user may only log out and deactivate it.
    Suspend,
    /// End the suspension.
    Unsuspend,
}

/// The result of a [`Moderation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    /// The status has been changed.
    Changed,
    /// The change does not apply to the account, which has this status.
    NotApplicable(AccountStatus),
    /// The account does not exist.
    AccountNotFound,
}

impl Moderation {
    /// The condition expression and the update expression. A lock takes precedence over a
    /// suspension and does not end it.
    const fn expressions(self) -> (&'static str, &'static str) {
        match self {
            Self::Lock => (
                "#status IN (:active, :suspended)",
                "SET before_lock = #status, #status = :locked",
            ),
            Self::Unlock => (
                "#status = :locked",
                "SET #status = if_not_exists(before_lock, :active) REMOVE before_lock",
            ),
            Self::Suspend => ("#status = :active", "SET #status = :suspended"),
            Self::Unsuspend => ("#status = :suspended", "SET #status = :active"),
        }
    }
}

impl Store {
    /// Changes the status of an account. One `UpdateItem` call on the condition that the change
    /// applies to the current status.
    pub async fn change_status(
        &self,
        user: &Localpart,
        step: Moderation,
    ) -> Result<StatusChange, StoreError> {
        let (condition, update) = step.expressions();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .condition_expression(condition)
            .update_expression(update)
            .expression_attribute_names("#status", "status")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        // DynamoDB rejects values that no expression uses.
        for (name, status) in [
            (":active", AccountStatus::Active),
            (":suspended", AccountStatus::Suspended),
            (":locked", AccountStatus::Locked),
        ] {
            if condition.contains(name) || update.contains(name) {
                request = request.expression_attribute_values(name, text(status.as_str()));
            }
        }
        match self.update_item(request).await? {
            ConditionalWrite::Written(_) => Ok(StatusChange::Changed),
            ConditionalWrite::ConditionFailed(None) => Ok(StatusChange::AccountNotFound),
            ConditionalWrite::ConditionFailed(Some(item)) => {
                let status = AccountStatus::read(&Row::new(item))?;
                Ok(StatusChange::NotApplicable(status))
            }
        }
    }
}
