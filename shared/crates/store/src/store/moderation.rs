//! What an operator does to an account and can undo: locks and suspensions (TOK-14, TOK-15).

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{
    AccountStatus, Store, StoreError,
    item::{Item, Row, text},
    keys::{self, MAIN},
    retry::{CallError, failed_condition},
};
use crate::ids::Localpart;

/// A step that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moderation {
    /// Nothing is let in, tokens are kept.
    Lock,
    /// It is again what it was before it was locked.
    Unlock,
    /// Its user may do little but leave.
    Suspend,
    /// And everything again.
    Unsuspend,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    /// It is done.
    Done,
    /// The account is not in a state for it, but in this one.
    Stays(AccountStatus),
    /// There is no such account.
    Nobody,
}

impl Moderation {
    /// Whether it applies is the condition of the write; what it does is its expression. A lock lies
    /// over a suspension and does not lift it.
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
    /// Takes a step if the account is in a state for it. One call.
    pub async fn moderate(
        &self,
        user: &Localpart,
        step: Moderation,
    ) -> Result<StatusChange, StoreError> {
        let (condition, update) = step.expressions();
        self.retry(|| async move {
            let mut call = self
                .client
                .update_item()
                .table_name(&self.accounts)
                .set_key(Some(Item::under(keys::user(user), MAIN).build()))
                .condition_expression(condition)
                .update_expression(update)
                .expression_attribute_names("#status", "status")
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            // The service refuses values that no expression names.
            for (name, status) in [
                (":active", AccountStatus::Active),
                (":suspended", AccountStatus::Suspended),
                (":locked", AccountStatus::Locked),
            ] {
                if condition.contains(name) || update.contains(name) {
                    call = call.expression_attribute_values(name, text(status.as_str()));
                }
            }
            match call.send().await {
                Ok(_) => Ok(StatusChange::Done),
                Err(error) => match failed_condition(&error) {
                    Some(None) => Ok(StatusChange::Nobody),
                    Some(Some(item)) => {
                        let status = AccountStatus::read(&Row::new(item.clone()));
                        Ok(StatusChange::Stays(status.map_err(CallError::Final)?))
                    }
                    None => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }
}
