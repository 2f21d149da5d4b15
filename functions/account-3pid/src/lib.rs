//! `GET` and `POST /_matrix/client/{r0,v3}/account/3pid`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3account3pid). The
//! `POST` is deprecated. The specification does not require User-Interactive Authentication for it, so a
//! client with an access token can add an address. To compensate, every e-mail address of the account
//! receives a security notification.

use std::sync::Arc;

use ::http::Method;
use serde::Serialize;
use serde_json::json;
use shared::{
    account_threepids::{self, AddRead, OwnerAuthentication, ThreePidCreds},
    accounts,
    app::App,
    callers,
    error::{MatrixError, Rejection},
    http::{self, Body, Request as HttpRequest, Response as HttpResponse},
    store::OwnThreePid,
    threepids::Medium,
    tokens::TokenLimits,
};

/// The response body of a `GET` (ACC3-01).
#[derive(Debug, Serialize)]
pub struct Response {
    /// The 3PIDs of the account on this server. Identity servers are not contacted.
    pub threepids: Vec<Address>,
}

/// A 3PID of the account.
#[derive(Debug, Serialize)]
pub struct Address {
    /// `email` or `msisdn`.
    pub medium: Medium,
    /// The canonical form of the address.
    pub address: String,
    /// The time of the validation, in milliseconds since the epoch.
    pub validated_at: i64,
    /// The time of the addition to the account, in milliseconds since the epoch.
    pub added_at: i64,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if request.method == Method::GET {
        list(&app, &request).await
    } else {
        Box::pin(add(&app, &request)).await
    }
}

async fn list(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(app, request, TokenLimits::READ).await?;
    // GUEST-06
    caller.ensure_not_guest()?;
    let threepids = app.store.addresses_of(caller.localpart()).await?;
    Ok(HttpResponse::ok(&Response {
        threepids: threepids.into_iter().map(Address::from).collect(),
    }))
}

async fn add(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    // ACC3-07
    accounts::ensure_threepid_changes_enabled(&app.config)?;
    // A request without an access token is rejected before any call, because it is charged to no limit.
    http::access_token(request, app.config.query_tokens)?;
    let credentials = credentials(request);
    let find_session = async {
        match &credentials {
            Ok(credentials) => credentials.find(app).await,
            Err(_) => Ok(None),
        }
    };
    // TOK-15
    let (owner, session) = tokio::join!(account_threepids::load_owner(app, request), find_session);
    // An error of the access token takes precedence over an error of the body.
    let (owner, credentials) = (owner?, credentials?);
    let read = AddRead {
        owner,
        validation: session?,
    };
    // ACC3-04, 3PID-49, 3PID-68
    let authentication = OwnerAuthentication::AccessToken(request);
    account_threepids::add(app, authentication, &credentials, read, None).await?;
    Ok(HttpResponse::ok(&json!({})))
}

/// Reads the credentials of the validation session from the body.
fn credentials(request: &HttpRequest) -> Result<ThreePidCreds, MatrixError> {
    let body = Body::parse(&request.body)?;
    let credentials = ThreePidCreds::parse_deprecated(&body)?;
    // ACC3-02: only the type of `bind` is checked; its value has no effect.
    body.optional::<bool>("bind")?;
    Ok(credentials)
}

impl From<OwnThreePid> for Address {
    fn from(threepid: OwnThreePid) -> Self {
        Self {
            medium: threepid.threepid.medium,
            address: threepid.threepid.address,
            validated_at: threepid.validated.0,
            added_at: threepid.added.0,
        }
    }
}
