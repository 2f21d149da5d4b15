//! `GET /_matrix/client/{r0,v3}/devices`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3devices). Guests may
//! list their device (GUEST-06). The response has no `last_seen_ts` and `last_seen_ip`, because they are not
//! recorded.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    callers, devices,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    tokens::TokenLimits,
};

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The user's devices, ordered by ID (DEV-01).
    pub devices: Vec<Device>,
}

/// A device that is logged in.
#[derive(Debug, Serialize)]
pub struct Device {
    /// The device ID, unique for the user.
    pub device_id: String,
    /// The display name, if the device has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(&app, &request, TokenLimits::READ).await?;
    let devices = match caller.account() {
        Some(account) => {
            let user = caller.localpart();
            let first = app.store.devices_page(user, None).await?;
            devices::logged_in(&app, user, account, first).await?
        }
        None => Vec::new(),
    };
    let devices = devices.into_iter().map(|device| Device {
        device_id: device.id.as_str().to_owned(),
        display_name: device.display_name,
    });
    Ok(HttpResponse::ok(&Response {
        devices: devices.collect(),
    }))
}
