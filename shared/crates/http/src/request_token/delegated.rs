//! `requestToken` requests that this server delegates to an identity server, if the operator has enabled delegation
//! (IDS-01 to IDS-07, 3PID-09).

use serde_json::{Map, Value};

use crate::{
    app::App,
    config::Validation,
    error::{MatrixError, Rejection},
    http::{Body, ClientNetwork},
    identity_servers::{self, TrustedServer},
    secrets::Secret,
    threepid_validation::{self, ValidationPurpose, ValidationRequest},
};

/// The identity server that validates an address in place of this server.
pub(super) struct Delegate<'a> {
    server: &'a TrustedServer,
    token: Option<Secret>,
}

impl<'a> Delegate<'a> {
    /// The identity server that the request names, if validation is delegated. The validation for adding a 3PID to an
    /// account is never delegated, because the later request to add the 3PID does not name an identity server.
    pub(super) fn of(
        app: &'a App,
        purpose: ValidationPurpose,
        body: &Body,
    ) -> Result<Option<Self>, MatrixError> {
        let is_delegated = match purpose {
            ValidationPurpose::Register | ValidationPurpose::Reset => {
                app.config.identity_servers.validation == Validation::Delegated
            }
            ValidationPurpose::Add => false,
        };
        if !is_delegated {
            return Ok(None);
        }
        let Some(id_server) = body.optional::<String>("id_server")? else {
            return Ok(None);
        };
        let server = identity_servers::trusted(&app.config, &id_server)?;
        let token = identity_servers::read_token(app, body.optional("id_access_token")?)?;
        Ok(Some(Self { server, token }))
    }

    /// Checks the request in the same way as a request for a message of this server, makes the identity server send
    /// the message, and returns the session ID. `recipient` has the members that name the recipient. In addition to
    /// these, the identity server receives only the members that a validation needs.
    pub(super) async fn request(
        &self,
        app: &App,
        validation: &ValidationRequest<'_>,
        network: ClientNetwork,
        recipient: &[(&str, &str)],
    ) -> Result<String, Rejection> {
        threepid_validation::before_delegating(app, validation, network).await?;
        let mut members = Map::new();
        let secret = validation.client_secret.reveal().as_str();
        members.insert("client_secret".to_owned(), secret.into());
        members.insert("send_attempt".to_owned(), validation.send_attempt.into());
        if let Some(link) = &validation.next_link {
            members.insert("next_link".to_owned(), link.as_str().into());
        }
        for (name, value) in recipient {
            members.insert((*name).to_owned(), Value::from(*value));
        }
        let token = self.token.as_ref();
        let medium = validation.to.medium;
        let sid =
            identity_servers::request_validation(app, self.server, token, medium, members).await;
        Ok(sid?)
    }
}
