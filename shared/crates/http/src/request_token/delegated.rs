//! Requests that an identity server answers in this server's place, where the operator chose that
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

/// Who validates in this server's place.
pub(super) struct Delegate<'a> {
    server: &'a TrustedServer,
    token: Option<Secret>,
}

impl<'a> Delegate<'a> {
    /// The identity server that the request names, if identity servers validate here. Whoever adds an
    /// address later says nothing of an identity server, so that is never left to one.
    pub(super) fn of(
        app: &'a App,
        purpose: ValidationPurpose,
        body: &Body,
    ) -> Result<Option<Self>, MatrixError> {
        let delegates = match purpose {
            ValidationPurpose::Register | ValidationPurpose::Reset => {
                app.config.identity_servers.validation == Validation::Delegated
            }
            ValidationPurpose::Add => false,
        };
        if !delegates {
            return Ok(None);
        }
        let Some(id_server) = body.optional::<String>("id_server")? else {
            return Ok(None);
        };
        let server = identity_servers::trusted(&app.config, &id_server)?;
        let token = identity_servers::read_token(app, body.optional("id_access_token")?)?;
        Ok(Some(Self { server, token }))
    }

    /// Has the message sent and returns the session's id, after everything that comes before a
    /// message of ours. `to` says where it goes; besides that the identity server is told what
    /// belongs to a validation and nothing else.
    pub(super) async fn request(
        &self,
        app: &App,
        wish: &ValidationRequest<'_>,
        network: ClientNetwork,
        to: &[(&str, &str)],
    ) -> Result<String, Rejection> {
        threepid_validation::before_delegating(app, wish, network).await?;
        let mut members = Map::new();
        let secret = wish.client_secret.reveal().as_str();
        members.insert("client_secret".to_owned(), secret.into());
        members.insert("send_attempt".to_owned(), wish.attempt.into());
        if let Some(link) = &wish.next_link {
            members.insert("next_link".to_owned(), link.as_str().into());
        }
        for (name, value) in to {
            members.insert((*name).to_owned(), Value::from(*value));
        }
        let token = self.token.as_ref();
        let medium = wish.to.medium;
        let asked =
            identity_servers::request_validation(app, self.server, token, medium, members).await;
        Ok(asked?)
    }
}
