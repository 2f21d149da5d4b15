//! Functions that several device endpoints share: the members of a body that describe a device, the list of devices, and
//! the deletion of devices.

use ::http::StatusCode;

use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::{self, Change},
    http::{Body, Response},
    ids::{DeviceId, Localpart, MAX_DISPLAY_NAME_CHARS},
    store::{AccountRow, DevicePage, ListedDevice, StoreError},
    tokens::AuthenticationError,
    uia::{
        RequestParameters,
        request::{Authentication, CarriedChange, ProtectedRequest, Requester},
    },
};

/// The maximum number of devices in a list, because Lambda limits the size of a response.
const MAX_DEVICES: usize = 1000;
/// The response body: an empty object.
const DONE: &str = "{}";

/// The `device_id` of a body. An empty ID is treated as absent (REG-17).
pub fn device_id(body: &Body) -> Result<Option<DeviceId>, MatrixError> {
    let text = body.optional::<String>("device_id")?;
    let parse = |text: String| {
        DeviceId::parse(&text).ok_or_else(|| {
            MatrixError::new(
                ErrorCode::InvalidParam,
                "`device_id` is not a valid device ID",
            )
        })
    };
    text.filter(|id| !id.is_empty()).map(parse).transpose()
}

/// The display name of a device, from the member with this name (REG-19).
pub fn display_name(body: &Body, member: &'static str) -> Result<Option<String>, MatrixError> {
    let name = body.optional::<String>(member)?;
    match &name {
        Some(text) if text.chars().count() > MAX_DISPLAY_NAME_CHARS => Err(MatrixError::new(
            ErrorCode::InvalidParam,
            format!("`{member}` is too long"),
        )),
        _ => Ok(name),
    }
}

/// The devices among those of a user that are logged in, in the order of their IDs, and at most
/// `MAX_DEVICES`. `first` is the first page of the list.
pub async fn logged_in(
    app: &App,
    user: &Localpart,
    account: &AccountRow,
    first: (Vec<ListedDevice>, Option<DevicePage>),
) -> Result<Vec<ListedDevice>, StoreError> {
    let (mut found, (mut devices, mut page)) = (Vec::new(), first);
    loop {
        let is_logged_in =
            |device: &ListedDevice| account.is_device_valid(&device.id, device.epoch);
        found.extend(devices.into_iter().filter(is_logged_in));
        found.truncate(MAX_DEVICES);
        if page.is_none() || found.len() == MAX_DEVICES {
            return Ok(found);
        }
        (devices, page) = app.store.devices_page(user, page).await?;
    }
}

/// Deletes the devices after UIA. An application service needs no UIA (UIA-28).
pub async fn delete(
    app: &App,
    protected: &mut ProtectedRequest,
    parameters: &impl RequestParameters,
    mut devices: Vec<DeviceId>,
) -> Result<Response, Rejection> {
    // DynamoDB rejects a transaction that names an item twice.
    devices.sort();
    devices.dedup();
    let (user, account) = match &protected.requester {
        Requester::Appservice { user, account } => {
            let deleted = app.store.delete_devices(user, &devices, None, None);
            let change = Change::DevicesDeleted(&devices);
            homeserver::carry_over(app, user, account.as_ref(), change, deleted).await?;
            return Ok(Response::json_text(StatusCode::OK, DONE.to_owned()));
        }
        Requester::User(caller) => (caller.localpart.clone(), caller.account.clone()),
        // Unreachable: both endpoints require an access token.
        Requester::Anonymous => return Err(AuthenticationError::Unknown.into()),
    };
    let mut completion = match Box::pin(protected.authenticate(app, parameters)).await? {
        Authentication::Completed(completion) => *completion,
        Authentication::Replay(response) => return Ok(response),
    };
    completion.refund_attempt(app).await;
    let verified = completion.result.password.as_ref();
    let verified = verified.map(|verified| verified.password_changed_at);
    let write = |session| app.store.delete_devices(&user, &devices, verified, session);
    let carried = CarriedChange {
        user: &user,
        account: Some(&account),
        change: Change::DevicesDeleted(&devices),
    };
    protected
        .finish_with(app, completion, DONE, carried, write)
        .await
}
