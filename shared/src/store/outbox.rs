//! Rows of the outbox.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::{Store, accounts::put, item::Item};
use crate::{
    clock::Timestamp,
    outbox::{Content, NewMessage},
};

/// How long a row is kept, sent or not, in milliseconds.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;
/// The one partition of the index of what is due.
const DUE: &str = "due";

impl Store {
    /// The row of a new message, for the transaction that calls for it.
    pub(super) fn enqueue(&self, new: &NewMessage) -> TransactWriteItem {
        let Content::Validation {
            sid,
            generation,
            send,
        } = &new.content;
        let item = Item::at(&new.id)
            .number("schema", 1)
            .text("status", "queued")
            .number("attempts", 0)
            .number("created", new.created.0)
            .text("due", DUE)
            .number("due_at", new.created.0)
            .number("ttl", Timestamp(new.created.0 + KEEP_MS).seconds())
            .text("content", "validation")
            .text("sid", sid)
            .text("generation", generation)
            .number("send", *send);
        put(&self.outbox, item, Some("attribute_not_exists(pk)"))
    }
}
