//! Fallback pages: a stage in a browser, for clients that do not implement it (UIA-70 to UIA-76).
//!
//! A page is one form that posts to the URL of the page. Only the page after a completed stage has the
//! script that notifies the client. The engine handles a submitted form like any other attempt.
//! The function of the endpoint is responsible for routing and rate limits.

use std::borrow::Cow;

use ::http::StatusCode;
use askama::Template;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Auth, Login, OpenSession, Operation, StageType,
    engine::{self, FallbackOutcome},
    session::ParameterSource,
    stages::{
        self,
        threepid_page::{self, Step},
    },
};
use crate::{
    app::App,
    config::Flow,
    error::Rejection,
    http::{ClientNetwork, Query, Response},
    pages::{self, Allowed},
    passwords::PasswordHash,
    secrets::Secret,
    store::StoreError,
};

/// The form of a stage's page.
#[derive(Debug, Default)]
pub struct Form {
    /// The instruction.
    pub text: Cow<'static, str>,
    /// The documents that the user must read first.
    pub links: Vec<Link>,
    /// The input fields.
    pub fields: Vec<Field>,
    /// The widget of a captcha provider.
    pub widget: Option<Widget>,
    /// The label of the button.
    pub button: &'static str,
    /// The action of the button, on a page with several steps.
    pub action: Option<&'static str>,
    /// The action and the label of a second button.
    pub other: Option<(&'static str, &'static str)>,
    /// Whether the page reloads itself while it waits, for example until the link in an e-mail is opened.
    pub waits: bool,
}

/// An input field.
#[derive(Debug)]
pub struct Field {
    /// Its name in the form.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// The HTML attributes that control input and autofill.
    pub help: &'static str,
    /// The initial value.
    pub value: String,
    /// Whether the page keeps a submitted value if it shows the form again. Never true for a secret.
    pub is_kept: bool,
    /// The options of a select field. If there are none, the field is a text field.
    pub choices: Vec<String>,
}

impl Field {
    /// A text field without autofill.
    pub fn text(name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            label,
            help: "type=\"text\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\"",
            value: String::new(),
            is_kept: false,
            choices: Vec::new(),
        }
    }
}

impl Form {
    /// Sets the fields to the submitted values, as far as the page keeps them.
    fn keep(&mut self, submitted: &Query) {
        for field in self.fields.iter_mut().filter(|field| field.is_kept) {
            if let Some(value) = submitted.get(field.name) {
                value.clone_into(&mut field.value);
            }
        }
    }
}

/// A link to a document in one language.
#[derive(Debug)]
pub struct Link {
    /// The language code.
    pub language: String,
    /// The title.
    pub name: String,
    /// The URL.
    pub url: String,
}

/// The widget of a captcha provider.
#[derive(Debug)]
pub struct Widget {
    /// The URL of its script.
    pub script_url: String,
    /// The class of the element that the script fills.
    pub class: &'static str,
    /// The site key.
    pub site_key: String,
    /// Further sources of the script, for the content security policy.
    pub sources: &'static str,
}

/// Notifies the client that the stage is completed (UIA-71): the app that embeds the page, or the
/// window that opened it.
const DONE_SCRIPT: &str = "if(window.onAuthDone){window.onAuthDone()}else if(window.opener&&window.opener.postMessage){window.opener.postMessage('authDone','*')}";

#[derive(Template)]
#[template(path = "stage.html")]
struct StagePage<'a> {
    style: &'static str,
    server: &'a str,
    what: &'a str,
    form: &'a Form,
    error: Option<&'a str>,
    refresh: Option<Refresh<'a>>,
}

/// The query parameter with the number of reloads so far.
pub const RELOADS: &str = "reload";
/// The seconds between the reloads of a page that waits. The last value repeats.
const RELOAD_SECONDS: [u8; 4] = [5, 5, 10, 20];

/// The next reload of a page that waits.
struct Refresh<'a> {
    seconds: u8,
    /// The number of reloads after it.
    reloads: usize,
    session: &'a str,
}

/// The one parameter of a registration that a page shows.
#[derive(Default, Deserialize)]
struct RequestedName {
    username: Option<String>,
}

/// The session and the stage of a page.
#[derive(Debug)]
pub struct Visit {
    session: OpenSession,
    /// The stored password hash of the session's user, if there is one.
    password: Option<PasswordHash>,
    stage: StageType,
    flows: Vec<Flow>,
}

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
    Ok(Some(Visit {
        session,
        password,
        stage,
        flows,
    }))
}

impl Visit {
    /// Whether the page waits for a link in an e-mail and reloads itself.
    pub fn waits(&self, app: &App) -> bool {
        stages::form(self.stage, &app.config, &self.session.state).waits
    }

    /// The page with the stage's form, after a number of reloads. Showing the page completes no stage (UIA-73): if the stage waits for a
    /// link that has been confirmed in the meantime, the client's next request completes the stage.
    pub async fn show(&self, app: &App, reloads: usize) -> Result<Response, Rejection> {
        if self.session.has_completed(self.stage) || self.session.is_finished() {
            return Ok(done(app));
        }
        if !self.is_next() {
            return Ok(not_yet(app));
        }
        if threepid_page::is_validated(app, &self.session, self.stage).await? {
            return Ok(done(app));
        }
        Ok(self.page(app, StatusCode::OK, None, &Query::default(), reloads))
    }

    fn is_next(&self) -> bool {
        self.session.state.is_next(&self.flows, self.stage)
    }

    /// Attempts the stage with the submitted form. A success is saved in the session (UIA-72).
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
            Step::Attempt => {}
            Step::Show(error) => {
                self.session
                    .save_merged(app, ParameterSource::Stored, None)
                    .await?;
                let status = error.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
                let error = error.map(|(_, text)| text);
                return Ok(self.page(app, status, error.as_deref(), form, 0));
            }
        }
        if self.stage == StageType::Terms && self.session.show_policies(&app.config) {
            // The operator has published other policies since the session showed them. The user must
            // see the current policies before accepting them.
            self.session
                .save_merged(app, ParameterSource::Stored, None)
                .await?;
            let error = "The policies have changed. Please read them again";
            return Ok(self.page(app, StatusCode::UNAUTHORIZED, Some(error), form, 0));
        }
        let members = stages::members_of_form(self.stage, form, &self.session.state);
        let members: Map<String, Value> = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let auth = Auth::of_form(self.session.id().clone(), self.stage.as_str(), members);
        let (flows, session, password) = (&self.flows, &mut self.session, self.password.take());
        match engine::complete_stage(app, flows, session, &auth, password, network).await? {
            FallbackOutcome::Done => Ok(done(app)),
            FallbackOutcome::Refused(error) => {
                let (status, error) = (StatusCode::UNAUTHORIZED, Some(error.message));
                Ok(self.page(app, status, error, form, 0))
            }
        }
    }

    /// The description of the operation on the page. It allows the user to notice a request that another person has
    /// made.
    fn activity(&self) -> String {
        let state = &self.session.state;
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
        let mut form = stages::form(self.stage, &app.config, &self.session.state);
        form.keep(submitted);
        let last = RELOAD_SECONDS.len() - 1;
        let refresh = form.waits.then(|| Refresh {
            seconds: RELOAD_SECONDS[reloads.min(last)],
            reloads: (reloads + 1).min(last),
            session: self.session.id().reveal(),
        });
        let server = app.config.server_name.as_str();
        let activity = self.activity();
        let what = format!(
            "You are {activity} on {server}. Continue only if you asked for this just now."
        );
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
            refresh,
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
