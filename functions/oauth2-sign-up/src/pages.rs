//! The pages of one sign-up.

use std::borrow::Cow;

use http::StatusCode;
use shared::{
    app::App,
    http::{Query, Response},
    oauth_pages::{
        self, SIGN_UP,
        sign_up::{self, Details, SESSION_FIELD, Step},
    },
    store::StoreError,
    uia::{
        OpenSession, RequestedName, StageType,
        stage_page::{Frame, RELOADS, StageVisit},
    },
};

use crate::visitor::{SignUpKey, Visitor};

/// The query parameter and the field with the name of a stage.
pub(crate) const STAGE: &str = "stage";

/// An error with the status of its page.
pub(crate) type PageError = (StatusCode, Cow<'static, str>);

/// The pages of a sign-up that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages<'a> {
    pub(crate) app: &'a App,
    pub(crate) visitor: &'a Visitor,
    pub(crate) key: &'a SignUpKey,
}

/// The first page. `key` is the key of a sign-up that has begun.
pub(crate) fn details(
    app: &App,
    visitor: &Visitor,
    key: Option<&SignUpKey>,
    username: &str,
    error: Option<&PageError>,
) -> Response {
    let content = Details {
        username,
        error: error.map(|(_, text)| text.as_ref()),
        session: key.map(SignUpKey::as_str),
        login: oauth_pages::login_link(&app.config, &visitor.sealed),
    };
    let status = error.map_or(StatusCode::OK, |(status, _)| *status);
    let form = visitor.browser.form(app, SIGN_UP, &visitor.sealed);
    sign_up::details(app, &visitor.browser, status, form, &content)
}

impl Pages<'_> {
    /// The page of the next step. `chosen` is the stage that the user has chosen.
    pub(crate) async fn next(
        &self,
        session: OpenSession,
        chosen: Option<StageType>,
        query: &Query,
    ) -> Result<Response, StoreError> {
        let next = self.next_stages(&session);
        let stage = match next[..] {
            [] => return Ok(self.last(None)),
            [only] => only,
            _ => match chosen.filter(|chosen| next.contains(chosen)) {
                Some(chosen) => chosen,
                None => return Ok(self.choice(&next, None)),
            },
        };
        let Some(visit) = StageVisit::without_user(self.app, session, stage) else {
            return Ok(self.last(None));
        };
        let reloads = query.get(RELOADS).and_then(|number| number.parse().ok());
        let is_validated = visit.is_validated(self.app).await?;
        let page = |frame: &Frame<'_>| {
            if is_validated {
                visit.validated_page(self.app, frame)
            } else {
                visit.page(self.app, StatusCode::OK, frame)
            }
        };
        let frame = self.frame(&visit);
        let reloads = reloads.unwrap_or_default();
        Ok(self.finish(page, &visit, Frame { reloads, ..frame }))
    }

    /// The page of a stage with an error, or its next form.
    pub(crate) fn stage(
        &self,
        visit: &StageVisit,
        error: Option<&PageError>,
        submitted: &Query,
    ) -> Response {
        let status = error.map_or(StatusCode::OK, |(status, _)| *status);
        let page = |frame: &Frame<'_>| visit.page(self.app, status, frame);
        let frame = Frame {
            error: error.map(|(_, text)| text.as_ref()),
            submitted: submitted.clone(),
            ..self.frame(visit)
        };
        self.finish(page, visit, frame)
    }

    /// The page of the next step, with an error of the last one.
    pub(crate) fn next_with_error(&self, session: OpenSession, error: &PageError) -> Response {
        let next = self.next_stages(&session);
        let visit = match next[..] {
            [only] => StageVisit::without_user(self.app, session, only),
            [] => return self.last(Some(error)),
            _ => return self.choice(&next, Some(error)),
        };
        match visit {
            Some(visit) => self.stage(&visit, Some(error), &Query::default()),
            None => self.last(Some(error)),
        }
    }

    /// The stages that can be completed now.
    pub(crate) fn next_stages(&self, session: &OpenSession) -> Vec<StageType> {
        session.state.next_stages(self.app.config.flows())
    }

    fn choice(&self, next: &[StageType], error: Option<&PageError>) -> Response {
        let choices = next.iter().map(|stage| {
            let url = format!("{}&{STAGE}={}", self.url(), stage.as_str());
            (url, label(*stage))
        });
        self.step(&Step {
            text: "Choose how to continue:",
            error: error.map(|(_, text)| text.as_ref()),
            session: self.key.as_str(),
            choices: choices.collect(),
        })
    }

    /// The page of a sign-up whose stages are all completed: an error has prevented the last transaction, or its response
    /// was lost.
    fn last(&self, error: Option<&PageError>) -> Response {
        self.step(&Step {
            text: "All steps are completed.",
            error: error.map(|(_, text)| text.as_ref()),
            session: self.key.as_str(),
            choices: Vec::new(),
        })
    }

    fn step(&self, step: &Step<'_>) -> Response {
        let status = match step.error {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        };
        let Visitor {
            browser, sealed, ..
        } = self.visitor;
        let form = browser.form(self.app, SIGN_UP, sealed);
        sign_up::step(self.app, browser, status, form, step)
    }

    /// The URL of the next step.
    fn url(&self) -> String {
        let path = oauth_pages::path_of(&self.app.config, SIGN_UP);
        let (sealed, key) = (&self.visitor.sealed, self.key.as_str());
        format!("{path}?context={sealed}&{SESSION_FIELD}={key}")
    }

    fn frame(&self, visit: &StageVisit) -> Frame<'_> {
        let Visitor {
            browser, sealed, ..
        } = self.visitor;
        let stage = visit.stage().as_str();
        let has_choice = self.next_stages(&visit.session).len() > 1;
        let links = has_choice.then(|| (self.url(), "Choose another way"));
        Frame {
            form: Some(browser.form(self.app, SIGN_UP, sealed)),
            hidden: vec![(SESSION_FIELD, self.key.as_str()), (STAGE, stage)],
            query: vec![
                ("context", sealed),
                (SESSION_FIELD, self.key.as_str()),
                (STAGE, stage),
            ],
            links: links.into_iter().collect(),
            ..Frame::default()
        }
    }

    /// Adds the description of the operation.
    fn finish(
        &self,
        page: impl Fn(&Frame<'_>) -> Response,
        visit: &StageVisit,
        frame: Frame<'_>,
    ) -> Response {
        let name = username(&visit.session);
        let server = self.app.config.server_name.as_str();
        let what = format!("You are creating the account “{name}” on {server}.");
        let frame = Frame {
            what: &what,
            ..frame
        };
        Response {
            is_same_origin: true,
            ..page(&frame)
        }
    }
}

/// The username of a sign-up.
pub(crate) fn username(session: &OpenSession) -> String {
    let parameters: RequestedName = session.state.parameters.read().unwrap_or_default();
    parameters.username.unwrap_or_default()
}

/// The label of a stage on the page with a choice.
fn label(stage: StageType) -> &'static str {
    match stage {
        StageType::Dummy => "Without further data",
        StageType::Email => "With an e-mail address",
        StageType::Msisdn => "With a phone number",
        StageType::Password => "With a password",
        StageType::Recaptcha => "With a captcha",
        StageType::RegistrationToken => "With a registration token",
        StageType::Terms => "With the policies of this server",
    }
}
