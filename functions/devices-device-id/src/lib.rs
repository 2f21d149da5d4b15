//! `GET`, `PUT` and `DELETE /_matrix/client/{r0,v3}/devices/{deviceId}`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3devicesdeviceid);
//! DEV-01 to DEV-03, GUEST-06, UIA-13 to UIA-28, TOK-13. A device that is dead, another user's or none is
//! not there; to delete it is done already.

use std::sync::Arc;

use ::http::Method;
use serde::Serialize;
use serde_json::json;
use shared::{
    app::App,
    devices,
    error::{ErrorCode, MatrixError, Rejection},
    http::{self, Body, Request as HttpRequest, Response as HttpResponse},
    ids::DeviceId,
    store::StoreError,
    tokens::{self, Caller},
    uia::Operation,
    uia_request::{self, RequestOutcome, RequestSpec},
};

/// The answer to a `GET`.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The device's id.
    pub device_id: String,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    match request.method {
        Method::GET => show(&app, &request).await,
        Method::PUT => rename(&app, &request).await,
        _ => delete(&app, &request).await,
    }
}

async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Rejection> {
    let token = http::access_token(request, app.config.query_tokens)?;
    Ok(tokens::identify(app, &token, request.query.get("user_id")).await?)
}

/// What cannot be a device's id is the id of none.
fn device_of(request: &HttpRequest) -> Result<DeviceId, MatrixError> {
    let id = request.last_segment();
    id.and_then(|id| DeviceId::parse(&id)).ok_or_else(none)
}

fn none() -> MatrixError {
    MatrixError::new(ErrorCode::NotFound, "There is no such device")
}

async fn show(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = caller(app, request).await?;
    let device = find(app, &caller, &device_of(request)?).await?;
    let found = device.ok_or_else(none)?;
    Ok(HttpResponse::ok(&found))
}

async fn find(app: &App, caller: &Caller, id: &DeviceId) -> Result<Option<Response>, StoreError> {
    let Some(account) = caller.account() else {
        return Ok(None);
    };
    let device = app.store.find_device(caller.localpart(), id).await?;
    let device = device.filter(|device| account.is_device_valid(&device.id, device.epoch));
    Ok(device.map(|device| Response {
        device_id: device.id.as_str().to_owned(),
        display_name: device.display_name,
    }))
}

/// Nothing but the path says which device: it is what the UIA session is bound to.
async fn delete(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let named = request.last_segment().unwrap_or_default();
    let wanted = RequestSpec {
        operation: Operation::DeleteDevice,
        target: named.clone(),
        anonymous: None,
        without_password: None,
        addresses: false,
    };
    let mut uia_request = match uia_request::open(app, request, wanted).await? {
        RequestOutcome::Answered(response) => return Ok(response),
        RequestOutcome::New(uia_request) => uia_request,
    };
    let device = DeviceId::parse(&named).into_iter().collect();
    devices::delete(app, &mut uia_request, &json!({}), device).await
}

/// Without a name nothing is changed, but the device has to be there all the same.
async fn rename(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = caller(app, request).await?;
    let name = devices::name_in(&Body::parse(&request.body)?, "display_name")?;
    let device = device_of(request)?;
    let is_there = match (&name, caller.account()) {
        (_, None) => false,
        (None, Some(_)) => find(app, &caller, &device).await?.is_some(),
        (Some(name), Some(account)) => {
            let user = caller.localpart();
            app.store
                .rename_device(user, account, &device, name)
                .await?
        }
    };
    if is_there {
        Ok(HttpResponse::ok(&json!({})))
    } else {
        Err(none().into())
    }
}
