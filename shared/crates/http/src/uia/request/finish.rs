//! The last step of a UIA-protected request: its one transaction. The transaction is retried while
//! concurrent requests write to the session. If a concurrent duplicate of the request completed first,
//! the response of the duplicate is repeated.

use super::{ProtectedRequest, replayed_answer};
use crate::{
    accounts::ChangeAccountError,
    app::App,
    error::{MatrixError, Rejection},
    homeserver::{self, Change},
    http::Response,
    ids::Localpart,
    store::{AccountRow, Attempt, StoreError, retry_on_conflict},
    threepids::Medium,
    uia::{Operation, SessionCommit, UiaCompletion},
};

/// The maximum number of attempts of the final transaction. Each attempt can conflict with a write to the
/// session, to the rows of the operation, or to a share of the registration token.
const TRIES: u32 = 24;

/// The reason why the operation was not carried out after a completed flow.
#[derive(Debug)]
pub enum OperationError {
    /// The session row has changed since it was read.
    SessionChanged,
    /// A row of the operation has changed since it was read. The next attempt reads it again.
    Conflict,
    /// Another operation has used the validation session of the 3PID, or the session has expired.
    ValidationGone(Medium),
    /// The share of the registration token has no uses left.
    RegistrationTokenSpent,
    /// The 3PID cannot belong to the account. The user may validate another one.
    ThreePidRefused(Medium, MatrixError),
    /// The operation is not possible.
    Refused(MatrixError),
    /// DynamoDB failed.
    Store(StoreError),
}

impl From<ChangeAccountError> for OperationError {
    fn from(error: ChangeAccountError) -> Self {
        match error {
            ChangeAccountError::SessionChanged => Self::SessionChanged,
            ChangeAccountError::ValidationGone(medium) => Self::ValidationGone(medium),
            ChangeAccountError::AccountChanged => Self::Refused(error.into()),
            ChangeAccountError::Store(error) => Self::Store(error),
        }
    }
}

/// One attempt of a final transaction.
#[derive(Debug, Clone, Copy)]
pub struct FinalAttempt<'a> {
    /// The number of the attempt, from 0.
    pub number: u32,
    /// The completed flow.
    pub completion: &'a UiaCompletion,
    request: &'a ProtectedRequest,
}

impl FinalAttempt<'_> {
    /// The row that completes the session with this response, if there is a session.
    pub fn session_commit(&self, app: &App, answer: &str) -> Option<SessionCommit> {
        let canonical = &self.request.canonical;
        self.completion.commit(app, canonical, answer)
    }
}

/// The operation of a UIA-protected request: one transaction, which also completes the session.
pub trait FinalTransaction: Send {
    /// Tries the transaction once and returns the response.
    fn commit(
        &mut self,
        app: &App,
        attempt: FinalAttempt<'_>,
    ) -> impl Future<Output = Result<String, OperationError>> + Send;
}

/// A transaction that depends only on the session. Its response is fixed before the transaction.
struct FixedAnswer<'a, F> {
    answer: &'a str,
    write: F,
}

impl<F, W> FinalTransaction for FixedAnswer<'_, F>
where
    F: Fn(Option<SessionCommit>) -> W + Send,
    W: Future<Output = Result<(), ChangeAccountError>> + Send,
{
    async fn commit(
        &mut self,
        app: &App,
        attempt: FinalAttempt<'_>,
    ) -> Result<String, OperationError> {
        let session = attempt.session_commit(app, self.answer);
        (self.write)(session).await?;
        Ok(self.answer.to_owned())
    }
}

/// A change for the homeserver, and the account that is changed.
#[derive(Debug, Clone, Copy)]
pub struct CarriedChange<'a> {
    /// The user.
    pub user: &'a Localpart,
    /// The account. Without it, nothing is carried over.
    pub account: Option<&'a AccountRow>,
    /// The change.
    pub change: Change<'a>,
}

/// The outcome of an operation that has changed nothing.
enum Unchanged {
    /// A concurrent duplicate of the request completed first.
    Replay(Response),
    /// The operation failed.
    Rejected(Rejection),
}

impl From<StoreError> for Unchanged {
    fn from(error: StoreError) -> Self {
        Self::Rejected(error.into())
    }
}

impl From<Unchanged> for Result<Response, Rejection> {
    fn from(unchanged: Unchanged) -> Self {
        match unchanged {
            Unchanged::Replay(response) => Ok(response),
            Unchanged::Rejected(rejection) => Err(rejection),
        }
    }
}

/// The next step after a failed attempt.
enum Next {
    /// The response of a concurrent duplicate of the request that completed first.
    Replay(Response),
    /// Try again with this completion.
    Retry(Box<UiaCompletion>),
}

impl ProtectedRequest {
    /// Carries out an operation with the fixed response `answer`, and carries its change over to the homeserver. `write`
    /// is its transaction.
    pub async fn finish_with<W>(
        &self,
        app: &App,
        completion: UiaCompletion,
        answer: &str,
        carried: CarriedChange<'_>,
        write: impl Fn(Option<SessionCommit>) -> W + Send,
    ) -> Result<Response, Rejection>
    where
        W: Future<Output = Result<(), ChangeAccountError>> + Send,
    {
        let CarriedChange {
            user,
            account,
            change,
        } = carried;
        let transaction = FixedAnswer { answer, write };
        // A replay is an error here: the duplicate has carried the change over. Since then the user may have logged in
        // again, and the change would remove the device of that login (HS-18).
        let finished = self.finish_once(app, completion, transaction);
        let carried_over = homeserver::carry_over(app, user, account, change, finished);
        Box::pin(carried_over).await.or_else(Into::into)
    }

    /// Carries out the operation with a transaction that also completes the session and stores the response.
    pub async fn finish(
        &self,
        app: &App,
        completion: UiaCompletion,
        transaction: impl FinalTransaction,
    ) -> Result<Response, Rejection> {
        let finished = self.finish_once(app, completion, transaction).await;
        finished.or_else(Into::into)
    }

    /// Like [`Self::finish`], with a replay as an error.
    async fn finish_once(
        &self,
        app: &App,
        completion: UiaCompletion,
        transaction: impl FinalTransaction,
    ) -> Result<Response, Unchanged> {
        let state = (completion, transaction);
        retry_on_conflict(
            TRIES,
            state,
            |(completion, mut transaction), number| async move {
                let attempt = FinalAttempt {
                    number,
                    completion: &completion,
                    request: self,
                };
                let error = match transaction.commit(app, attempt).await {
                    Ok(answer) => return Ok(Attempt::Done(replayed_answer(answer))),
                    Err(error) => error,
                };
                match self.on_conflict(app, completion, error).await {
                    Ok(Next::Replay(response)) => Err(Unchanged::Replay(response)),
                    Ok(Next::Retry(completion)) => Ok(Attempt::Retry((*completion, transaction))),
                    Err(rejection) => Err(Unchanged::Rejected(rejection)),
                }
            },
        )
        .await
    }

    /// Decides the next step after a failed attempt.
    async fn on_conflict(
        &self,
        app: &App,
        completion: UiaCompletion,
        error: OperationError,
    ) -> Result<Next, Rejection> {
        if self.may_follow_from_duplicate(&error)
            && let Some(response) = self.replayed_response(app).await?
        {
            return Ok(Next::Replay(response));
        }
        let completion = match error {
            OperationError::Conflict => completion,
            OperationError::SessionChanged => completion.reload(app).await?,
            OperationError::RegistrationTokenSpent => {
                completion
                    .renew_registration_token(app, self.network)
                    .await?
            }
            OperationError::ValidationGone(medium) => {
                let network = self.network;
                return Err(completion.reopen_threepid_stage(app, network, medium).await);
            }
            OperationError::ThreePidRefused(medium, error) => {
                completion.save_progress_without(app, medium).await;
                return Err(error.into());
            }
            OperationError::Refused(error) => {
                completion.save_progress(app).await;
                return Err(error.into());
            }
            OperationError::Store(error) => {
                completion.save_progress(app).await;
                return Err(error.into());
            }
        };
        Ok(Next::Retry(Box::new(completion)))
    }

    /// Whether the cause of the error may be a concurrent duplicate of the request that completed first.
    fn may_follow_from_duplicate(&self, error: &OperationError) -> bool {
        match error {
            OperationError::SessionChanged => true,
            // `create_account` reports a changed session before any other conflict.
            OperationError::ValidationGone(_) | OperationError::Refused(_) => {
                self.spec.operation != Operation::Register
            }
            OperationError::Conflict
            | OperationError::RegistrationTokenSpent
            | OperationError::ThreePidRefused(..)
            | OperationError::Store(_) => false,
        }
    }
}
