//! What the endpoints about devices share: the members of a body that are about one (REG-17, REG-19),
//! and deleting one or several (DEV-03).

use ::http::StatusCode;
use serde::Serialize;

use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Response},
    ids::{DeviceId, MAX_DISPLAY_NAME_CHARS},
    uia_request::{ProtectedRequest, Requester},
};

/// The answer: nothing.
const DONE: &str = "{}";

/// The device that a client wants to be; the empty id is none (REG-17).
pub fn id_in(body: &Body) -> Result<Option<DeviceId>, MatrixError> {
    let text = body.optional::<String>("device_id")?;
    let parse = |text: String| {
        DeviceId::parse(&text).ok_or_else(|| {
            MatrixError::new(ErrorCode::InvalidParam, "`device_id` is not a device's id")
        })
    };
    text.filter(|id| !id.is_empty()).map(parse).transpose()
}

/// What a device is to be called, by the member of this name.
pub fn name_in(body: &Body, member: &'static str) -> Result<Option<String>, MatrixError> {
    let name = body.optional::<String>(member)?;
    match &name {
        Some(text) if text.chars().count() > MAX_DISPLAY_NAME_CHARS => Err(MatrixError::new(
            ErrorCode::InvalidParam,
            format!("`{member}` is too long"),
        )),
        _ => Ok(name),
    }
}

/// Deletes the devices once it is proven that their user wants it; at once for an application
/// service (UIA-28). `asked` is what the UIA session remembers.
pub async fn delete(
    app: &App,
    uia_request: &mut ProtectedRequest,
    asked: &impl Serialize,
    mut devices: Vec<DeviceId>,
) -> Result<Response, Rejection> {
    // The same twice in one transaction would be refused by the tables.
    devices.sort();
    devices.dedup();
    let user = match &uia_request.who {
        Requester::Appservice { user, .. } => {
            app.store.delete_devices(user, &devices, None, None).await?;
            return Ok(Response::json_text(StatusCode::OK, DONE.to_owned()));
        }
        Requester::User(caller) => caller.localpart.clone(),
        // The endpoints ask for a token.
        Requester::Nobody => return Err(crate::tokens::AuthenticationError::Unknown.into()),
    };
    let mut proof = Box::pin(uia_request.prove(app, asked)).await?;
    proof.settle(app).await;
    let known = proof.gains.password.as_ref().map(|known| known.set);
    let write = |session| app.store.delete_devices(&user, &devices, known, session);
    uia_request.finish(app, proof, DONE, write).await
}
