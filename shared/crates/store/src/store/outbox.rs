//! Outbox rows.
//!
//! A message that must be delivered is in the index `due` with the time at which `deliver` may
//! lease it: the time of creation for a new message, the end of the lease during a delivery, a
//! later time before a retry. A message whose delivery has ended is not in the index.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Map, Row, number, text},
        keys::PK,
        transaction::put,
        write::{ConditionalWrite, has_text},
    },
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    metrics::{self, Metric},
    outbox::{Content, DeliveryResult, Leased, NewMessage, Notice},
    threepid::{Medium, ThreePid},
};

/// The retention of a row, sent or not, in milliseconds.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;
/// The name of the index of due messages, and the value of its partition key.
const DUE: &str = "due";
pub(super) const QUEUED: &str = "queued";
pub(super) const SENDING: &str = "sending";
const VALIDATION: &str = "validation";
const NOTICE: &str = "notice";
const PURGE: &str = "purge";
/// The maximum number of rows of one query of the index.
const PAGE: i32 = 100;

/// One page of due messages.
#[derive(Debug, Clone)]
pub struct DueMessages {
    /// The IDs, in the order in which the messages became due.
    pub ids: Vec<String>,
    /// The time at which the first message became due.
    pub oldest: Option<Timestamp>,
    /// The start of the next page, if there is one.
    pub next: Option<DuePage>,
}

/// The start of the next page of due messages.
#[derive(Debug, Clone)]
pub struct DuePage(HashMap<String, AttributeValue>);

impl Store {
    /// The row of a new message, for the transaction that requests it.
    pub(super) fn enqueue(&self, new: &NewMessage) -> TransactWriteItem {
        let item = Item::at(&new.id)
            .number("schema", 1)
            .text("status", QUEUED)
            .number("attempts", 0)
            .number("created", new.created.0)
            .text("due", DUE)
            .number("due_at", new.created.0)
            .number("ttl", Timestamp(new.created.0 + KEEP_MS).seconds())
            .text_if("trace", metrics::trace().as_deref());
        let item = match &new.content {
            Content::Validation {
                sid,
                session_nonce,
                send,
            } => item
                .text("content", VALIDATION)
                .text("sid", sid)
                .text("generation", session_nonce)
                .number("send", *send),
            Content::Notice { notice, to } => item
                .text("content", NOTICE)
                .text("notice", notice.as_str())
                .text("medium", to.medium.as_str())
                .text("address", &to.address),
            Content::Purge { user } => item.text("content", PURGE).text("user", user.as_str()),
        };
        put(&self.outbox, item, Some("attribute_not_exists(pk)"))
    }

    /// Counts the messages among the items of a committed transaction (metric `MessagesQueued`).
    pub(super) fn count_messages(&self, items: &[TransactWriteItem]) {
        let puts = items.iter().filter_map(TransactWriteItem::put);
        let rows = puts.filter(|put| put.table_name() == self.outbox);
        for _ in rows.filter(|put| !has_text(put.item(), "content", PURGE)) {
            metrics::count(Metric::MessagesQueued);
        }
    }

    /// Leases a message until `ends`. One `UpdateItem` call on the condition that the message is
    /// due by `now` and not leased. Returns `None` if the condition fails.
    ///
    /// If this version does not support the type of the content, the error is [`StoreError::Corrupt`]. The message
    /// is due again when the lease ends, because a later version may support the type.
    pub async fn lease_message(
        &self,
        id: &str,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<Option<Leased>, StoreError> {
        let lease = self.rng.base64::<12>();
        let request = self
            .update_message(
                id,
                // The previous status shows whether an earlier delivery was interrupted.
                "SET was = #status, #status = :sending, attempts = attempts + :one, \
                 lease = :lease, due_at = :ends",
            )
            .condition_expression("#status IN (:queued, :sending) AND due_at <= :now")
            .expression_attribute_values(":queued", text(QUEUED))
            .expression_attribute_values(":sending", text(SENDING))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":lease", text(&lease))
            .expression_attribute_values(":ends", number(ends.0))
            .expression_attribute_values(":now", number(now.0));
        let item = self.take_lease(request, &lease).await?;
        item.map(|item| read(&Row::new(item))).transpose()
    }

    /// Writes the result of a delivery and ends the lease. One `UpdateItem` call. Returns `false`
    /// if the lease had ended and another invocation has leased the message.
    pub async fn end_message(
        &self,
        leased: &Leased,
        end: DeliveryResult,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = self
            .update_message(
                &leased.id,
                "SET #status = :status, ended = :now REMOVE due, due_at",
            )
            .expression_attribute_values(":now", number(now.0));
        self.end_lease(leased, end.as_str(), update).await
    }

    /// Ends the lease and makes the message due again at `due`. `charged` records that the message was charged to the
    /// rate limits. One `UpdateItem` call. Returns `false` if the lease had ended and another invocation has leased the
    /// message.
    pub async fn requeue_message(
        &self,
        leased: &Leased,
        due: Timestamp,
        charged: bool,
    ) -> Result<bool, StoreError> {
        let expression = if charged {
            "SET #status = :status, due_at = :due_at, charged = :one"
        } else {
            "SET #status = :status, due_at = :due_at"
        };
        let mut update = self
            .update_message(&leased.id, expression)
            .expression_attribute_values(":due_at", number(due.0));
        if charged {
            update = update.expression_attribute_values(":one", number(1));
        }
        self.end_lease(leased, QUEUED, update).await
    }

    /// One page of the messages that are due by `now`. One `Query` call of the index, which is
    /// eventually consistent: a message that it returns may no longer be due.
    pub async fn due_messages(
        &self,
        now: Timestamp,
        page: Option<DuePage>,
    ) -> Result<DueMessages, StoreError> {
        self.due_rows(DUE, now, page).await
    }

    /// Like [`due_messages`](Self::due_messages), for a partition of the index.
    pub(super) async fn due_rows(
        &self,
        partition: &str,
        now: Timestamp,
        page: Option<DuePage>,
    ) -> Result<DueMessages, StoreError> {
        let request = self
            .client
            .query()
            .table_name(&self.outbox)
            .index_name(DUE)
            .key_condition_expression("due = :due AND due_at <= :now")
            .expression_attribute_values(":due", text(partition))
            .expression_attribute_values(":now", number(now.0))
            .set_exclusive_start_key(page.map(|DuePage(key)| key))
            .limit(PAGE);
        let answer = self.query(request).await?;
        let rows = answer.items.unwrap_or_default().into_iter().map(Row::new);
        let rows: Vec<_> = rows.collect();
        let ids: Result<_, _> = rows
            .iter()
            .map(|row| row.text(PK).map(str::to_owned))
            .collect();
        Ok(DueMessages {
            ids: ids?,
            oldest: rows.first().map(|row| row.time("due_at")).transpose()?,
            next: answer.last_evaluated_key.map(DuePage),
        })
    }

    /// Ends a lease by an update that sets `:status`, on the condition that the lease is unchanged
    /// and the message is being sent. A lease is ended only once. A row that has the lease and is
    /// not being sent therefore means that the response to an earlier attempt was lost.
    async fn end_lease(
        &self,
        leased: &Leased,
        status: &str,
        update: UpdateItemFluentBuilder,
    ) -> Result<bool, StoreError> {
        let request = update
            .condition_expression("lease = :lease AND #status = :sending")
            .expression_attribute_values(":status", text(status))
            .expression_attribute_values(":sending", text(SENDING))
            .expression_attribute_values(":lease", text(&leased.lease));
        let ended = self.update_item(request).await?;
        Ok(ended.is_written_as("lease", &leased.lease))
    }

    /// Makes an update that sets `lease`. Returns the updated row, or `None` if the condition fails.
    pub(super) async fn take_lease(
        &self,
        request: UpdateItemFluentBuilder,
        lease: &str,
    ) -> Result<Option<Map>, StoreError> {
        let request = request.return_values(ReturnValue::AllNew);
        Ok(match self.update_item(request).await? {
            ConditionalWrite::Written(output) => output.attributes,
            // The item has this lease if an earlier attempt of this call wrote it and the response was lost.
            ConditionalWrite::ConditionFailed(item) => {
                item.filter(|item| has_text(item, "lease", lease))
            }
        })
    }

    /// An update of a row. If its condition fails, the response contains the row.
    pub(super) fn update_message(&self, id: &str, expression: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.outbox)
            .set_key(Some(Item::at(id).build()))
            .update_expression(expression)
            .expression_attribute_names("#status", "status")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

fn read(row: &Row) -> Result<Leased, StoreError> {
    let content = match row.text("content")? {
        VALIDATION => Content::Validation {
            sid: row.text("sid")?.to_owned(),
            session_nonce: row.text("generation")?.to_owned(),
            send: row.number("send")?,
        },
        NOTICE => Content::Notice {
            notice: Notice::parse(row.text("notice")?).ok_or_else(|| row.corrupt("notice"))?,
            to: ThreePid {
                medium: Medium::parse(row.text("medium")?).ok_or_else(|| row.corrupt("medium"))?,
                address: row.text("address")?.to_owned(),
            },
        },
        PURGE => Content::Purge {
            user: Localpart::stored(row.text("user")?).ok_or_else(|| row.corrupt("user"))?,
        },
        _ => return Err(row.corrupt("content")),
    };
    Ok(Leased {
        id: row.text(PK)?.to_owned(),
        lease: row.text("lease")?.to_owned(),
        content,
        created: row.time("created")?,
        trace: row.text_if("trace")?.map(str::to_owned),
        attempts: row.number("attempts")?,
        interrupted: row.text("was")? == SENDING,
        charged: row.number_if("charged")?.is_some(),
    })
}
