//! Fallback pages: a stage in a browser, for clients that do not implement it (UIA-70 to UIA-76).
//!
//! A page is one form that posts to the URL of the page. Only the page after a completed stage has the
//! script that notifies the client. The engine handles a submitted form like any other attempt.
//! The function of the endpoint is responsible for routing and rate limits.

use ::http::StatusCode;

pub use super::stage_page::RELOADS;
use super::{
    Login, OpenSession, Operation, RequestedName, StageType,
    stage_page::{Frame, StageVisit, Submitted},
};
use crate::{
    app::App,
    error::Rejection,
    http::{ClientNetwork, Query, Response},
    pages,
    secrets::Secret,
    store::StoreError,
};

/// Notifies the client that the stage is completed (UIA-71): the app that embeds the page, or the
/// window that opened it.
const DONE_SCRIPT: &str = "if(window.onAuthDone){window.onAuthDone()}else if(window.opener&&window.opener.postMessage){window.opener.postMessage('authDone','*')}";

/// The session and the stage of a page.
#[derive(Debug)]
pub struct Visit(StageVisit);

/// Reads the session of a page's URL. Returns `None` if there is no such session, if it does not offer the stage
/// (UIA-73), or if the login that started it has ended. A page has no access token, so the login of a session is
/// checked here, before anything is charged or shown.
pub async fn visit(app: &App, stage: &str, session: &str) -> Result<Option<Visit>, StoreError> {
    let Some(stage) = StageType::parse(stage) else {
        return Ok(None);
    };
    let Some(session) = OpenSession::find(app, &Secret::new(session.to_owned())).await? else {
        return Ok(None);
    };
    let flows = session.state.scope.flow_set.flows(&app.config);
    if !flows.iter().flatten().any(|own| *own == stage) {
        return Ok(None);
    }
    let mut password = None;
    if let Some(login) = session.login() {
        let Login { user, device } = &login;
        let facts = app.store.find_session_owner(user, device.as_ref()).await?;
        if !session.is_valid_for(app, Some(&login), &facts) {
            return Ok(None);
        }
        password = facts.password;
    }
    Ok(Some(Visit(StageVisit {
        session,
        password,
        stage,
        flows,
    })))
}

impl Visit {
    /// Whether the page waits for a link in an e-mail and reloads itself.
    pub fn waits(&self, app: &App) -> bool {
        self.0.waits(app)
    }

    /// The page with the stage's form, after a number of reloads. Showing the page completes no stage (UIA-73): if the
    /// stage waits for a link that has been confirmed in the meantime, the client's next request completes the stage.
    pub async fn show(&self, app: &App, reloads: usize) -> Result<Response, Rejection> {
        let visit = &self.0;
        if visit.session.has_completed(visit.stage) || visit.session.is_finished() {
            return Ok(done(app));
        }
        if !visit.is_next() {
            return Ok(not_yet(app));
        }
        if visit.is_validated(app).await? {
            return Ok(done(app));
        }
        Ok(self.page(app, StatusCode::OK, None, &Query::default(), reloads))
    }

    /// Attempts the stage with the submitted form. A success is saved in the session (UIA-72).
    pub async fn submit(
        mut self,
        app: &App,
        form: &Query,
        network: ClientNetwork,
    ) -> Result<Response, Rejection> {
        let visit = &mut self.0;
        if visit.session.is_finished() {
            return Ok(done(app));
        }
        if !visit.is_next() && !visit.session.has_completed(visit.stage) {
            return Ok(not_yet(app));
        }
        Ok(match visit.attempt(app, form, network).await? {
            Submitted::Done => done(app),
            Submitted::Show(None) => self.page(app, StatusCode::OK, None, form, 0),
            Submitted::Show(Some((status, error))) => self.page(app, status, Some(&error), form, 0),
        })
    }

    /// The description of the operation on the page. It allows the user to notice a request that another person has
    /// made.
    fn activity(&self) -> String {
        let state = &self.0.session.state;
        let operation = &state.scope.operation;
        let description = operation.description();
        match (operation, &state.scope.user) {
            (Operation::Register, _) => {
                let parameters: RequestedName = state.parameters.read().unwrap_or_default();
                match parameters.username {
                    Some(name) => format!("creating the account “{name}”"),
                    None => description.to_owned(),
                }
            }
            (_, Some((user, _))) => format!("{description}, “{}”,", user.as_str()),
            (_, None) => description.to_owned(),
        }
    }

    /// The page, with the values of a submitted form.
    fn page(
        &self,
        app: &App,
        status: StatusCode,
        error: Option<&str>,
        submitted: &Query,
        reloads: usize,
    ) -> Response {
        let (activity, server) = (self.activity(), app.config.server_name.as_str());
        let what = format!(
            "You are {activity} on {server}. Continue only if you asked for this just now."
        );
        let frame = Frame {
            what: &what,
            error,
            submitted: submitted.clone(),
            query: vec![("session", self.0.session.id().reveal())],
            reloads,
            ..Frame::default()
        };
        self.0.page(app, status, &frame)
    }
}

fn not_yet(app: &App) -> Response {
    pages::message(
        &app.config,
        StatusCode::BAD_REQUEST,
        "Not yet",
        "Another step must be completed first. Go back to your app.",
    )
}

fn done(app: &App) -> Response {
    pages::message_with_script(
        &app.config,
        "Thank you",
        "You may now close this window and go back to your app.",
        DONE_SCRIPT,
    )
}
