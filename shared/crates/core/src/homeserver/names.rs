//! The availability of names at the homeserver (HS-10).

use super::UpdateError;
use crate::{accounts::NameError, app::App, homeserver_client::NameAvailability, ids::Localpart};

/// The reason why a name is not available at the homeserver.
#[derive(Debug, thiserror::Error)]
pub enum HomeserverNameError {
    /// The name is not allowed or not free there.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The homeserver does not respond, so the name may be taken.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

/// Checks that a name is free at the homeserver, if one is configured. Fails if the homeserver does not respond.
pub async fn check_name(app: &App, name: &Localpart) -> Result<(), HomeserverNameError> {
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
