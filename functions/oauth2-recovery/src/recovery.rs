//! A recovery: a browser, the authorization that it belongs to, and its UIA session.
//!
//! The session string is a hash of the cookie and of the sealed context, so that a session can be used only in its own
//! browser, and a form that is sent twice has the same session (OA-67). Each login page has a new sealed context, and so
//! leads to a new recovery.

use std::borrow::Cow;

use http::StatusCode;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError},
    http::{Query, Response},
    oauth::Context,
    oauth_pages::{
        self, Browser, Failure, FormError, RECOVERY, login,
        recovery::{Content, page},
    },
    secrets::{Secret, fields, sha256_base64},
    store::StoreError,
    uia::{
        OpenSession, SessionScope, StageType,
        stage_page::{Frame, RELOADS, StageVisit},
    },
};

/// The query parameter and the field with the name of a stage.
pub(crate) const STAGE: &str = "stage";

/// An error with the status of its page.
pub(crate) type PageError = (StatusCode, Cow<'static, str>);

/// A recovery of a browser.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    app: &'a App,
    browser: Browser,
    context: Context,
    /// The sealed context, as the browser sent it.
    sealed: String,
}

impl<'a> Recovery<'a> {
    /// The recovery of an authorization request that the browser sent.
    pub(crate) fn open(app: &'a App, browser: Browser, sealed: &str) -> Result<Self, FormError> {
        let context = Context::open(app, browser.cookie(), sealed);
        Ok(Self {
            app,
            context: context.ok_or(FormError::OutOfDate)?,
            sealed: sealed.to_owned(),
            browser,
        })
    }

    /// The session string.
    pub(crate) fn session_id(&self) -> Secret {
        let cookie = self.browser.cookie().reveal().as_bytes();
        let parts = fields(&[b"recovery", cookie, self.sealed.as_bytes()]);
        Secret::new(sha256_base64(&parts))
    }

    /// The UIA session, or a new one. One read.
    pub(crate) async fn session(&self) -> Result<OpenSession, StoreError> {
        let id = self.session_id();
        let found = OpenSession::find(self.app, &id).await?;
        Ok(
            found
                .unwrap_or_else(|| OpenSession::start_derived(self.app, SessionScope::reset(), id)),
        )
    }

    /// The page of the next step. `chosen` is the stage that the user has chosen.
    pub(crate) async fn next(
        &self,
        session: OpenSession,
        chosen: Option<StageType>,
        query: &Query,
    ) -> Result<Response, Failure> {
        if session.is_finished() {
            return Ok(self.done());
        }
        let stages = self.stages(&session);
        if stages.iter().any(|stage| session.has_completed(*stage)) {
            return Ok(self.password(None));
        }
        let stage = match stages[..] {
            [] => return Err(no_messages().into()),
            [only] => only,
            _ => match chosen.filter(|chosen| stages.contains(chosen)) {
                Some(chosen) => chosen,
                None => return Ok(self.choice(&stages)),
            },
        };
        let visit = StageVisit::without_user(self.app, session, stage);
        let visit = visit.ok_or(FormError::OutOfDate)?;
        let reloads = query.get(RELOADS).and_then(|number| number.parse().ok());
        let frame = Frame {
            reloads: reloads.unwrap_or_default(),
            ..self.frame(&visit)
        };
        let page = if visit.is_validated(self.app).await? {
            visit.validated_page(self.app, &frame)
        } else {
            visit.page(self.app, StatusCode::OK, &frame)
        };
        Ok(same_origin(page))
    }

    /// The page of a stage with an error, or its next form.
    pub(crate) fn stage(
        &self,
        visit: &StageVisit,
        error: Option<&PageError>,
        submitted: &Query,
    ) -> Response {
        let status = error.map_or(StatusCode::OK, |(status, _)| *status);
        let frame = Frame {
            error: error.map(|(_, text)| text.as_ref()),
            submitted: submitted.clone(),
            ..self.frame(visit)
        };
        same_origin(visit.page(self.app, status, &frame))
    }

    /// The page that asks for the new password.
    pub(crate) fn password(&self, error: Option<&PageError>) -> Response {
        let status = error.map_or(StatusCode::OK, |(status, _)| *status);
        let content = Content {
            error: error.map(|(_, text)| text.as_ref()),
            login: self.login_url(),
            choices: Vec::new(),
        };
        let form = self.browser.form(self.app, RECOVERY, &self.sealed);
        page(self.app, &self.browser, status, form, &content)
    }

    /// The login page after the new password has been set.
    pub(crate) fn done(&self) -> Response {
        login::page_after_recovery(self.app, &self.browser, &self.context)
    }

    /// The stages of which one must be completed.
    fn stages(&self, session: &OpenSession) -> Vec<StageType> {
        let flows = session.state.scope.flow_set.flows(&self.app.config);
        flows.into_iter().flatten().collect()
    }

    fn choice(&self, stages: &[StageType]) -> Response {
        let choices = stages.iter().filter_map(|stage| {
            let label = match stage {
                StageType::Email => "With an e-mail address",
                StageType::Msisdn => "With a phone number",
                _ => return None,
            };
            Some((format!("{}&{STAGE}={}", self.url(), stage.as_str()), label))
        });
        let content = Content {
            error: None,
            login: self.login_url(),
            choices: choices.collect(),
        };
        let form = self.browser.form(self.app, RECOVERY, &self.sealed);
        page(self.app, &self.browser, StatusCode::OK, form, &content)
    }

    fn frame(&self, visit: &StageVisit) -> Frame<'_> {
        let stage = visit.stage().as_str();
        let other =
            (self.stages(&visit.session).len() > 1).then(|| (self.url(), "Choose another way"));
        let login = (self.login_url(), "Back to the login page");
        Frame {
            what: "You are setting a new password. Enter an address that belongs to your account.",
            form: Some(self.browser.form(self.app, RECOVERY, &self.sealed)),
            hidden: vec![(STAGE, stage)],
            query: vec![("context", &self.sealed), (STAGE, stage)],
            links: other.into_iter().chain([login]).collect(),
            ..Frame::default()
        }
    }

    fn url(&self) -> String {
        let path = oauth_pages::path_of(&self.app.config, RECOVERY);
        format!("{path}?context={}", self.sealed)
    }

    fn login_url(&self) -> String {
        oauth_pages::login_link(&self.app.config, &self.sealed)
    }
}

fn no_messages() -> MatrixError {
    let message =
        "This server cannot send e-mails or text messages. Ask its operator to reset your password";
    MatrixError::new(ErrorCode::Forbidden, message)
}

fn same_origin(response: Response) -> Response {
    Response {
        is_same_origin: true,
        ..response
    }
}
