//! The only loop that repeats an operation after a conflict with a concurrent write.

use super::StoreError;

/// The outcome of one attempt.
#[derive(Debug)]
pub enum Attempt<T, S> {
    /// The operation has its result.
    Done(T),
    /// A concurrent write has changed the row. The next attempt starts from this state.
    Retry(S),
}

/// Calls `attempt` with the state and the number of the attempt, from 0, until it is done. Fails with
/// [`StoreError::Contended`] after `tries` conflicts.
///
/// An attempt must not call this function itself, because the numbers of tries would multiply.
pub async fn retry_on_conflict<S, T, E, F>(
    tries: u32,
    mut state: S,
    mut attempt: impl FnMut(S, u32) -> F,
) -> Result<T, E>
where
    E: From<StoreError>,
    F: Future<Output = Result<Attempt<T, S>, E>>,
{
    for number in 0..tries {
        match attempt(state, number).await? {
            Attempt::Done(result) => return Ok(result),
            Attempt::Retry(next) => state = next,
        }
    }
    Err(StoreError::Contended.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn done_at(last: u32, tries: u32) -> Result<u32, StoreError> {
        retry_on_conflict(tries, 0, |state, number| async move {
            assert_eq!(state, number, "the state is handed on");
            Ok(if number == last {
                Attempt::Done(number)
            } else {
                Attempt::Retry(state + 1)
            })
        })
        .await
    }

    #[tokio::test]
    async fn an_attempt_is_repeated_until_it_is_done() {
        for last in 0..3 {
            assert!(matches!(done_at(last, 3).await, Ok(found) if found == last));
        }
        assert!(matches!(done_at(3, 3).await, Err(StoreError::Contended)));
    }

    #[tokio::test]
    async fn an_error_ends_the_loop_at_once() {
        let outcome: Result<(), _> = retry_on_conflict(3, (), |(), number| async move {
            assert_eq!(number, 0);
            Err::<Attempt<(), ()>, _>(StoreError::Refused("no".to_owned()))
        })
        .await;
        assert!(matches!(outcome, Err(StoreError::Refused(_))));
    }
}
