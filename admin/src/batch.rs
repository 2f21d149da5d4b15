//! Work on many items concurrently. An error of DynamoDB and Ctrl-C end it early; the items in work at Ctrl-C are
//! finished.

use std::pin::pin;

use futures_util::{StreamExt, stream};
use shared::store::StoreError;

use crate::{Admin, progress::Progress};

/// The number of items in work at the same time.
const CONCURRENCY: usize = 16;

/// Calls `work` for each item and `record` for each result, and shows the progress. Returns whether all items are done.
pub(crate) async fn for_each<T, R, F>(
    admin: &Admin,
    items: Vec<T>,
    work: impl Fn(T) -> F,
    mut record: impl FnMut(R),
) -> Result<bool, StoreError>
where
    F: Future<Output = Result<R, StoreError>>,
{
    let total = items.len();
    let progress = Progress::new(total, admin);
    let stop = async {
        // Without a handler for the signal, the process ends at once.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let mut results = pin!(
        stream::iter(items)
            .take_until(Box::pin(stop))
            .map(work)
            .buffer_unordered(CONCURRENCY)
    );
    let mut done = 0;
    while let Some(result) = results.next().await {
        record(result?);
        progress.step();
        done += 1;
    }
    Ok(done == total)
}
