//! Names that the homeserver already has (HS-10).

use super::UpdateError;
use crate::{accounts::NameError, app::App, homeserver_client::NameAvailability, ids::Localpart};

/// The reason why the homeserver does not allow a name.
#[derive(Debug, thiserror::Error)]
pub enum NameAtHomeserver {
    /// The name is not allowed or not free there.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The homeserver does not respond, so the name may not be free.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

/// Checks that a name is free at the homeserver, if one is configured. Fails if the homeserver does not respond.
pub async fn check_name(app: &App, name: &Localpart) -> Result<(), NameAtHomeserver> {
    let Some(client) = app.homeserver_client() else {
        return Ok(());
    };
    let availability = client.availability(name).await.map_err(UpdateError::from)?;
    match availability {
        NameAvailability::Free => Ok(()),
        NameAvailability::Taken => Err(NameError::Taken.into()),
        NameAvailability::Exclusive => Err(NameError::Exclusive.into()),
        NameAvailability::Invalid => Err(NameError::Policy.into()),
    }
}
