//! The login of a browser with a password (OA-58). It runs the same code as `POST /login`, with the same limits and the
//! same message for every wrong attempt.

use ::http::StatusCode;

use crate::{
    app::App,
    credentials::{self, Identifier, PasswordAttempt, Verified},
    error::{ErrorCode, MatrixError},
    http::{ClientNetwork, Query},
    metrics,
    oauth::browser_sessions,
    oauth_pages::{Browser, login::Failure},
    secrets::Secret,
    store::{AccountStatus, StoreError},
    tokens::AuthenticationError,
};

/// The longest name that can identify an account. Longer text is not hashed.
const MAX_USER_BYTES: usize = 1000;

/// A user who has entered the right name and password.
#[derive(Debug)]
pub struct BrowserLogin {
    /// The account.
    pub verified: Verified,
    attempt: PasswordAttempt,
    password: Secret,
}

impl BrowserLogin {
    /// Verifies the name and the password of a login form.
    pub async fn verify(
        app: &App,
        form: &Query,
        network: ClientNetwork,
    ) -> Result<Self, MatrixError> {
        let field = |name| form.get(name).filter(|value| !value.is_empty());
        let user = field("user").filter(|user| user.len() <= MAX_USER_BYTES);
        let (Some(user), Some(password)) = (user, field("password")) else {
            let message = "Enter your username and your password";
            return Err(MatrixError::new(ErrorCode::MissingParam, message));
        };
        let identifier = Identifier::typed(app, user);
        let password = Secret::new(password.to_owned());
        let (verified, attempt) =
            credentials::verify_login(app, &identifier, &password, network).await?;
        // OA-69: the page discloses that the account is locked only if the password is correct.
        if verified.account.status == AccountStatus::Locked {
            attempt.refund(app).await;
            return Err(AuthenticationError::Locked.into());
        }
        metrics::user(&verified.localpart);
        Ok(Self {
            verified,
            attempt,
            password,
        })
    }

    /// Begins the browser session and ends the one of the earlier cookie. Returns the browser with its new cookie
    /// (OA-55). All calls are concurrent.
    pub async fn begin(&self, app: &App, earlier: &Browser) -> Result<Browser, StoreError> {
        let Self {
            verified,
            attempt,
            password,
        } = self;
        let (user, epoch) = (&verified.localpart, verified.account.epoch);
        let (begun, (), (), ()) = tokio::join!(
            browser_sessions::begin(app, user, epoch, earlier.cookie()),
            attempt.refund(app),
            attempt.trust_network(app, user),
            credentials::upgrade_hash(app, verified, password)
        );
        Ok(Browser::with_new_cookie(begun?))
    }
}

/// The content of the login page after a failed attempt. `None` for an error that the user cannot correct.
pub fn failure<'a>(error: &'a MatrixError, form: &'a Query) -> Option<Failure<'a>> {
    let status = match error.code {
        ErrorCode::Forbidden | ErrorCode::UserLocked => StatusCode::FORBIDDEN,
        ErrorCode::MissingParam | ErrorCode::LimitExceeded => error.code.status(),
        _ => return None,
    };
    Some(Failure {
        status,
        message: &error.message,
        user: form.get("user").unwrap_or_default(),
    })
}
