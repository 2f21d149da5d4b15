//! `POST /_matrix/client/{r0,v3}/delete_devices`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3delete_devices);
//! DEV-03, UIA-13 to UIA-28, TOK-13, TOK-15. A device that is not there is deleted already.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    app::App,
    devices,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
    ids::DeviceId,
    uia::Operation,
    uia_request::{self, RequestOutcome, RequestSpec},
};

/// No request names more devices than that.
const MOST: usize = 1000;

/// What is asked for; remembered in the UIA session, sealed.
#[derive(Default, Serialize, Deserialize)]
struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<String>>,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let wanted = RequestSpec {
        operation: Operation::DeleteDevices,
        target: String::new(),
        anonymous: None,
        without_password: None,
        addresses: false,
    };
    let mut uia_request = match uia_request::open(&app, &request, wanted).await? {
        RequestOutcome::Answered(response) => return Ok(response),
        RequestOutcome::New(uia_request) => uia_request,
    };
    let asked = Request {
        devices: uia_request.body.optional("devices")?,
    };
    let asked = uia_request.settle(&asked)?;
    let Some(devices) = &asked.devices else {
        return Err(MatrixError::new(ErrorCode::MissingParam, "`devices` is missing").into());
    };
    if devices.len() > MOST {
        let message = "`devices` names too many devices at once";
        return Err(MatrixError::new(ErrorCode::InvalidParam, message).into());
    }
    // What cannot be a device's id is the id of none.
    let ids: Vec<DeviceId> = devices
        .iter()
        .filter_map(|id| DeviceId::parse(id))
        .collect();
    devices::delete(&app, &mut uia_request, &asked, ids).await
}
