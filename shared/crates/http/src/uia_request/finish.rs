//! The end of a guarded request: its one transaction, tried again while others write to the session,
//! or the answer of a twin that was quicker.

use super::{ProtectedRequest, answer};
use crate::{
    accounts::ChangeAccountError,
    app::App,
    error::{MatrixError, Rejection},
    http::Response,
    store::StoreError,
    uia::{SessionCommit, UiaCompletion},
};

/// How often a finishing transaction is tried on a session that others write to.
const TRIES: usize = 12;

/// Why an operation was not done, though it was proven.
#[derive(Debug)]
pub enum OperationError {
    /// What it was to be done on has changed.
    Changed(ChangeAccountError),
    /// It may not be done, for a reason of its own.
    Refused(MatrixError),
}

impl From<ChangeAccountError> for OperationError {
    fn from(error: ChangeAccountError) -> Self {
        Self::Changed(error)
    }
}

/// What is to be done when a transaction came too late.
enum Next {
    /// A twin of the request was quicker; this is its answer.
    Answered(Response),
    /// Try again with this.
    Again(Box<UiaCompletion>),
}

impl ProtectedRequest {
    /// Does what has been proven, by a transaction that also finishes the session with this answer;
    /// again and again while others write to the session.
    pub async fn finish<W, E>(
        &self,
        app: &App,
        mut proof: UiaCompletion,
        text: &str,
        mut write: impl FnMut(Option<SessionCommit>) -> W,
    ) -> Result<Response, Rejection>
    where
        W: Future<Output = Result<(), E>>,
        E: Into<OperationError>,
    {
        for _ in 0..TRIES {
            let session = proof.commit(app, &self.canonical, text);
            let Err(why) = write(session).await else {
                return Ok(answer(text.to_owned()));
            };
            match self.moved(app, proof, why.into()).await? {
                Next::Answered(response) => return Ok(response),
                Next::Again(again) => proof = *again,
            }
        }
        Err(StoreError::Contended.into())
    }

    /// What a transaction means that was not made.
    async fn moved(
        &self,
        app: &App,
        proof: UiaCompletion,
        why: OperationError,
    ) -> Result<Next, Rejection> {
        use ChangeAccountError as Change;
        if !matches!(why, OperationError::Changed(Change::Store(_)))
            && let Some(response) = self.answer_of_twin(app).await?
        {
            return Ok(Next::Answered(response));
        }
        let error = match why {
            OperationError::Changed(Change::SessionChanged) => {
                return Ok(Next::Again(Box::new(proof.reload(app).await?)));
            }
            OperationError::Changed(Change::ValidationGone(medium)) => {
                return Err(proof.without_proof_of(app, self.network, medium).await);
            }
            OperationError::Changed(error @ (Change::AccountChanged | Change::Store(_))) => {
                error.into()
            }
            OperationError::Refused(error) => error,
        };
        proof.keep(app).await;
        Err(error.into())
    }
}
