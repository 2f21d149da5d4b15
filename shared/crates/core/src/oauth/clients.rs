//! Registered clients and their metadata.

mod metadata;
mod registration;
mod uris;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use metadata::MetadataError;
pub(super) use metadata::is_deceptive;
pub use registration::{RegisterClientError, register_client};

use crate::{
    app::App,
    clock::Timestamp,
    config::OAuthConfig,
    secrets::sha256_base64,
    store::{ClientRow, StoreError},
};

/// The start of every client ID.
const PREFIX: &str = "ghc_";
/// The length of the rest of a client ID: 132 bits of a SHA-256 in base64.
const HASH_CHARS: usize = 22;
/// The start of the hashed text. A change of the canonical form needs another version.
const VERSION: &str = "gatehouse client 1";

/// The most clients that [`find_clients`] reads.
const MAX_CLIENTS: usize = 100;

/// The ID of a client, which is a hash of its metadata (OA-25).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(String);

impl ClientId {
    /// The ID of a client with this metadata. Equal metadata gives the same ID on every instance, because the hash has no
    /// key and the members and lists of accepted metadata are sorted.
    fn of(metadata: &ClientMetadata) -> Self {
        let hash = sha256_base64(format!("{VERSION}\n{}", metadata.canonical()).as_bytes());
        let start: String = hash.chars().take(HASH_CHARS).collect();
        Self(format!("{PREFIX}{start}"))
    }

    /// Parses a client ID. Returns `None` for everything that this server never issues, so that it causes no read.
    pub fn parse(text: &str) -> Option<Self> {
        let hash = text.strip_prefix(PREFIX)?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_valid = hash.len() == HASH_CHARS && hash.bytes().all(is_base64);
        is_valid.then(|| Self(text.to_owned()))
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The kind of an application, which determines the redirect URIs that it may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationType {
    /// An application in a browser.
    Web,
    /// An application on a device.
    Native,
}

/// A way to get tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GrantType {
    /// `authorization_code`
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// `refresh_token`
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// `urn:ietf:params:oauth:grant-type:device_code`
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
}

impl GrantType {
    /// The name of the device authorization grant.
    pub const DEVICE_CODE: &'static str = "urn:ietf:params:oauth:grant-type:device_code";

    /// The grants of a server with these settings, sorted (OA-03).
    pub fn supported(config: &OAuthConfig) -> Vec<Self> {
        let device = config.has_device_grant.then_some(Self::DeviceCode);
        let always = [Self::AuthorizationCode, Self::RefreshToken];
        always.into_iter().chain(device).collect()
    }
}

/// The accepted metadata of a client. Its JSON is stored and is part of the registration response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// The kind of the application.
    pub application_type: ApplicationType,
    /// The name, which the client chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The home page of the client.
    pub client_uri: String,
    /// The ways to get tokens, sorted.
    pub grant_types: Vec<GrantType>,
    /// The logo. No page shows it (OA-29).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// The privacy policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// The redirect URIs, sorted, byte for byte as the client registered them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The terms of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
}

impl ClientMetadata {
    /// The metadata as JSON, in the form that is hashed and stored.
    fn canonical(&self) -> String {
        // Serialisation cannot fail: every member is text or a list of texts.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The host of the home page, which is an `https` URL without user information (OA-12).
    pub fn host(&self) -> &str {
        let uri = &self.client_uri;
        let rest = uri.strip_prefix("https://").unwrap_or(uri);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }

    /// Whether the client registered this grant.
    pub fn has_grant(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }
}

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The ID.
    pub id: ClientId,
    /// The metadata.
    pub metadata: ClientMetadata,
    /// The time of the registration.
    pub registered_at: Timestamp,
    /// Whether the registration never expires, because a user has used it (OA-26).
    pub is_permanent: bool,
}

impl Client {
    /// The client of a row. `None` if there is no row or if the registration has expired.
    pub(super) fn of_row(
        app: &App,
        id: &ClientId,
        row: Option<ClientRow>,
    ) -> Result<Option<Self>, StoreError> {
        let now = app.clock.now();
        let Some(row) = row.filter(|row| row.expires.is_none_or(|expires| now < expires)) else {
            return Ok(None);
        };
        let metadata = serde_json::from_str(&row.metadata).map_err(|_| row.corrupt())?;
        Ok(Some(Self {
            id: id.clone(),
            metadata,
            registered_at: row.created,
            is_permanent: row.expires.is_none(),
        }))
    }
}

/// The registered client with this ID. One strongly consistent read. An expired registration is not found.
pub async fn find_client(app: &App, id: &ClientId) -> Result<Option<Client>, StoreError> {
    let row = app.store.find_client(id.as_str()).await?;
    Client::of_row(app, id, row)
}

/// The registered clients among these IDs, by ID. One strongly consistent read, or none for no ID. Of more than
/// `MAX_CLIENTS` IDs, the rest is not found.
pub async fn find_clients(
    app: &App,
    ids: BTreeSet<&str>,
) -> Result<BTreeMap<String, Client>, StoreError> {
    let ids: Vec<&str> = ids.into_iter().take(MAX_CLIENTS).collect();
    let rows = app.store.find_clients(&ids).await?.into_iter();
    let client = |(id, row): (String, ClientRow)| {
        let parsed = ClientId(id.clone());
        let client = Client::of_row(app, &parsed, Some(row)).transpose()?;
        Some(client.map(|client| (id, client)))
    };
    rows.filter_map(client).collect()
}
