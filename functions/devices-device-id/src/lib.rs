//! `GET`, `PUT` and `DELETE /_matrix/client/{r0,v3}/devices/{deviceId}`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3devicesdeviceid)
//!
//! The response for a logged-out device or a device of another user is the same as for a device that does not
//! exist. A device that does not exist is treated as deleted (DEV-03).

use std::sync::Arc;

use ::http::Method;
use serde::Serialize;
use serde_json::json;
use shared::{
    app::App,
    callers, devices,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::{self, Change},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    ids::DeviceId,
    store::StoreError,
    tokens::{Caller, TokenLimits},
    uia::{
        NoParameters, Operation,
        request::{ProtectedRequest, RequestOutcome, RequestSpec},
    },
};

/// The response to a `GET`.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The device ID of the path.
    pub device_id: String,
    /// The display name, if the device has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    match request.method {
        Method::GET => show(&app, &request).await,
        Method::PUT => rename(&app, &request).await,
        _ => delete(&app, &request).await,
    }
}

/// Reads the device ID from the path. A device with an invalid ID cannot exist.
fn device_of(request: &HttpRequest) -> Result<DeviceId, MatrixError> {
    let id = request.last_segment();
    id.and_then(|id| DeviceId::parse(&id)).ok_or_else(not_found)
}

fn not_found() -> MatrixError {
    MatrixError::new(ErrorCode::NotFound, "The device does not exist")
}

async fn show(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(app, request, TokenLimits::READ).await?;
    let device = find(app, &caller, &device_of(request)?).await?;
    let found = device.ok_or_else(not_found)?;
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

/// Deletes the device of the path after UIA. The session is bound to that path.
async fn delete(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let id = request.last_segment().unwrap_or_default();
    let device = DeviceId::parse(&id).into_iter().collect();
    let spec = RequestSpec::new(Operation::DeleteDevice(id));
    let mut protected = match ProtectedRequest::open(app, request, spec).await? {
        RequestOutcome::Replay(response) => return Ok(response),
        RequestOutcome::New(protected) => protected,
    };
    devices::delete(app, &mut protected, &NoParameters {}, device).await
}

/// Changes the display name. A request without a display name changes nothing, but the device must exist.
async fn rename(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(app, request, TokenLimits::WRITE).await?;
    let name = devices::display_name(&Body::parse(&request.body)?, "display_name")?;
    let device = device_of(request)?;
    let exists = match (&name, caller.account()) {
        (_, None) => false,
        (None, Some(_)) => find(app, &caller, &device).await?.is_some(),
        (Some(name), Some(account)) => {
            let user = caller.localpart();
            let renamed = app.store.rename_device(user, account, &device, name);
            let change = Change::DeviceRenamed(&device, name);
            homeserver::carry_over(app, user, Some(account), change, renamed).await?
        }
    };
    if exists {
        Ok(HttpResponse::ok(&json!({})))
    } else {
        Err(not_found().into())
    }
}
