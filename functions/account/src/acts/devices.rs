//! Changes of a device.

use shared::{
    clock::Timestamp,
    error::{ErrorCode, MatrixError},
    homeserver::{self, Change as HomeserverChange},
    http::{Query, Response},
    ids::{DeviceId, MAX_DISPLAY_NAME_CHARS},
    oauth_pages::Failure,
};

use super::{Change, done};
use crate::{page::Page, views::Link};

/// Gives a device another name. As in the account API, this needs no recent password.
pub(super) async fn rename(change: &Change<'_>) -> Result<Response, Failure> {
    let Change {
        app, visitor, form, ..
    } = change;
    let invalid = |message| MatrixError::new(ErrorCode::InvalidParam, message);
    let name = form.get("name").unwrap_or_default().trim();
    if name.is_empty() {
        return Err(invalid("Enter a name for the device").into());
    }
    if name.chars().count() > MAX_DISPLAY_NAME_CHARS {
        return Err(invalid("The name of the device is too long").into());
    }
    let missing = || MatrixError::new(ErrorCode::NotFound, "The device does not exist");
    let id = device_of(form).ok_or_else(missing)?;
    let (user, account) = (visitor.user(), &visitor.session.account);
    let renamed = app.store.rename_device(user, account, &id, name);
    let renaming = HomeserverChange::DeviceRenamed(&id, name);
    if !homeserver::carry_over(app, user, Some(account), renaming, renamed).await? {
        return Err(missing().into());
    }
    let link = Link::new(&app.config, &Page::Device(id), "The device");
    let text = "Other people can see the name in their apps.";
    Ok(done(
        app,
        &visitor.browser,
        "The device has its new name",
        text,
        Some(link),
    ))
}

/// Deletes a device, which ends its session and revokes the access of its app (OA-130). A missing device is treated as
/// deleted (DEV-03). `password_set` is the time at which the verified password was set.
pub(super) async fn sign_out(
    change: &Change<'_>,
    password_set: Timestamp,
) -> Result<Response, Failure> {
    let Change { app, visitor, .. } = change;
    let ids: Vec<DeviceId> = device_of(change.form).into_iter().collect();
    let (user, account) = (visitor.user(), &visitor.session.account);
    let deleted = app
        .store
        .delete_devices(user, &ids, Some(password_set), None);
    let deletion = HomeserverChange::DevicesDeleted(&ids);
    homeserver::carry_over(app, user, Some(account), deletion, deleted)
        .await
        .map_err(MatrixError::from)?;
    let link = Link::new(&app.config, &Page::Devices, "Your devices");
    let text = "The app on the device has no access to your account any more.";
    Ok(done(
        app,
        &visitor.browser,
        "The device is signed out",
        text,
        Some(link),
    ))
}

fn device_of(form: &Query) -> Option<DeviceId> {
    form.get("device_id").and_then(DeviceId::parse)
}
