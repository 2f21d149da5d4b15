//! `GET /_matrix/client/{r0,v3}/devices`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3devices); DEV-01,
//! GUEST-06. When and from where a device was last seen is not recorded.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    error::Rejection,
    http::{self, Request as HttpRequest, Response as HttpResponse},
    ids::Localpart,
    store::{AccountRow, ListedDevice, StoreError},
    tokens,
};

/// No answer lists more devices than that: an answer has to fit into what a function may say.
const MOST: usize = 1000;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The user's devices, in the order of their ids.
    pub devices: Vec<Device>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Its id.
    pub device_id: String,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    let caller = tokens::identify(&app, &token, request.query.get("user_id")).await?;
    let devices = match caller.account() {
        Some(account) => living(&app, caller.localpart(), account).await?,
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

async fn living(
    app: &App,
    user: &Localpart,
    account: &AccountRow,
) -> Result<Vec<ListedDevice>, StoreError> {
    let (mut living, mut page) = (Vec::new(), None);
    loop {
        let (devices, next) = app.store.devices_page(user, page).await?;
        let alive = |device: &ListedDevice| account.is_device_valid(&device.id, device.epoch);
        living.extend(devices.into_iter().filter(alive));
        living.truncate(MOST);
        page = next;
        if page.is_none() || living.len() == MOST {
            return Ok(living);
        }
    }
}
