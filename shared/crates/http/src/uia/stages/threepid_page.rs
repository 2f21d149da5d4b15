//! The fallback pages of the address stages: ask for the address, send, and wait for the link or
//! take the code. The page has a validation session of its own, whose secret its UIA session keeps.

use ::http::StatusCode;

use super::{
    StageType,
    threepid::{Asked, PendingValidation, purpose},
};
use crate::{
    app::App,
    config::Config,
    error::{ErrorCode, MatrixError},
    http::{ClientNetwork, Query},
    secrets::Secret,
    store::StoreError,
    threepid_validation::{self, SubmittedToken, ValidationRequest, ValidationState},
    threepids::{self, Medium},
    uia::{
        OpenSession,
        fallback::{Field, Form},
        session::SessionState,
    },
};

const CHECK: &str = "check";
const RESTART: &str = "restart";
const OTHER: Option<(&str, &str)> = Some((RESTART, "Send it again, or to another address"));

/// What a submitted form leads to.
pub(in crate::uia) enum Step {
    /// The page again, with what was wrong.
    Show(Option<(StatusCode, String)>),
    /// An attempt of the stage.
    UiaAttempt,
}

pub(super) fn form(stage: StageType, config: &Config, session: &SessionState) -> Form {
    let asked = session
        .awaited
        .get(&stage)
        .and_then(PendingValidation::shown);
    match (stage.medium(), asked) {
        (Some(Medium::Msisdn), Some(asked)) => Form {
            text: format!("We have sent a code to {}. Please enter it here.", asked.to).into(),
            fields: vec![Field {
                help: "type=\"text\" inputmode=\"numeric\" autocomplete=\"one-time-code\" maxlength=\"12\"",
                ..Field::word("code", "Code")
            }],
            button: "Continue",
            action: Some(CHECK),
            other: OTHER,
            ..Form::default()
        },
        (Some(Medium::Msisdn), None) => Form {
            text: "Please enter your phone number: we will send a code to it.".into(),
            fields: vec![
                Field {
                    choices: config
                        .sms
                        .iter()
                        .flat_map(|sms| sms.countries.iter().cloned())
                        .collect(),
                    ..Field::word("country", "Country")
                },
                Field {
                    help: "type=\"tel\" autocomplete=\"tel\"",
                    ..Field::word("phone_number", "Phone number")
                },
            ],
            button: "Send the code",
            ..Form::default()
        },
        (_, Some(asked)) => Form {
            text: format!(
                "We have sent a mail to {}. Please open the link in it; this page will go on by itself.",
                asked.to
            )
            .into(),
            button: "I have opened it",
            action: Some(CHECK),
            other: OTHER,
            waits: true,
            ..Form::default()
        },
        (_, None) => Form {
            text: "Please enter your e-mail address: we will send a link to it.".into(),
            fields: vec![Field {
                help: "type=\"email\" autocomplete=\"email\"",
                ..Field::word("email", "E-mail address")
            }],
            button: "Send the mail",
            ..Form::default()
        },
    }
}

/// Whether what the page waits for has come.
pub(in crate::uia) async fn has_arrived(
    app: &App,
    session: &OpenSession,
    stage: StageType,
) -> Result<bool, StoreError> {
    let Some(awaited) = session.state.awaited.get(&stage) else {
        return Ok(false);
    };
    let row = app.store.find_validation(&awaited.sid).await?;
    Ok(row.is_some_and(|row| {
        row.state == ValidationState::Validated
            && threepid_validation::is_active(&row, app.clock.now())
    }))
}

/// Does what a step of the page asks for.
pub(in crate::uia) async fn submit(
    app: &App,
    session: &mut OpenSession,
    stage: StageType,
    form: &Query,
    network: ClientNetwork,
) -> Result<Step, MatrixError> {
    let Some(medium) = stage.medium() else {
        return Ok(Step::UiaAttempt);
    };
    let asked = session
        .state
        .awaited
        .get(&stage)
        .and_then(|awaited| Some((awaited.sid.clone(), awaited.shown()?.clone())));
    let done = match (form.get("action"), asked) {
        (Some(CHECK), Some((sid, asked))) => match medium {
            Medium::Email => return Ok(Step::UiaAttempt),
            Medium::Msisdn => match check(app, &sid, &asked, form, network).await {
                Ok(()) => return Ok(Step::UiaAttempt),
                Err(error) => Err(error),
            },
        },
        (Some(RESTART), Some(_)) => {
            if let Some(awaited) = session.state.awaited.get_mut(&stage) {
                awaited.asks_again = true;
            }
            Ok(())
        }
        _ => send(app, session, stage, form, network).await,
    };
    match done {
        Ok(()) => Ok(Step::Show(None)),
        Err(error) if error.code == ErrorCode::Unknown => Err(error),
        Err(error) => Ok(Step::Show(Some((
            error.code.status(),
            error.message.into_owned(),
        )))),
    }
}

async fn check(
    app: &App,
    sid: &str,
    asked: &Asked,
    form: &Query,
    network: ClientNetwork,
) -> Result<(), MatrixError> {
    let code = form.get("code").unwrap_or_default();
    let token = SubmittedToken {
        medium: Medium::Msisdn,
        sid,
        client_secret: Some(&Secret::new(asked.client_secret.clone())),
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
    let Some(purpose) = purpose(&session.state.binding) else {
        return Ok(());
    };
    if !sends(&app.config, stage) {
        return Err(MatrixError::new(
            ErrorCode::ThreePidMediumNotSupported,
            "This server sends no such message: please go back to your application, which asks an identity server",
        ));
    }
    let earlier = session
        .state
        .awaited
        .get(&stage)
        .and_then(|awaited| awaited.asked.clone());
    let attempt = earlier.as_ref().map_or(0, |asked| asked.attempt) + 1;
    let client_secret = earlier.map_or_else(|| app.rng.base64::<24>(), |asked| asked.client_secret);
    let secret = Secret::new(client_secret.clone());
    let (to, country, shown) = recipient(app, stage, form)?;
    threepids::check_allowed(&app.config, &to)?;
    let wish = ValidationRequest {
        purpose,
        to: &to,
        country: country.as_deref(),
        client_secret: &secret,
        send_attempt: attempt,
        next_link: None,
    };
    let sid = threepid_validation::request(app, wish, network).await?;
    let awaited = PendingValidation {
        sid,
        asked: Some(Asked {
            client_secret,
            attempt,
            to: shown,
        }),
        asks_again: false,
        elsewhere: None,
    };
    session.state.awaited.insert(stage, awaited);
    Ok(())
}

/// Whether this server sends what the stage needs, or an identity server alone does.
fn sends(config: &Config, stage: StageType) -> bool {
    match stage.medium() {
        Some(Medium::Email) => config.mail.is_some(),
        Some(Medium::Msisdn) => config.sms.is_some(),
        None => false,
    }
}

/// Whom the form names: the canonical address, a number's country, and how it is shown.
fn recipient(
    app: &App,
    stage: StageType,
    form: &Query,
) -> Result<(threepids::ThreePid, Option<String>, String), MatrixError> {
    let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
    if let (Some(Medium::Msisdn), Some(sms)) = (stage.medium(), &app.config.sms) {
        let phone = threepids::parse_phone(sms, &field("country"), &field("phone_number"))?;
        let shown = masked_number(&phone.readable);
        return Ok((phone.threepid, Some(phone.country), shown));
    }
    let email = threepids::parse_email(&field("email")).ok_or_else(|| {
        MatrixError::new(
            ErrorCode::InvalidParam,
            "That is not an e-mail address we can write to",
        )
    })?;
    let shown = masked_mailbox(&email.address);
    Ok((email, None, shown))
}

/// Enough of a number for whoever typed it: the page's URL may be read by others.
fn masked_number(readable: &str) -> String {
    let shown = readable.chars().count().saturating_sub(3);
    let ending: String = readable.chars().skip(shown).collect();
    format!("the number that ends in {ending}")
}

fn masked_mailbox(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or_default();
    let first: String = local.chars().take(1).collect();
    format!("{first}\u{2026}@{domain}")
}
