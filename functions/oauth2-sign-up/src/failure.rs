//! The pages of requests that fail.

use http::StatusCode;
use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::Response,
    limits::LimitError,
    oauth::UnanswerableError,
    oauth_pages::{self, FormError},
    store::StoreError,
};

/// The reason why a request fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The form or the URL is rejected.
    Form(FormError),
    /// The client of the authorization is no longer registered.
    Client(UnanswerableError),
    /// The sign-up is completed, and too much time has passed to continue in this browser.
    Completed,
    /// A rate limit, or a call failed.
    Other(MatrixError),
}

impl Failure {
    /// The page.
    pub(crate) fn page(self, app: &App) -> Response {
        let config = &app.config;
        match self {
            Self::Form(error) => error.page(config),
            Self::Client(error) => {
                let title = "The app sent an invalid request";
                let text = format!("{error}.");
                oauth_pages::message(config, StatusCode::BAD_REQUEST, title, &text)
            }
            Self::Completed => {
                let title = "The account has been created already";
                let text =
                    "Start again in your app, and log in with your username and your password.";
                oauth_pages::message(config, StatusCode::BAD_REQUEST, title, text)
            }
            Self::Other(error) => oauth_pages::error(config, &error),
        }
    }
}

impl From<FormError> for Failure {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl From<UnanswerableError> for Failure {
    fn from(error: UnanswerableError) -> Self {
        Self::Client(error)
    }
}

impl From<MatrixError> for Failure {
    fn from(error: MatrixError) -> Self {
        Self::Other(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        Self::Other(error.into())
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Error(error) => Self::Other(error),
            // The caller shows the next stage of a challenge itself.
            Rejection::Challenge(_) => Self::Form(FormError::OutOfDate),
        }
    }
}
