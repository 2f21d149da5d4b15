//! Fallback pages: a stage in a browser, for clients that do not know it (UIA-70 to UIA-76).
//!
//! A page is one form that posts to its own URL; only the page after a completed stage carries the
//! script that tells the client. The form goes through the engine like any other attempt. Knows
//! the pages and not the HTTP around them.

use ::http::StatusCode;
use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Auth, OpenSession, StageType,
    engine::{self, StageOutcome},
    session::Parameters,
};
use crate::{
    app::App,
    config::Flow,
    error::{MatrixError, Rejection},
    http::{Content, Network, Query, Response},
    secrets::Secret,
};

/// What a stage's page asks.
#[derive(Debug, Default)]
pub struct Form {
    /// What is to be done.
    pub text: &'static str,
    /// What there is to read first.
    pub links: Vec<Link>,
    /// Name and label of a field to fill in.
    pub field: Option<(&'static str, &'static str)>,
    /// A captcha.
    pub widget: Option<Widget>,
    /// What the button says.
    pub button: &'static str,
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

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem;color:#222;background:#fff;overflow-wrap:anywhere}\
h1{font-size:1.3rem}label{display:block}input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem;margin:.2rem 0 1rem}form>div{margin-bottom:1rem}\
button{font:inherit;padding:.5rem 1.2rem;border:0;border-radius:.3rem;background:#0b6e4f;color:#fff;cursor:pointer}\
.error{color:#a40000}.what{color:#555}";

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

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    style: &'static str,
    server: &'a str,
    title: &'a str,
    text: &'a str,
    script: Option<&'static str>,
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
    // Registration is the one operation so far; others bring flows of their own.
    let flows = app.config.flows().to_vec();
    if !flows.iter().flatten().any(|own| *own == stage) {
        return Ok(None);
    }
    let session = OpenSession::find(app, &Secret::new(session.to_owned())).await?;
    Ok(session.map(|session| Visit {
        session,
        stage,
        flows,
    }))
}

impl Visit {
    /// The page with the stage's form. Showing it completes nothing (UIA-73).
    pub fn show(&self, app: &App) -> Response {
        if self.session.has_completed(self.stage) || self.session.is_finished() {
            return done(app);
        }
        if !engine::is_next(&self.flows, &self.session, self.stage) {
            return message(
                app,
                StatusCode::BAD_REQUEST,
                "Not yet",
                "Another step comes before this one. Go back to your app.",
            );
        }
        self.page(app, StatusCode::OK, None)
    }

    /// Judges the submitted form; if it is good, the stage is done in the session (UIA-72).
    pub async fn submit(
        mut self,
        app: &App,
        form: &Query,
        network: Network,
    ) -> Result<Response, Rejection> {
        if self.session.is_finished() {
            return Ok(done(app));
        }
        if self.stage == StageType::Terms && self.session.show_policies(&app.config) {
            // They have changed since the session last showed them: accepting is for the new ones.
            self.session
                .save_merged(app, Parameters::Stored, None)
                .await?;
            let error = "The policies have changed: please read them again";
            return Ok(self.page(app, StatusCode::UNAUTHORIZED, Some(error)));
        }
        let members: Map<String, Value> = self
            .stage
            .members_of_form(form)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let auth = Auth::of_form(
            self.session.secret_id().clone(),
            self.stage.as_str(),
            members,
        );
        match engine::complete_stage(app, &self.flows, &mut self.session, &auth, network).await? {
            StageOutcome::Done => Ok(done(app)),
            StageOutcome::Refused(why) => {
                Ok(self.page(app, StatusCode::UNAUTHORIZED, Some(why.message)))
            }
        }
    }

    fn page(&self, app: &App, status: StatusCode, error: Option<&str>) -> Response {
        let form = self.stage.form(&app.config, &self.session.state.shown);
        let server = app.config.server_name.as_str();
        let name = self.session.state.parameters["username"].as_str();
        let what = match name {
            Some(name) => format!(
                "You are creating the account “{name}” on {server}. Go on only if you asked for it just now."
            ),
            None => format!(
                "You are creating an account on {server}. Go on only if you asked for it just now."
            ),
        };
        let sources = form
            .widget
            .as_ref()
            .map(|widget| format!("{} {}", widget.script_url, widget.sources));
        let page = StagePage {
            style: STYLE,
            server,
            what: &what,
            form: &form,
            error,
        };
        html(status, &page, sources.as_deref(), None)
    }
}

fn done(app: &App) -> Response {
    let page = MessagePage {
        style: STYLE,
        server: app.config.server_name.as_str(),
        title: "Thank you",
        text: "You may now close this window and go back to your app.",
        script: Some(DONE_SCRIPT),
    };
    html(StatusCode::OK, &page, None, Some(DONE_SCRIPT))
}

/// A page that only says something: a failure, most of the time (HTTP-28).
pub fn message(app: &App, status: StatusCode, title: &str, text: &str) -> Response {
    let page = MessagePage {
        style: STYLE,
        server: app.config.server_name.as_str(),
        title,
        text,
        script: None,
    };
    html(status, &page, None, None)
}

fn html(
    status: StatusCode,
    page: &impl Template,
    sources: Option<&str>,
    script: Option<&str>,
) -> Response {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let scripts = match (sources, script) {
        (Some(sources), _) => {
            format!("; script-src {sources}; frame-src {sources}; connect-src {sources}")
        }
        (None, Some(script)) => format!("; script-src {}", hash(script)),
        (None, None) => String::new(),
    };
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         style-src {} {}{scripts}",
        hash(STYLE),
        sources.unwrap_or_default()
    );
    // The templates are compiled in and write to memory: rendering does not fail.
    let page = page.render().unwrap_or_default();
    Response {
        status,
        content: Content::Html { page, policy },
        retry_after: None,
    }
}
