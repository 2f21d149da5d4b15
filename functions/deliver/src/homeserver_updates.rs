//! Pending updates of users at the homeserver (HS-15).

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use shared::{
    app::App,
    homeserver::{self, Homeserver, RetryOutcome},
    ids::Localpart,
    store::user_of_update,
};

use crate::{MAX_PAGES, dispatcher::Dispatcher};

/// The number of users that are updated concurrently.
const CONCURRENCY: usize = 8;

/// Makes the updates that are due, page by page. Stops if the homeserver does not respond: the next scheduled event
/// tries again.
pub(crate) async fn update_due(app: &App, dispatcher: &Dispatcher<'_>) {
    let Some(homeserver) = homeserver::of(app) else {
        return;
    };
    let (mut page, stopped) = (None, AtomicBool::new(false));
    for _ in 0..MAX_PAGES {
        let due = match app.store.due_updates(app.clock.now(), page).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the pending updates of the homeserver could not be read; the schedule will try again");
                return;
            }
        };
        // An update that has begun is not cancelled: its lease would block the user's logins until it expires.
        stream::iter(due.ids)
            .for_each_concurrent(CONCURRENCY, |id| async {
                if !stopped.load(Ordering::Relaxed) && !update(homeserver, id, dispatcher).await {
                    stopped.store(true, Ordering::Relaxed);
                }
            })
            .await;
        page = due.next;
        if stopped.load(Ordering::Relaxed) || page.is_none() {
            return;
        }
    }
}

/// Makes one update. Returns `false` if no further update should be tried.
async fn update(homeserver: Homeserver<'_>, id: String, dispatcher: &Dispatcher<'_>) -> bool {
    if dispatcher.is_late() {
        return false;
    }
    let Some(user) = user_of_update(&id).and_then(Localpart::stored) else {
        return true;
    };
    match homeserver.retry(&user).await {
        Ok(RetryOutcome::Done | RetryOutcome::Skipped | RetryOutcome::Rejected) => true,
        Ok(RetryOutcome::Unavailable) => false,
        Err(error) => {
            tracing::error!(%error, "an update of the homeserver failed; the schedule will try again");
            true
        }
    }
}
