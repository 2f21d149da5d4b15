//! `GET /_matrix/client/{r0,v3}/register/available`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3registeravailable)
//!
//! The request reserves nothing (AVAIL-06).

use std::sync::Arc;

use serde::Serialize;
use shared::{
    accounts::{self, NameError},
    app::App,
    error::Rejection,
    homeserver,
    http::{Request, Response as HttpResponse},
    ids::Localpart,
    limits::{self, Limit},
    store::RegistrationLookup,
};

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Always true: the response for a name that is not available is an error (AVAIL-01).
    pub available: bool,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    accounts::ensure_registration_open(&app.config)?;
    // AVAIL-07
    let username = request.query.required("username")?;
    // A request for an invalid localpart needs no read of the name, but the rate limit is charged.
    let name = Localpart::parse(username, &app.config.server_name);
    let lookup = RegistrationLookup {
        session: None,
        name: name.as_ref().ok(),
        appservices: app.appservices_are_stale(),
    };
    let (charged, facts) = tokio::join!(
        limits::consume(&app, Limit::Available, request.network),
        app.store.registration_facts(lookup)
    );
    charged?;
    let facts = facts?;
    let appservices = app.refresh_appservices(facts.appservices).await?;
    // AVAIL-05: `register` makes the same checks.
    let name = name.map_err(NameError::Grammar)?;
    let name = accounts::check_name(name, &app.config, &appservices, None)?;
    if facts.holder.is_some() {
        return Err(NameError::Taken.into());
    }
    // HS-10
    homeserver::check_name(&app, &name).await?;
    Ok(HttpResponse::ok(&Response { available: true }))
}
