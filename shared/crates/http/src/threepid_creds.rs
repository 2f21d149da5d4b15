//! The members with which a client names a validation session: `threepid_creds` in User-Interactive Authentication and
//! `three_pid_creds` in the deprecated request that adds a 3PID.

use serde_json::{Map, Value};

use crate::{
    app::App,
    error::{ErrorCode, MatrixError},
    http::Body,
    secrets::Secret,
    store::{StoreError, ValidationRow},
    threepid_validation,
};

/// The reference of a client to a validation session.
pub struct ThreePidCreds {
    /// The session ID.
    pub sid: String,
    /// The secret that the client has chosen for the session.
    pub client_secret: Secret,
    /// The identity server that the session belongs to.
    pub id_server: Option<String>,
    /// The client's access token for the identity server.
    pub id_access_token: Option<String>,
}

crate::opaque_debug!(ThreePidCreds);

impl ThreePidCreds {
    /// The credentials for a session of this server.
    pub fn new(sid: String, client_secret: Secret) -> Self {
        Self {
            sid,
            client_secret,
            id_server: None,
            id_access_token: None,
        }
    }

    /// Reads `threepid_creds` of a UIA stage in each of its spellings (UIA-51): under either name, as an object or as a
    /// list of one object. If both names are present, the name in the specification takes precedence. Returns `None` if
    /// `threepid_creds`, its `sid` or its `client_secret` is missing.
    pub fn parse_stage(auth: &Body) -> Result<Option<Self>, MatrixError> {
        let Some(value) = either::<Value>(auth, "threepid_creds", "threepidCreds")? else {
            return Ok(None);
        };
        let object: Option<Map<String, Value>> = match value {
            Value::Object(object) => Some(object),
            Value::Array(mut list) if list.len() == 1 => match list.swap_remove(0) {
                Value::Object(object) => Some(object),
                _ => None,
            },
            _ => None,
        };
        let wrong_type =
            || MatrixError::new(ErrorCode::BadJson, "`threepid_creds` has the wrong type");
        Self::read(&Body::from(object.ok_or_else(wrong_type)?))
    }

    /// Reads `three_pid_creds` of the deprecated request, in either spelling (ACC3-02). The types of the identity
    /// server's members are checked, but this server never contacts the identity server for the request.
    pub fn parse_deprecated(body: &Body) -> Result<Self, MatrixError> {
        let object: Option<Map<String, Value>> = either(body, "three_pid_creds", "threePidCreds")?;
        let object = match object {
            Some(object) => object,
            None => body.required("three_pid_creds")?,
        };
        Self::read(&Body::from(object))?.ok_or_else(|| {
            let message = "`sid` or `client_secret` is missing in `three_pid_creds`";
            MatrixError::new(ErrorCode::MissingParam, message)
        })
    }

    /// Reads the members. Returns `None` if `sid` or `client_secret` is missing.
    fn read(members: &Body) -> Result<Option<Self>, MatrixError> {
        let sid: Option<String> = members.optional("sid")?;
        let client_secret: Option<String> = either(members, "client_secret", "clientSecret")?;
        let id_server = either(members, "id_server", "idServer")?;
        let id_access_token = either(members, "id_access_token", "idAccessToken")?;
        Ok(sid.zip(client_secret).map(|(sid, client_secret)| Self {
            sid,
            client_secret: Secret::new(client_secret),
            id_server,
            id_access_token,
        }))
    }

    /// Whether `sid` and `client_secret` match their grammar (3PID-01, 3PID-04).
    pub fn is_well_formed(&self) -> bool {
        threepid_validation::is_opaque_id(&self.sid)
            && threepid_validation::is_opaque_id(self.client_secret.reveal())
    }

    /// Reads the session of this server. A wrong `client_secret` is reported as an unknown session.
    pub async fn find(&self, app: &App) -> Result<Option<ValidationRow>, StoreError> {
        if !self.is_well_formed() {
            return Ok(None);
        }
        let row = app.store.find_validation(&self.sid).await?;
        let (keys, secret) = (&app.config.keys, &self.client_secret);
        Ok(row.filter(|row| threepid_validation::has_client_secret(keys, row, secret)))
    }
}

/// The member `name`, or the member `other` if `name` is absent.
fn either<T: serde::de::DeserializeOwned>(
    members: &Body,
    name: &'static str,
    other: &'static str,
) -> Result<Option<T>, MatrixError> {
    match members.optional(name)? {
        None => members.optional(other),
        found => Ok(found),
    }
}
