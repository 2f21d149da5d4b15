//! Rows of the outbox.
//!
//! A row that has to be sent is in the index `due`, with the time from which somebody should look
//! at it: at once when it is new, when its lease ends while it is being sent, later when that has
//! to be tried again. What is over is in it no more.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};

use super::{
    Store, StoreError,
    item::{Item, Row, number, put, text},
    keys::PK,
    retry::{CallError, failed_condition, holds},
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    metrics::{self, Metric},
    outbox::{Content, DeliveryResult, Leased, NewMessage, Notice},
    threepid::{Medium, ThreePid},
};

/// How long a row is kept, sent or not, in milliseconds.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;
/// The index of what is due, and its one partition.
const DUE: &str = "due";
const QUEUED: &str = "queued";
const SENDING: &str = "sending";
const VALIDATION: &str = "validation";
const NOTICE: &str = "notice";
const PURGE: &str = "purge";
/// How many rows one read of the index gives.
const PAGE: i32 = 100;

/// What one read of the index finds.
#[derive(Debug, Clone)]
pub struct DueMessages {
    /// Their ids, first what has been due the longest.
    pub ids: Vec<String>,
    /// Since when that has been due.
    pub oldest: Option<Timestamp>,
    /// Where to go on, if there are more.
    pub next: Option<DuePage>,
}

/// Where the next read of the index goes on.
#[derive(Debug, Clone)]
pub struct DuePage(HashMap<String, AttributeValue>);

impl Store {
    /// The row of a new message, for the transaction that calls for it.
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

    /// Counts the messages among the items of a transaction that is done.
    pub(super) fn count_messages(&self, items: &[TransactWriteItem]) {
        let puts = items.iter().filter_map(TransactWriteItem::put);
        let rows = puts.filter(|put| put.table_name() == self.outbox);
        for _ in rows.filter(|put| !holds(put.item(), "content", PURGE)) {
            metrics::count(Metric::MessagesQueued);
        }
    }

    /// Takes a message that is due by `now`, and that nobody else has a lease on, until `ends`.
    /// `None` if there is no such message. A content of which this version knows nothing is
    /// `Corrupt`, and due again when the lease ends: a later version may know it.
    pub async fn lease_message(
        &self,
        id: &str,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<Option<Leased>, StoreError> {
        let lease = &self.rng.base64::<12>();
        self.retry(|| async move {
            let call = self
                .update_message(
                    id,
                    // The status as it was tells whether somebody began and never ended.
                    "SET was = #status, #status = :sending, attempts = attempts + :one, \
                     lease = :lease, due_at = :ends",
                )
                .condition_expression("#status IN (:queued, :sending) AND due_at <= :now")
                .expression_attribute_values(":queued", text(QUEUED))
                .expression_attribute_values(":sending", text(SENDING))
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":lease", text(lease))
                .expression_attribute_values(":ends", number(ends.0))
                .expression_attribute_values(":now", number(now.0))
                .return_values(ReturnValue::AllNew);
            let item = match call.send().await {
                Ok(answer) => answer.attributes,
                // Ours after all, if an answer was lost.
                Err(error) => match failed_condition(&error) {
                    Some(item) => item.filter(|item| holds(item, "lease", lease)).cloned(),
                    None => return Err(CallError::<StoreError>::from(error)),
                },
            };
            let leased = item.map(|item| read(&Row::new(item)));
            leased.transpose().map_err(CallError::Final)
        })
        .await
    }

    /// Writes down how a message has ended. `false` if the lease had passed to somebody else.
    pub async fn end_message(
        &self,
        leased: &Leased,
        end: DeliveryResult,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.leave(leased, end.as_str(), || {
            self.update_message(
                &leased.id,
                "SET #status = :status, ended = :now REMOVE due, due_at",
            )
            .expression_attribute_values(":now", number(now.0))
        })
        .await
    }

    /// Puts a message back, to be taken again from `due`. `false` if the lease had passed to
    /// somebody else.
    pub async fn requeue_message(
        &self,
        leased: &Leased,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        self.leave(leased, QUEUED, || {
            self.update_message(&leased.id, "SET #status = :status, due_at = :due_at")
                .expression_attribute_values(":due_at", number(due.0))
        })
        .await
    }

    /// The messages that are due by `now`. The index may be a little behind: what it names need not
    /// be due any more.
    pub async fn due_messages(
        &self,
        now: Timestamp,
        page: Option<DuePage>,
    ) -> Result<DueMessages, StoreError> {
        let start = &page.map(|DuePage(key)| key);
        let answer = self
            .retry(|| async move {
                let call = self
                    .client
                    .query()
                    .table_name(&self.outbox)
                    .index_name(DUE)
                    .key_condition_expression("due = :due AND due_at <= :now")
                    .expression_attribute_values(":due", text(DUE))
                    .expression_attribute_values(":now", number(now.0))
                    .set_exclusive_start_key(start.clone())
                    .limit(PAGE);
                call.send().await.map_err(CallError::<StoreError>::from)
            })
            .await?;
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

    /// Ends a lease, by an update that sets `:status`. A lease is ended once, so that a row that
    /// has it and is not being sent tells that the first answer was lost.
    async fn leave(
        &self,
        leased: &Leased,
        status: &str,
        update: impl Fn() -> UpdateItemFluentBuilder,
    ) -> Result<bool, StoreError> {
        let update = &update;
        self.retry(|| async move {
            let call = update()
                .condition_expression("lease = :lease AND #status = :sending")
                .expression_attribute_values(":status", text(status))
                .expression_attribute_values(":sending", text(SENDING))
                .expression_attribute_values(":lease", text(&leased.lease));
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error) => match failed_condition(&error) {
                    Some(item) => Ok(item.is_some_and(|item| holds(item, "lease", &leased.lease))),
                    None => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }

    fn update_message(&self, id: &str, expression: &str) -> UpdateItemFluentBuilder {
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
    })
}
