//! Users: everything that comes before UIA, UIA, and the one transaction that makes the account.

mod name;

use std::time::Duration;

use serde_json::Value;
use shared::{
    accounts::{CreateAccountError, NewAccount, NewDevice},
    app::App,
    appservices::Appservices,
    credentials,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, ClientNetwork, Request, Response as HttpResponse},
    identity_servers,
    ids::Localpart,
    limits::{self, Limit, LimitError},
    metrics::{self, Metric},
    passwords,
    secrets::Secret,
    store::{AccountKind, RegistrationFacts, RegistrationLookup},
    threepids::{self, Medium, ThreePidDeniedError},
    tokens::{self, Login},
    uia::{self, Auth, OpenSession, Prefetched, Replay, SessionScope, UiaAttempt, UiaCompletion},
};

use crate::{answer::Response, parameters::Parameters};
use name::Name;

/// How long after a session's end its token may not be visible yet.
const JUST_NOW: Duration = Duration::from_secs(2);
/// How long that is waited for.
const SETTLING: Duration = Duration::from_millis(100);
/// How often the finishing transaction is tried with another name that nobody chose, or another
/// share of the registration token.
const FINISH_TRIES: usize = 20;

pub(crate) async fn register(
    app: &App,
    request: &Request,
    body: &Body,
) -> Result<HttpResponse, Rejection> {
    let auth = Auth::parse(body)?;
    let asked = Parameters::parse(body)?;
    let (facts, prepared) = Box::pin(read(app, request, &auth, &asked)).await?;
    let appservices = app.refresh_appservices(facts.appservices).await?;
    let session = match (&auth.session, facts.session) {
        (Some(id), Some(row)) => OpenSession::open(app, id, row),
        _ => None,
    };
    let canonical = body.canonical();
    if let Some(session) = &session
        && let Some(response) = replay(app, session, &canonical).await?
    {
        return Ok(response);
    }
    let remembered: Parameters = session
        .as_ref()
        .and_then(|session| serde_json::from_value(session.state.parameters.clone()).ok())
        .unwrap_or_default();
    let asked = asked.over(remembered.clone());
    let news = asked.password != remembered.password || asked.username != remembered.username;
    let name = match name::check(app, &asked, facts.holder.as_ref(), &appservices).await {
        Ok(name) => name,
        // A twin may have taken the name, or upgraded the guest, between our reads.
        Err(why) => return unless_a_twin_was_quicker(app, &auth, &canonical, why).await,
    };
    if news {
        check_password(app, &asked)?;
    }
    let attempt = UiaAttempt {
        flows: app.config.flows(),
        binding: SessionScope::register(),
        parameters: serde_json::to_value(&asked).unwrap_or(Value::Null),
        auth: &auth,
        session,
        prepared,
        network: request.network,
        charged: begins(&auth) && !may_finish(app, &auth),
    };
    let proof = match Box::pin(uia::prove(app, attempt)).await {
        Ok(proof) => proof,
        // A twin may have finished the session while a stage was being judged.
        Err(why) => return unless_a_twin_was_quicker(app, &auth, &canonical, why).await,
    };
    let operation = Operation {
        asked: &asked,
        name,
        appservices: &appservices,
        canonical: &canonical,
    };
    let charged = may_finish(app, &auth);
    finish(app, request, proof, operation, charged).await
}

/// What is to be done once it is proven.
struct Operation<'a> {
    asked: &'a Parameters,
    name: Name,
    appservices: &'a Appservices,
    /// The request, by which a finished session knows it again.
    canonical: &'a str,
}

/// The first read, with the limits and whatever the attempted stage reads beside it.
async fn read(
    app: &App,
    request: &Request,
    auth: &Auth,
    asked: &Parameters,
) -> Result<(RegistrationFacts, Prefetched), Rejection> {
    let session = auth.session.as_ref().and_then(uia::session_key);
    let server = &app.config.server_name;
    let name = asked
        .username
        .as_deref()
        .and_then(|text| Localpart::parse(text, server).ok());
    let wanted = RegistrationLookup {
        session: session.as_deref(),
        name: name.as_ref(),
        appservices: app.appservices_are_stale(),
    };
    let (charge, facts, prepared) = tokio::join!(
        charge(app, auth, request.network),
        app.store.registration_facts(wanted),
        uia::prepare(app, app.config.flows(), auth, request.network),
    );
    charge?;
    Ok((facts?, prepared?))
}

/// The limits of what this request is likely to come to, all beside the first read.
async fn charge(app: &App, auth: &Auth, network: ClientNetwork) -> Result<(), LimitError> {
    let likely = if may_finish(app, auth) {
        Some(Limit::PasswordHash)
    } else if begins(auth) {
        Some(Limit::UiaSession)
    } else {
        None
    };
    let further = async {
        match likely {
            Some(limit) => limits::spend(app, limit, network).await,
            None => Ok(()),
        }
    };
    let (entry, further) = tokio::join!(limits::spend(app, Limit::Register, network), further);
    entry.and(further)
}

/// Whether the request names no session, so that it begins one unless it finishes at once.
fn begins(auth: &Auth) -> bool {
    auth.session.is_none()
}

/// Whether the request attempts the last stage of some flow, so that a hash is likely to follow:
/// its limit is then charged beside the first read instead of in a round trip of its own. A stage
/// that clients poll is no sign of that (UIA-26).
fn may_finish(app: &App, auth: &Auth) -> bool {
    auth.attempted().is_some_and(|stage| {
        !stage.is_polled()
            && app
                .config
                .flows()
                .iter()
                .any(|flow| flow.last() == Some(&stage))
    })
}

/// The answer of a finished session, to the request that finished it, while the token in it lives
/// (UIA-15).
async fn replay(
    app: &App,
    session: &OpenSession,
    canonical: &str,
) -> Result<Option<HttpResponse>, Rejection> {
    let over = || {
        MatrixError::new(
            ErrorCode::InvalidParam,
            "The session is finished: begin a new one",
        )
    };
    match session.replay(canonical, app.clock.now()) {
        Replay::Open => Ok(None),
        Replay::Over => Err(over().into()),
        Replay::Answer { text, age } => {
            let answer: Response = serde_json::from_str(&text).map_err(|_| over())?;
            if let Some(token) = answer.issued.access_token {
                let token = Secret::new(token);
                let mut verdict = tokens::authenticate(app, &token).await;
                if verdict.is_err() && age < JUST_NOW {
                    // A transaction's rows become visible one by one: just now, not to be there
                    // yet is not to be gone.
                    tokio::time::sleep(SETTLING).await;
                    verdict = tokens::authenticate(app, &token).await;
                }
                match verdict {
                    Ok(_) => {}
                    Err(tokens::AuthenticationError::Store(error)) => return Err(error.into()),
                    Err(_) => return Err(over().into()),
                }
            }
            Ok(Some(HttpResponse::json_text(http::StatusCode::OK, text)))
        }
    }
}

/// The answer that a twin of this request has been given meanwhile, if there was one.
async fn answer_of_twin(
    app: &App,
    id: Option<&Secret>,
    canonical: &str,
) -> Result<Option<HttpResponse>, Rejection> {
    let Some(id) = id else { return Ok(None) };
    match OpenSession::find(app, id).await? {
        Some(session) => replay(app, &session, canonical).await,
        None => Ok(None),
    }
}

/// A refusal of a kind that a twin of this request causes by being quicker: then the twin's answer
/// is ours too.
async fn unless_a_twin_was_quicker(
    app: &App,
    auth: &Auth,
    canonical: &str,
    why: Rejection,
) -> Result<HttpResponse, Rejection> {
    let by_twin = [
        ErrorCode::UserInUse,
        ErrorCode::Forbidden,
        ErrorCode::InvalidParam,
    ];
    if let Rejection::Error(error) = &why
        && by_twin.contains(&error.code)
        && let Some(answer) = answer_of_twin(app, auth.session.as_ref(), canonical).await?
    {
        return Ok(answer);
    }
    Err(why)
}

/// REG-24: judged before UIA, and again when the name changes, with the user's own words.
fn check_password(app: &App, asked: &Parameters) -> Result<(), Rejection> {
    let Some(password) = &asked.password else {
        return Ok(());
    };
    let own: Vec<&str> = [
        asked.username.as_deref(),
        asked.initial_device_display_name.as_deref(),
        Some(app.config.server_name.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok(passwords::validate(
        &app.config.passwords,
        &Secret::new(password.clone()),
        &own,
    )?)
}

/// Makes the account: one hash, one transaction.
async fn finish(
    app: &App,
    request: &Request,
    mut proof: UiaCompletion,
    operation: Operation<'_>,
    charged: bool,
) -> Result<HttpResponse, Rejection> {
    let Operation {
        asked,
        name,
        appservices,
        canonical,
    } = operation;
    let Some(password) = asked.password.clone().map(Secret::new) else {
        proof.keep(app).await;
        return Err(MatrixError::new(ErrorCode::MissingParam, "`password` is missing").into());
    };
    if let Some((denied, medium)) = denied(app, &proof) {
        proof.keep_without(app, medium).await;
        return Err(denied.into());
    }
    if !charged && let Err(error) = limits::spend(app, Limit::PasswordHash, request.network).await {
        proof.keep(app).await;
        return Err(error.into());
    }
    let ((), hash) = tokio::join!(proof.settle(app), app.hasher.hash(&password, &*app.rng));
    let hash = hash?;
    for _ in 0..FINISH_TRIES {
        let (localpart, upgraded_guest) = name.claimed(app, appservices)?;
        let (answer, device) = answer(app, asked, &localpart);
        let text = serde_json::to_string(&answer).unwrap_or_default();
        let account = NewAccount {
            password: Some(hash.clone()),
            device,
            terms: proof.gains.terms.clone(),
            registration_token: proof.gains.registration_token.clone(),
            threepids: proof.gains.threepids.clone(),
            session: proof.commit(app, canonical, &text),
            upgraded_guest,
            ..NewAccount::new(localpart, AccountKind::User, app.clock.now())
        };
        match app.store.create_account(&account).await {
            Ok(()) => {
                metrics::count(Metric::Registrations);
                metrics::user(&account.localpart);
                welcome(app, request.network, asked, &account).await;
                return Ok(HttpResponse::json_text(http::StatusCode::OK, text));
            }
            Err(CreateAccountError::SessionChanged) => {
                let id = proof.session().map(|session| session.secret_id().clone());
                if let Some(response) = answer_of_twin(app, id.as_ref(), canonical).await? {
                    return Ok(response);
                }
                proof = proof.reload(app).await?;
            }
            Err(CreateAccountError::RegistrationTokenSpent) => {
                proof = proof.renew_registration_token(app, request.network).await?;
            }
            Err(error @ CreateAccountError::ThreePidTaken(medium)) => {
                proof.keep_without(app, medium).await;
                return Err(error.into());
            }
            Err(CreateAccountError::ValidationGone(medium)) => {
                return Err(proof.without_proof_of(app, request.network, medium).await);
            }
            Err(CreateAccountError::NameTaken) if matches!(name, Name::Any) => {}
            Err(error) => {
                proof.keep(app).await;
                return Err(error.into());
            }
        }
    }
    Err(shared::store::StoreError::Contended.into())
}

/// What follows once there is an account, and not before: until then its name may become somebody
/// else's. From where somebody is logged in strangers do not keep them from logging in again.
async fn welcome(app: &App, network: ClientNetwork, asked: &Parameters, account: &NewAccount) {
    let remember = async {
        if account.device.is_some() {
            credentials::remember(app, &account.localpart, network).await;
        }
    };
    tokio::join!(bind(app, asked, account), remember);
}

/// Has the addresses published that the client wants published (REG-26, DIS-03). The account is made
/// whatever becomes of that.
async fn bind(app: &App, asked: &Parameters, account: &NewAccount) {
    let wanted = |medium| match medium {
        Medium::Email => asked.bind_email == Some(true),
        Medium::Msisdn => asked.bind_msisdn == Some(true),
    };
    let proven = account.threepids.iter();
    let wanted: Vec<_> = proven
        .filter(|proven| wanted(proven.threepid.medium))
        .collect();
    if !wanted.is_empty() {
        Box::pin(identity_servers::bind_validated(
            app,
            &account.localpart,
            &wanted,
        ))
        .await;
    }
}

/// An address that the operator's rules do not allow, which may have changed since the message was
/// sent (REG-28).
fn denied(app: &App, proof: &UiaCompletion) -> Option<(ThreePidDeniedError, Medium)> {
    proof.gains.threepids.iter().find_map(|proven| {
        let denied = threepids::admit(&app.config, &proven.threepid).err()?;
        Some((denied, proven.threepid.medium))
    })
}

fn answer(app: &App, asked: &Parameters, localpart: &Localpart) -> (Response, Option<NewDevice>) {
    if asked.inhibit_login == Some(true) {
        return (Response::without_login(app, localpart), None);
    }
    let refreshable = asked.refresh_token == Some(true);
    let login = Login {
        device_id: asked.device_id.clone(),
        display_name: asked.initial_device_display_name.clone(),
        refreshable,
        lifetime: app.config.tokens.of(refreshable),
    };
    let (answer, device) = Response::with_login(app, localpart, &login);
    (answer, Some(device))
}
