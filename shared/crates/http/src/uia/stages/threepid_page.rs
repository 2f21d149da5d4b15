//! The fallback pages of the 3PID stages. A page asks for the 3PID, sends a message, and then waits for
//! its link or asks for its code. The page uses a separate validation session. The UIA session stores the
//! client secret.

use ::http::StatusCode;

use super::{
    StageType,
    threepid::{PageState, PendingValidation, purpose},
};
use crate::{
    app::App,
    config::Config,
    error::{ErrorCode, MatrixError},
    http::{ClientNetwork, Query},
    recipients::{self, Recipient},
    secrets::{KeyPurpose, Secret, fields},
    store::StoreError,
    threepid_validation::{self, SubmittedToken, ValidationRequest, ValidationState},
    threepids::Medium,
    uia::{
        OpenSession, SessionState,
        stage_page::{Field, Form},
    },
};

/// The number of characters of a page's client secret.
const SECRET_CHARS: usize = 32;

const CHECK: &str = "check";
const RESTART: &str = "restart";
const OTHER: Option<(&str, &str)> = Some((RESTART, "Send it again, or to another address"));

/// The next step after a submitted form.
pub(in crate::uia) enum Step {
    /// Show the page again, with the error if there was one.
    Show(Option<(StatusCode, String)>),
    /// Attempt the stage.
    Attempt,
}

pub(super) fn form(stage: StageType, config: &Config, session: &SessionState) -> Form {
    let request = session
        .pending
        .get(&stage)
        .and_then(PendingValidation::shown);
    match (stage.medium(), request) {
        (Some(Medium::Msisdn), Some(request)) => Form {
            text: format!("We have sent a code to {}. Please enter it here.", request.to).into(),
            fields: vec![Field {
                help: "type=\"text\" inputmode=\"numeric\" autocomplete=\"one-time-code\" maxlength=\"12\"",
                ..Field::text("code", "Code")
            }],
            button: "Continue",
            action: Some(CHECK),
            other: OTHER,
            ..Form::default()
        },
        (Some(Medium::Msisdn), None) => Form {
            text: "Please enter your phone number. We will send a code to it.".into(),
            fields: vec![
                Field {
                    choices: config
                        .sms
                        .iter()
                        .flat_map(|sms| sms.countries.iter().cloned())
                        .collect(),
                    is_kept: true,
                    ..Field::text("country", "Country")
                },
                Field {
                    help: "type=\"tel\" autocomplete=\"tel\"",
                    is_kept: true,
                    ..Field::text("phone_number", "Phone number")
                },
            ],
            button: "Send the code",
            ..Form::default()
        },
        (_, Some(request)) => Form {
            text: format!(
                "We have sent a mail to {}. Please open the link in it. This page then continues by itself.",
                request.to
            )
            .into(),
            button: "I have opened it",
            action: Some(CHECK),
            other: OTHER,
            waits: true,
            ..Form::default()
        },
        (_, None) => Form {
            text: "Please enter your e-mail address. We will send a link to it.".into(),
            fields: vec![Field {
                help: "type=\"email\" autocomplete=\"email\"",
                is_kept: true,
                ..Field::text("email", "E-mail address")
            }],
            button: "Send the mail",
            ..Form::default()
        },
    }
}

/// The form after the 3PID has been validated.
pub(in crate::uia) fn validated_form() -> Form {
    Form {
        text: "Your address is confirmed.".into(),
        button: "Continue",
        action: Some(CHECK),
        ..Form::default()
    }
}

/// Whether the validation session that the page waits for is validated.
pub(in crate::uia) async fn is_validated(
    app: &App,
    session: &OpenSession,
    stage: StageType,
) -> Result<bool, StoreError> {
    let Some(pending) = session.state.pending.get(&stage) else {
        return Ok(false);
    };
    let row = app.store.find_validation(&pending.sid).await?;
    Ok(row.is_some_and(|row| {
        row.state == ValidationState::Validated
            && threepid_validation::is_active(&row, app.clock.now())
    }))
}

/// Carries out the action of a submitted form.
pub(in crate::uia) async fn submit(
    app: &App,
    session: &mut OpenSession,
    stage: StageType,
    form: &Query,
    network: ClientNetwork,
) -> Result<Step, MatrixError> {
    let Some(medium) = stage.medium() else {
        return Ok(Step::Attempt);
    };
    let request = session
        .state
        .pending
        .get(&stage)
        .and_then(|pending| Some((pending.sid.clone(), pending.shown()?.clone())));
    let outcome = match (form.get("action"), request) {
        (Some(CHECK), Some((sid, request))) => match medium {
            Medium::Email => return Ok(Step::Attempt),
            Medium::Msisdn => match submit_code(app, &sid, &request, form, network).await {
                Ok(()) => return Ok(Step::Attempt),
                Err(error) => Err(error),
            },
        },
        (Some(RESTART), Some(_)) => {
            if let Some(pending) = session.state.pending.get_mut(&stage) {
                pending.asks_again = true;
            }
            Ok(())
        }
        _ => send(app, session, stage, form, network).await,
    };
    match outcome {
        Ok(()) => Ok(Step::Show(None)),
        Err(error) if error.code == ErrorCode::Unknown => Err(error),
        Err(error) => Ok(Step::Show(Some((
            error.code.status(),
            error.message.into_owned(),
        )))),
    }
}

async fn submit_code(
    app: &App,
    sid: &str,
    request: &PageState,
    form: &Query,
    network: ClientNetwork,
) -> Result<(), MatrixError> {
    let code = form.get("code").unwrap_or_default();
    let token = SubmittedToken {
        medium: Medium::Msisdn,
        sid,
        client_secret: Some(&request.client_secret),
        token: &Secret::new(code.to_owned()),
    };
    threepid_validation::submit(app, &token, network).await?;
    Ok(())
}

async fn send(
    app: &App,
    session: &mut OpenSession,
    stage: StageType,
    form: &Query,
    network: ClientNetwork,
) -> Result<(), MatrixError> {
    let Some(purpose) = purpose(&session.state.scope) else {
        return Ok(());
    };
    let Some(medium) = stage.medium() else {
        return Ok(());
    };
    if !recipients::sends(&app.config, medium) {
        return Err(MatrixError::new(
            ErrorCode::ThreePidMediumNotSupported,
            "This server sends no such messages. Go back to your app, which can use an identity server",
        ));
    }
    let earlier = session
        .state
        .pending
        .get(&stage)
        .and_then(|pending| pending.page.clone());
    let send_attempt = earlier.as_ref().map_or(0, |page| page.send_attempt) + 1;
    let client_secret = earlier.map_or_else(
        || page_secret(app, session, stage),
        |page| page.client_secret,
    );
    let to = Recipient::parse(app, medium, form)?;
    let request = ValidationRequest {
        purpose,
        to: &to.threepid,
        country: to.country.as_deref(),
        client_secret: &client_secret,
        send_attempt,
        next_link: None,
    };
    let sid = threepid_validation::request(app, request, network).await?;
    let pending = PendingValidation {
        sid,
        page: Some(PageState {
            client_secret,
            send_attempt,
            to: to.shown,
        }),
        asks_again: false,
        delegated: None,
    };
    session.state.pending.insert(stage, pending);
    Ok(())
}

/// The client secret of the page's validation session. It depends only on the UIA session and the stage: if a form is
/// submitted twice, both requests name the same validation session, and only one message is sent.
fn page_secret(app: &App, session: &OpenSession, stage: StageType) -> Secret {
    let id = session.id().reveal().as_bytes();
    let message = fields(&[b"page", id, stage.as_str().as_bytes()]);
    let hash = app.config.keys.hash(KeyPurpose::PageSecret, &message);
    // The ID of the key is not needed, and 192 bits are enough. A longer secret could make the row of the session cost
    // another write unit.
    let end = hash.len().saturating_sub(SECRET_CHARS);
    Secret::new(hash.get(end..).unwrap_or(&hash).to_owned())
}
