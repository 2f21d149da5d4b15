//! `POST`: the first form, or the form of a stage.

use http::StatusCode;
use shared::{
    accounts,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{ClientNetwork, Query, Request, Response},
    limits::{self, Limit},
    oauth::{UnanswerableError, browser_sessions},
    oauth_pages::{
        Browser, FormError, Submission,
        consent::{self, Consent},
        sign_up::SESSION_FIELD,
    },
    registration::{self, BrowserRegistration, Parameters, SignedUp},
    secrets::Secret,
    store::StoreError,
    uia::{
        OpenSession, StageType,
        stage_page::{StageVisit, Submitted},
    },
};

use crate::{
    failure::Failure,
    pages::{self, PageError, Pages, STAGE, username},
    show,
    visitor::{SignUpKey, Visitor},
};

/// The maximum number of registration requests for one form. A flow has fewer stages that need no form.
const MAX_REQUESTS: usize = 4;

/// Handles a form.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let (context, sealed) = submission.context(app)?;
    let visitor = Visitor {
        sealed: sealed.to_owned(),
        context,
        browser: submission.browser,
    };
    if accounts::ensure_registration_open(&app.config).is_err() {
        return Ok(show::closed(app, &visitor));
    }
    let (form, network) = (&submission.form, request.network);
    match form.get("username") {
        Some(name) => details(app, &visitor, form, name, network).await,
        None => step(app, &visitor, form, network).await,
    }
}

/// The first form: username and password.
async fn details(
    app: &App,
    visitor: &Visitor,
    form: &Query,
    name: &str,
    network: ClientNetwork,
) -> Result<Response, Failure> {
    limits::consume(app, Limit::FallbackPage, network).await?;
    let name = name.trim();
    let field = |name| form.get(name).unwrap_or_default();
    let password = Secret::new(field("password").to_owned());
    let begun = match form.get(SESSION_FIELD) {
        Some(_) => Some(SignUpKey::parse(form).ok_or(FormError::OutOfDate)?),
        None => None,
    };
    let missing = if name.is_empty() {
        Some("Enter a username")
    } else if password.reveal().is_empty() {
        Some("Enter a password")
    } else if password.reveal() != field("password_again") {
        Some("The two passwords are different")
    } else {
        None
    };
    if let Some(text) = missing {
        let error = (StatusCode::BAD_REQUEST, text.into());
        return Ok(pages::details(
            app,
            visitor,
            begun.as_ref(),
            name,
            Some(&error),
        ));
    }
    let session = match &begun {
        Some(key) => {
            let found = visitor.find_session(app, key).await?;
            Some(found.ok_or(FormError::OutOfDate)?)
        }
        None => None,
    };
    let key = begun.unwrap_or_else(|| visitor.first_key(app, name, &password));
    let given = Parameters {
        username: Some(name.to_owned()),
        password: Some(password),
        ..Parameters::default()
    };
    let sign_up = SignUp::new(app, visitor, &key, network);
    sign_up.register(given, session).await
}

/// The form of a stage, or the button of a page without a form.
async fn step(
    app: &App,
    visitor: &Visitor,
    form: &Query,
    network: ClientNetwork,
) -> Result<Response, Failure> {
    let key = SignUpKey::parse(form).ok_or(FormError::OutOfDate)?;
    let (charged, session) = tokio::join!(
        limits::consume(app, Limit::FallbackPage, network),
        visitor.find_session(app, &key)
    );
    charged?;
    let mut session = session?.ok_or(FormError::OutOfDate)?;
    let sign_up = SignUp::new(app, visitor, &key, network);
    if let Some(stage) = form.get(STAGE)
        && !session.is_finished()
    {
        let stage = StageType::parse(stage).ok_or(FormError::OutOfDate)?;
        let visit = StageVisit::without_user(app, session, stage);
        let mut visit = visit.ok_or(FormError::OutOfDate)?;
        if !visit.is_next() && !visit.session.has_completed(stage) {
            let text = "Another step must be completed first";
            let error = (StatusCode::BAD_REQUEST, text.into());
            return Ok(sign_up.pages.next_with_error(visit.session, &error));
        }
        session = match visit.attempt(app, form, network).await {
            Ok(Submitted::Done) => visit.session,
            Ok(Submitted::Show(error)) => {
                return Ok(sign_up.pages.stage(&visit, error.as_ref(), form));
            }
            // A concurrent request with the same form may have completed the sign-up.
            Err(error) => {
                let found = visitor.find_session(app, &key).await?;
                found.filter(OpenSession::is_finished).ok_or(error)?
            }
        };
    }
    sign_up.advance(session).await
}

/// A sign-up that has begun.
struct SignUp<'a> {
    pages: Pages<'a>,
    network: ClientNetwork,
}

impl<'a> SignUp<'a> {
    fn new(app: &'a App, visitor: &'a Visitor, key: &'a SignUpKey, network: ClientNetwork) -> Self {
        let pages = Pages { app, visitor, key };
        Self { pages, network }
    }

    /// Shows the next stage, or creates the account.
    async fn advance(&self, session: OpenSession) -> Result<Response, Failure> {
        match self.pages.next_stages(&session)[..] {
            [] | [StageType::Dummy] => self.register(Parameters::default(), Some(session)).await,
            _ if session.is_finished() => self.register(Parameters::default(), Some(session)).await,
            _ => Ok(self.pages.next(session, None, &Query::default()).await?),
        }
    }

    /// Sends the registration request. No page shows the stage `m.login.dummy` alone, because it needs no input.
    async fn register(
        &self,
        mut given: Parameters,
        mut session: Option<OpenSession>,
    ) -> Result<Response, Failure> {
        let Pages { app, visitor, .. } = self.pages;
        for _ in 0..MAX_REQUESTS {
            let next = match &session {
                Some(session) => self.pages.next_stages(session),
                None => self.first_stages(),
            };
            let registration = BrowserRegistration {
                starts_session: session.is_none(),
                given: std::mem::take(&mut given),
                session: visitor.session(self.pages.key),
                stage: (next == [StageType::Dummy]).then_some(StageType::Dummy),
                network: self.network,
                cookie: visitor.browser.cookie(),
            };
            let username = registration.given.username.clone();
            let error = match registration::register_in_browser(app, registration).await {
                Ok(signed_up) => return self.consent(signed_up).await,
                Err(Rejection::Error(error)) => {
                    match self.finished_meanwhile(session.as_ref(), &error).await? {
                        Some(finished) => session = Some(finished),
                        None => return self.error(error, username, session.is_some()).await,
                    }
                    continue;
                }
                Err(Rejection::Challenge(challenge)) => challenge.message(),
            };
            let found = visitor.find_session(app, self.pages.key).await?;
            let found = found.ok_or(FormError::OutOfDate)?;
            if let Some(text) = error {
                let error = (StatusCode::UNAUTHORIZED, text.into());
                return Ok(self.pages.next_with_error(found, &error));
            }
            if self.pages.next_stages(&found) != [StageType::Dummy] {
                return Ok(self.pages.next(found, None, &Query::default()).await?);
            }
            session = Some(found);
        }
        Err(FormError::OutOfDate.into())
    }

    /// The session, if a concurrent request with the same form has completed it since `before` was read. The rows of the
    /// transaction become visible one by one, so the name can be taken before the session is finished. The next request
    /// gets the stored response.
    async fn finished_meanwhile(
        &self,
        before: Option<&OpenSession>,
        error: &MatrixError,
    ) -> Result<Option<OpenSession>, StoreError> {
        let may_follow = matches!(error.code, ErrorCode::UserInUse | ErrorCode::InvalidParam);
        if !may_follow || before.is_some_and(OpenSession::is_finished) {
            return Ok(None);
        }
        let Pages { app, visitor, key } = self.pages;
        let found = visitor.find_session(app, key).await?;
        Ok(found.filter(OpenSession::is_finished))
    }

    /// The first stages of all flows.
    fn first_stages(&self) -> Vec<StageType> {
        let flows = self.pages.app.config.flows().iter();
        let mut first: Vec<_> = flows.filter_map(|flow| flow.first().copied()).collect();
        first.dedup();
        first
    }

    /// The page for an error of the registration request.
    async fn error(
        &self,
        error: MatrixError,
        username_of_form: Option<String>,
        has_begun: bool,
    ) -> Result<Response, Failure> {
        let Pages { app, visitor, key } = self.pages;
        let page_error: PageError = (error.code.status(), error.message.clone());
        match error.code {
            ErrorCode::InvalidUsername
            | ErrorCode::UserInUse
            | ErrorCode::Exclusive
            | ErrorCode::WeakPassword
            | ErrorCode::InvalidParam => {}
            ErrorCode::ThreePidInUse | ErrorCode::ThreePidDeniedError => {
                let session = visitor.find_session(app, key).await?;
                let session = session.ok_or(FormError::OutOfDate)?;
                return Ok(self.pages.next_with_error(session, &page_error));
            }
            _ => return Err(error.into()),
        }
        let session = visitor.find_session(app, key).await?;
        if session.as_ref().is_some_and(OpenSession::is_finished) {
            return Err(Failure::Completed);
        }
        let name = username_of_form.or_else(|| session.as_ref().map(username));
        let begun = (has_begun && session.is_some()).then_some(key);
        let name = name.unwrap_or_default();
        Ok(pages::details(
            app,
            visitor,
            begun,
            &name,
            Some(&page_error),
        ))
    }

    /// The consent page for the new user, who gets a new cookie (OA-55).
    async fn consent(&self, signed_up: SignedUp) -> Result<Response, Failure> {
        let Pages { app, visitor, .. } = self.pages;
        let client_id = &visitor.context.request.client_id;
        let (client, _) = browser_sessions::find_with_client(app, client_id, None).await?;
        let client = client.ok_or(UnanswerableError::Client)?;
        let browser = Browser::with_new_cookie(signed_up.cookie);
        let context = visitor.context.clone().after_login();
        let consent = Consent {
            context: &context,
            client: &client,
            user: &signed_up.user,
            replaces_device: false,
            is_returning: false,
        };
        Ok(consent::page(app, &browser, &consent))
    }
}
