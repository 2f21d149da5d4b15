//! The user of a request: a valid browser session, with the age of the password that was entered.

use shared::{
    app::App,
    clock::Timestamp,
    http::Response,
    ids::Localpart,
    oauth::browser_sessions::{self, BrowserSession},
    oauth_pages::Browser,
    store::{BrowserSessionRow, StoreError},
};

use crate::{login, page::Page};

/// A user with a valid session.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) browser: Browser,
    pub(crate) session: BrowserSession,
    /// The time at which the password was set, if the account has one.
    password_set: Option<Timestamp>,
}

impl Visitor {
    /// The user of a session row. The browser is the error if the session is no longer valid. One read.
    pub(crate) async fn find(
        app: &App,
        browser: Browser,
        row: BrowserSessionRow,
    ) -> Result<Result<Self, Browser>, StoreError> {
        let found = browser_sessions::with_password(app, row).await?;
        Ok(match found {
            Some((session, password_set)) => Ok(Self {
                browser,
                session,
                password_set,
            }),
            None => Err(browser),
        })
    }

    /// The name of the user.
    pub(crate) fn user(&self) -> &Localpart {
        &self.session.localpart
    }

    /// The user ID.
    pub(crate) fn user_id(&self, app: &App) -> String {
        self.user().user_id(&app.config.server_name)
    }

    /// The time at which the password was set that the user has entered recently (OA-128).
    pub(crate) fn recent_password(&self, app: &App) -> Option<Timestamp> {
        let now = app.clock.now();
        self.password_set
            .filter(|set| self.session.is_recent(now, *set))
    }

    /// The page that asks for the password again, before `page`.
    pub(crate) fn password_page(&self, app: &App, page: &Page) -> Response {
        let name = self.user().as_str();
        login::page(app, &self.browser, page, Some(name))
    }
}
