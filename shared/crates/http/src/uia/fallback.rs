//! Fallback pages: a stage in a browser, for clients that do not know it (UIA-70 to UIA-76).
//!
//! A page is one form that posts to its own URL; only the page after a completed stage carries the
//! script that tells the client. The form goes through the engine like any other attempt. Knows
//! the pages and not the HTTP around them.

use std::borrow::Cow;

use ::http::StatusCode;
use askama::Template;
use serde_json::{Map, Value};

use super::{
    Auth, OpenSession, Operation, StageType,
    engine::{self, FallbackOutcome},
    session::Parameters,
    stages::{
        self,
        threepid_page::{self, Step},
    },
};
use crate::{
    app::App,
    config::Flow,
    error::{MatrixError, Rejection},
    http::{ClientNetwork, Query, Response},
    pages::{self, Allowed},
    secrets::Secret,
};

/// What a stage's page asks.
#[derive(Debug, Default)]
pub struct Form {
    /// What is to be done.
    pub text: Cow<'static, str>,
    /// What there is to read first.
    pub links: Vec<Link>,
    /// What there is to fill in.
    pub fields: Vec<Field>,
    /// A captcha.
    pub widget: Option<Widget>,
    /// What the button says.
    pub button: &'static str,
    /// What the button does, on a page with several steps.
    pub action: Option<&'static str>,
    /// What another button says and does.
    pub other: Option<(&'static str, &'static str)>,
    /// Whether the page looks again by itself: it waits for something that happens elsewhere.
    pub waits: bool,
}

/// Something to fill in.
#[derive(Debug)]
pub struct Field {
    /// Its name in the form.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// The attributes by which a browser helps to fill it in.
    pub help: &'static str,
    /// What may be chosen; anything, if nothing is listed.
    pub choices: Vec<String>,
}

impl Field {
    /// A field for a word that is not remembered.
    pub fn word(name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            label,
            help: "type=\"text\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\"",
            choices: Vec::new(),
        }
    }
}

/// A link in one language.
#[derive(Debug)]
pub struct Link {
    /// The language's code.
    pub language: String,
    /// What it is called.
    pub name: String,
    /// Where it leads.
    pub url: String,
}

/// A captcha provider's widget.
#[derive(Debug)]
pub struct Widget {
    /// Its script.
    pub script_url: String,
    /// The class by which the script finds its place.
    pub class: &'static str,
    /// Our public key.
    pub site_key: String,
    /// Where it loads its own parts from, for the content security policy.
    pub sources: &'static str,
}

/// Tells the client that the stage is done (UIA-71): the app that embeds the page, or the window
/// that opened it.
const DONE_SCRIPT: &str = "if(window.onAuthDone){window.onAuthDone()}else if(window.opener&&window.opener.postMessage){window.opener.postMessage('authDone','*')}";

#[derive(Template)]
#[template(path = "stage.html")]
struct StagePage<'a> {
    style: &'static str,
    server: &'a str,
    what: &'a str,
    form: &'a Form,
    error: Option<&'a str>,
}

/// A session and the stage that a page is about.
#[derive(Debug)]
pub struct Visit {
    session: OpenSession,
    stage: StageType,
    flows: Vec<Flow>,
}

/// Finds what `type` and `session` of a page's URL are about; `None` if the stage is not offered or
/// there is no such session (UIA-73).
pub async fn visit(app: &App, stage: &str, session: &str) -> Result<Option<Visit>, MatrixError> {
    let Some(stage) = StageType::parse(stage) else {
        return Ok(None);
    };
    let Some(session) = OpenSession::find(app, &Secret::new(session.to_owned())).await? else {
        return Ok(None);
    };
    let flows = session.state.binding.offer.flows(&app.config);
    let offered = flows.iter().flatten().any(|own| *own == stage);
    Ok(offered.then_some(Visit {
        session,
        stage,
        flows,
    }))
}

impl Visit {
    /// The page with the stage's form. Showing it completes nothing (UIA-73): where the stage waits
    /// for a message's link that has been confirmed, the client's next request will find it so.
    pub async fn show(&self, app: &App) -> Result<Response, Rejection> {
        if self.session.has_completed(self.stage) || self.session.is_finished() {
            return Ok(done(app));
        }
        if !self.is_next() {
            return Ok(not_yet(app));
        }
        if threepid_page::has_arrived(app, &self.session, self.stage).await? {
            return Ok(done(app));
        }
        Ok(self.page(app, StatusCode::OK, None))
    }

    fn is_next(&self) -> bool {
        engine::is_next(&self.flows, &self.session, self.stage)
    }

    /// Judges the submitted form; if it is good, the stage is done in the session (UIA-72).
    pub async fn submit(
        mut self,
        app: &App,
        form: &Query,
        network: ClientNetwork,
    ) -> Result<Response, Rejection> {
        if self.session.is_finished() {
            return Ok(done(app));
        }
        if !self.is_next() && !self.session.has_completed(self.stage) {
            return Ok(not_yet(app));
        }
        let (session, stage) = (&mut self.session, self.stage);
        match threepid_page::submit(app, session, stage, form, network).await? {
            Step::UiaAttempt => {}
            Step::Show(error) => {
                self.session
                    .save_merged(app, Parameters::Stored, None)
                    .await?;
                let status = error.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
                let error = error.map(|(_, text)| text);
                return Ok(self.page(app, status, error.as_deref()));
            }
        }
        if self.stage == StageType::Terms && self.session.show_policies(&app.config) {
            // They have changed since the session last showed them: accepting is for the new ones.
            self.session
                .save_merged(app, Parameters::Stored, None)
                .await?;
            let error = "The policies have changed: please read them again";
            return Ok(self.page(app, StatusCode::UNAUTHORIZED, Some(error)));
        }
        let members: Map<String, Value> =
            stages::members_of_form(self.stage, form, &self.session.state)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
        let auth = Auth::of_form(
            self.session.secret_id().clone(),
            self.stage.as_str(),
            members,
        );
        match engine::complete_stage(app, &self.flows, &mut self.session, &auth, network).await? {
            FallbackOutcome::Done => Ok(done(app)),
            FallbackOutcome::Refused(why) => {
                Ok(self.page(app, StatusCode::UNAUTHORIZED, Some(why.message)))
            }
        }
    }

    fn page(&self, app: &App, status: StatusCode, error: Option<&str>) -> Response {
        let form = stages::form(self.stage, &app.config, &self.session.state);
        let server = app.config.server_name.as_str();
        let binding = &self.session.state.binding;
        let wished = self.session.state.parameters["username"].as_str();
        let doing = match (binding.operation, &binding.user, wished) {
            (Operation::Register, _, Some(name)) => format!("creating the account “{name}”"),
            (operation, Some((user, _)), _) => {
                format!("{}, “{}”,", operation.words(), user.as_str())
            }
            (operation, None, _) => operation.words().to_owned(),
        };
        let what = format!("You are {doing} on {server}. Go on only if you asked for it just now.");
        let sources = form
            .widget
            .as_ref()
            .map(|widget| format!("{} {}", widget.script_url, widget.sources));
        let page = StagePage {
            style: pages::STYLE,
            server,
            what: &what,
            form: &form,
            error,
        };
        let allowed = Allowed {
            sources: sources.as_deref(),
            ..Allowed::default()
        };
        pages::html(status, &page, allowed)
    }
}

fn not_yet(app: &App) -> Response {
    pages::message(
        &app.config,
        StatusCode::BAD_REQUEST,
        "Not yet",
        "Another step comes before this one. Go back to your app.",
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
