//! The page of a stage: its form, and the attempt of the stage with the submitted form. The fallback pages and the pages
//! of the sign-up show these forms.

use std::borrow::Cow;

use ::http::StatusCode;
use askama::Template;
use serde_json::{Map, Value};

use super::{
    Auth, OpenSession, StageType,
    engine::{self, PageOutcome},
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
    oauth_pages::FormStart,
    pages::{self, Allowed},
    passwords::PasswordHash,
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

#[derive(Template)]
#[template(path = "stage.html")]
struct StagePage<'a> {
    style: &'static str,
    server: &'a str,
    frame: &'a Frame<'a>,
    form: &'a Form,
    refresh: Option<Refresh>,
}

/// The query parameter with the number of reloads so far.
pub const RELOADS: &str = "reload";
/// The seconds between the reloads of a page that waits. The last value repeats.
const RELOAD_SECONDS: [u8; 4] = [5, 5, 10, 20];

/// The next reload of a page that waits.
struct Refresh {
    seconds: u8,
    /// The number of reloads after it.
    reloads: usize,
}

/// The parts of the page around the form.
#[derive(Debug, Default)]
pub struct Frame<'a> {
    /// The description of the operation.
    pub what: &'a str,
    /// The reason why the last form was not accepted.
    pub error: Option<&'a str>,
    /// The values of the last form.
    pub submitted: Query,
    /// The start of the form. If it is absent, the form posts to the URL of the page.
    pub form: Option<FormStart>,
    /// Further hidden fields of the form.
    pub hidden: Vec<(&'static str, &'a str)>,
    /// The query of the URL from which a page that waits reloads itself.
    pub query: Vec<(&'static str, &'a str)>,
    /// The number of reloads so far.
    pub reloads: usize,
    /// The URLs and the labels of links below the form.
    pub links: Vec<(String, &'static str)>,
}

/// A stage of a stored session.
#[derive(Debug)]
pub struct StageVisit {
    /// The session.
    pub session: OpenSession,
    /// The stored password hash of the session's user, if there is one.
    pub(super) password: Option<PasswordHash>,
    pub(super) stage: StageType,
    pub(super) flows: Vec<Flow>,
}

/// The outcome of a submitted form.
#[derive(Debug)]
pub enum Submitted {
    /// The stage is completed and the session is saved.
    Done,
    /// The page shows the form again, or the next form of the same stage. An error says why.
    Show(Option<(StatusCode, Cow<'static, str>)>),
}

impl StageVisit {
    /// A stage of a session without a user. Returns `None` if the session does not offer the stage.
    pub fn without_user(app: &App, session: OpenSession, stage: StageType) -> Option<Self> {
        let flows = session.state.scope.flow_set.flows(&app.config);
        let is_offered = flows.iter().flatten().any(|own| *own == stage);
        is_offered.then_some(Self {
            session,
            password: None,
            stage,
            flows,
        })
    }

    /// The stage.
    pub fn stage(&self) -> StageType {
        self.stage
    }

    /// Whether the page waits for a link in an e-mail and reloads itself.
    pub fn waits(&self, app: &App) -> bool {
        stages::form(self.stage, &app.config, &self.session.state).waits
    }

    /// Whether the stage is the next one of a flow.
    pub fn is_next(&self) -> bool {
        self.session.state.is_next(&self.flows, self.stage)
    }

    /// Whether the stage waits for a 3PID that has been validated in the meantime.
    pub async fn is_validated(&self, app: &App) -> Result<bool, StoreError> {
        threepid_page::is_validated(app, &self.session, self.stage).await
    }

    /// Attempts the stage, which must be the next one or a completed one, with the submitted form. A success is saved in
    /// the session.
    pub async fn attempt(
        &mut self,
        app: &App,
        form: &Query,
        network: ClientNetwork,
    ) -> Result<Submitted, Rejection> {
        let (session, stage) = (&mut self.session, self.stage);
        match threepid_page::submit(app, session, stage, form, network).await? {
            Step::Attempt => {}
            Step::Show(error) => {
                self.session
                    .save_merged(app, ParameterSource::Stored, None)
                    .await?;
                let error = error.map(|(status, text)| (status, text.into()));
                return Ok(Submitted::Show(error));
            }
        }
        if self.stage == StageType::Terms && self.session.show_policies(&app.config) {
            // The operator has published other policies since the session showed them. The user must
            // see the current policies before accepting them.
            self.session
                .save_merged(app, ParameterSource::Stored, None)
                .await?;
            let error = "The policies have changed. Please read them again";
            return Ok(Submitted::Show(Some((
                StatusCode::UNAUTHORIZED,
                error.into(),
            ))));
        }
        let members = stages::members_of_form(self.stage, form, &self.session.state);
        let members: Map<String, Value> = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let auth = Auth::of_form(self.session.id().clone(), self.stage.as_str(), members);
        let (flows, session, password) = (&self.flows, &mut self.session, self.password.take());
        match engine::complete_stage(app, flows, session, &auth, password, network).await? {
            PageOutcome::Done => Ok(Submitted::Done),
            PageOutcome::Refused(error) => {
                let (status, error) = (StatusCode::UNAUTHORIZED, error.message.into());
                Ok(Submitted::Show(Some((status, error))))
            }
        }
    }

    /// The page.
    pub fn page(&self, app: &App, status: StatusCode, frame: &Frame<'_>) -> Response {
        let form = stages::form(self.stage, &app.config, &self.session.state);
        Self::page_with(app, status, form, frame)
    }

    /// The page after the 3PID has been validated. Its button completes the stage.
    pub fn validated_page(&self, app: &App, frame: &Frame<'_>) -> Response {
        Self::page_with(app, StatusCode::OK, threepid_page::validated_form(), frame)
    }

    fn page_with(app: &App, status: StatusCode, mut form: Form, frame: &Frame<'_>) -> Response {
        form.keep(&frame.submitted);
        let last = RELOAD_SECONDS.len() - 1;
        let refresh = form.waits.then(|| Refresh {
            seconds: RELOAD_SECONDS[frame.reloads.min(last)],
            reloads: (frame.reloads + 1).min(last),
        });
        let sources = form
            .widget
            .as_ref()
            .map(|widget| format!("{} {}", widget.script_url, widget.sources));
        let page = StagePage {
            style: pages::STYLE,
            server: app.config.server_name.as_str(),
            frame,
            form: &form,
            refresh,
        };
        let allowed = Allowed {
            sources: sources.as_deref(),
            ..Allowed::default()
        };
        pages::html(status, &page, allowed)
    }
}
