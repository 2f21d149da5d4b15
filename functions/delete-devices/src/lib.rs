//! `POST /_matrix/client/{r0,v3}/delete_devices`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3delete_devices)
//!
//! A device that does not exist is treated as deleted (DEV-03).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    app::App,
    devices,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
    ids::DeviceId,
    uia::{
        Operation, ParametersChangedError, RequestParameters, merge_unchanged,
        request::{ProtectedRequest, RequestOutcome, RequestSpec},
    },
};

/// The maximum number of devices in a request.
const MAX_DEVICES: usize = 1000;

/// The parameters. The UIA session stores them.
#[derive(Default, Serialize, Deserialize)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<String>>,
}

impl RequestParameters for Parameters {
    fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError> {
        Ok(Self {
            devices: merge_unchanged(self.devices, remembered.devices)?,
        })
    }
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let spec = RequestSpec::new(Operation::DeleteDevices);
    let mut protected = match ProtectedRequest::open(&app, &request, spec).await? {
        RequestOutcome::Replay(response) => return Ok(response),
        RequestOutcome::New(protected) => protected,
    };
    let given = Parameters {
        devices: protected.body.optional("devices")?,
    };
    let parameters = protected.merge_parameters(given)?;
    let Some(devices) = &parameters.devices else {
        return Err(MatrixError::new(ErrorCode::MissingParam, "`devices` is missing").into());
    };
    if devices.len() > MAX_DEVICES {
        let message = "`devices` has too many entries. Use several requests";
        return Err(MatrixError::new(ErrorCode::InvalidParam, message).into());
    }
    // Invalid IDs are skipped, because no device can have such an ID.
    let ids: Vec<DeviceId> = devices
        .iter()
        .filter_map(|id| DeviceId::parse(id))
        .collect();
    devices::delete(&app, &mut protected, &parameters, ids).await
}
