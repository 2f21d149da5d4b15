//! A login with the form of a login page (OA-58). It runs the same code as `POST /login`, with the same limits and the same
//! message for every wrong attempt.

use super::{Browser, Submission};
use crate::{
    app::App,
    clock::Timestamp,
    credentials::{self, Identifier, PasswordAttempt, Verified},
    error::{ErrorCode, MatrixError},
    http::ClientNetwork,
    metrics,
    oauth::browser_sessions,
    secrets::Secret,
    store::{AccountStatus, StoreError},
    tokens::AuthenticationError,
};

/// The longest name that can identify an account. Longer text is not hashed.
const MAX_USER_BYTES: usize = 1000;

/// A user who entered the right password.
#[derive(Debug)]
pub struct PasswordLogin {
    /// The account.
    pub verified: Verified,
    /// A time before the password was read.
    started: Timestamp,
    attempt: PasswordAttempt,
    password: Secret,
}

impl PasswordLogin {
    /// Verifies the form. [`login::Failure::of`](super::login::Failure::of) says whether the user may try again.
    pub async fn verify(
        app: &App,
        submission: &Submission,
        network: ClientNetwork,
    ) -> Result<Self, MatrixError> {
        let field = |name| submission.form.get(name).filter(|value| !value.is_empty());
        let user = field("user").filter(|user| user.len() <= MAX_USER_BYTES);
        let (Some(user), Some(password)) = (user, field("password")) else {
            let message = "Enter your username and your password";
            return Err(MatrixError::new(ErrorCode::MissingParam, message));
        };
        let started = app.clock.now();
        let identifier = Identifier::typed(app, user);
        let password = Secret::new(password.to_owned());
        let verified = credentials::verify_login(app, &identifier, &password, network).await;
        let (verified, attempt) = verified?;
        // OA-69: the page discloses that the account is locked only if the password is correct.
        if verified.account.status == AccountStatus::Locked {
            attempt.refund(app).await;
            return Err(AuthenticationError::Locked.into());
        }
        Ok(Self {
            verified,
            started,
            attempt,
            password,
        })
    }

    /// Begins the browser session, with a new cookie. All calls are concurrent.
    pub async fn begin(&self, app: &App, browser: &Browser) -> Result<Browser, StoreError> {
        let (user, epoch) = (&self.verified.localpart, self.verified.account.epoch);
        metrics::user(user);
        let (begun, (), (), ()) = tokio::join!(
            browser_sessions::begin(app, (user, epoch), self.started, browser.cookie()),
            self.attempt.refund(app),
            self.attempt.trust_network(app, user),
            credentials::upgrade_hash(app, &self.verified, &self.password)
        );
        Ok(Browser::with_new_cookie(begun?))
    }
}
