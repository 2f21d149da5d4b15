//! Deleting devices, one or several: what the two endpoints share (DEV-03).

use ::http::StatusCode;
use serde::Serialize;

use crate::{
    app::App,
    error::Rejection,
    guarded::{Guarded, Who},
    http::Response,
    ids::DeviceId,
};

/// The answer: nothing.
const DONE: &str = "{}";

/// Deletes the devices once it is proven that their user wants it; at once for an application
/// service (UIA-28). `asked` is what the UIA session remembers.
pub async fn delete(
    app: &App,
    guarded: &mut Guarded,
    asked: &impl Serialize,
    mut devices: Vec<DeviceId>,
) -> Result<Response, Rejection> {
    // The same twice in one transaction would be refused by the tables.
    devices.sort();
    devices.dedup();
    let user = match &guarded.who {
        Who::Appservice { user, .. } => {
            app.store.delete_devices(user, &devices, None, None).await?;
            return Ok(Response::json_text(StatusCode::OK, DONE.to_owned()));
        }
        Who::User(caller) => caller.localpart.clone(),
        // The endpoints ask for a token.
        Who::Nobody => return Err(crate::tokens::AuthenticationError::Unknown.into()),
    };
    let mut proof = Box::pin(guarded.prove(app, asked)).await?;
    proof.settle(app).await;
    let known = proof.gains.password.as_ref().map(|known| known.set);
    let write = |session| app.store.delete_devices(&user, &devices, known, session);
    guarded.finish(app, proof, DONE, write).await
}
