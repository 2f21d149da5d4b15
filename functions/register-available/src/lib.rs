//! `GET /_matrix/client/{r0,v3}/register/available`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3registeravailable);
//! AVAIL-01 to AVAIL-07. The verdict is that of `register` on the same name (AVAIL-05), by the same
//! step; nothing is reserved by asking (AVAIL-06).

use std::sync::Arc;

use serde::Serialize;
use shared::{
    accounts::{self, NameError},
    app::App,
    error::Rejection,
    http::{Request, Response as HttpResponse},
    ids::Localpart,
    limits::{self, Limit},
    store::RegistrationLookup,
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Always true: a name that is not available is an error.
    pub available: bool,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    accounts::ensure_registration_open(&app.config)?;
    let username = request.query.required("username")?;
    // A text that is no localpart needs no read to be refused, but is charged like any other.
    let localpart = Localpart::parse(username, &app.config.server_name).ok();
    let wanted = RegistrationLookup {
        session: None,
        name: localpart.as_ref(),
        appservices: app.appservices_are_stale(),
    };
    let (charged, facts) = tokio::join!(
        limits::spend(&app, Limit::Available, request.network),
        app.store.registration_facts(wanted)
    );
    charged?;
    let facts = facts?;
    let appservices = app.refresh_appservices(facts.appservices).await?;
    accounts::choose(username, &app.config, &appservices, None)?;
    if facts.holder.is_some() {
        return Err(NameError::Taken.into());
    }
    Ok(HttpResponse::ok(&Response { available: true }))
}
