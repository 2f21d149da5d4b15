//! `GET` and `POST /_matrix/client/{r0,v3}/account/3pid`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3account3pid);
//! ACC3-01, ACC3-02, ACC3-04, ACC3-07, 3PID-49, 3PID-68, GUEST-06, TOK-15. The `POST` is deprecated
//! and, by the specification, not guarded by User-Interactive Authentication: whoever holds a token
//! adds an address with it. What makes up for that is that every mailbox of the account is told.

use std::sync::Arc;

use ::http::Method;
use serde::Serialize;
use serde_json::json;
use shared::{
    accounts,
    app::App,
    error::{MatrixError, Rejection},
    http::{self, Body, Request as HttpRequest, Response as HttpResponse},
    own_addresses::{self, Credentials},
    store::OwnThreePid,
    threepids::Medium,
    tokens,
};

/// The answer to a `GET`.
#[derive(Debug, Serialize)]
pub struct Response {
    /// What the account has here; what an identity server knows of it is not asked.
    pub threepids: Vec<Address>,
}

/// An address of the account.
#[derive(Debug, Serialize)]
pub struct Address {
    /// How it is reached.
    pub medium: Medium,
    /// Its canonical form.
    pub address: String,
    /// When it was proven, in milliseconds.
    pub validated_at: i64,
    /// When the account got it.
    pub added_at: i64,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if request.method == Method::GET {
        list(&app, &request).await
    } else {
        Box::pin(add(&app, &request)).await
    }
}

async fn list(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let caller = tokens::identify(app, &token, request.query.get("user_id")).await?;
    caller.demand_no_guest()?;
    let own = app.store.addresses_of(caller.localpart()).await?;
    Ok(HttpResponse::ok(&Response {
        threepids: own.into_iter().map(Address::from).collect(),
    }))
}

async fn add(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    accounts::demand_threepid_changes(&app.config)?;
    let credentials = credentials(request);
    let find = async {
        match &credentials {
            Ok(credentials) => credentials.find(app).await,
            Err(_) => Ok(None),
        }
    };
    let (owner, proof) = tokio::join!(own_addresses::changer(app, request), find);
    // Who asks comes first, what is wrong with the body after that.
    let (owner, credentials) = (owner?, credentials?);
    let no_session = || None;
    own_addresses::add(
        app,
        request,
        owner,
        &credentials,
        proof?,
        (None, no_session),
    )
    .await?;
    Ok(HttpResponse::ok(&json!({})))
}

/// What the body says.
fn credentials(request: &HttpRequest) -> Result<Credentials, MatrixError> {
    let body = Body::parse(&request.body)?;
    let credentials = Credentials::parse_nested(&body)?;
    // It acts as if it were false (ACC3-02).
    body.optional::<bool>("bind")?;
    Ok(credentials)
}

impl From<OwnThreePid> for Address {
    fn from(own: OwnThreePid) -> Self {
        Self {
            medium: own.threepid.medium,
            address: own.threepid.address,
            validated_at: own.validated.0,
            added_at: own.added.0,
        }
    }
}
