//! The request of a device for access.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CODE_BYTES, UserCode, hash_of};
use crate::{
    app::App,
    client_network::ClientNetwork,
    clock::millis,
    limits::{self, Limit, LimitError},
    oauth::{ClientId, GrantType, GrantedScope, ScopeError, clients::is_deceptive, find_client},
    secrets::{KeyPurpose, Secret, TokenHash},
    store::{DeviceCodeRow, DeviceCodeState, StoreError},
};

/// The lifetime of the codes (OA-113).
const LIFETIME: Duration = Duration::from_mins(15);
/// The time between two polls (OA-113).
const INTERVAL: Duration = Duration::from_secs(5);
/// The maximum number of user codes that are tried until one is free.
const MAX_ATTEMPTS: usize = 4;
/// The maximum length of the user agent on the consent page.
const MAX_AGENT_CHARS: usize = 200;
/// The version of the format of a sealed requester.
const PLACE: &[u8] = b"requester 1";

/// The reason why a device gets no codes.
#[derive(Debug, thiserror::Error)]
pub enum DeviceRequestError {
    /// The client is unknown.
    #[error("the client is unknown")]
    UnknownClient,
    /// The client has not registered the grant, or the grant is off (OA-112).
    #[error("the client has not registered this grant")]
    Unauthorized,
    /// The scope cannot be granted.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A limit is exceeded, or could not be charged.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The codes of a device, and how to use them.
#[derive(Debug)]
pub struct DeviceAuthorization {
    /// The code with which the device polls.
    pub device_code: Secret,
    /// The code that the user enters.
    pub user_code: UserCode,
    /// The lifetime of both.
    pub expires_in: Duration,
    /// The time between two polls.
    pub interval: Duration,
}

/// The origin of a request, which the consent page shows (OA-119).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The client network.
    pub network: String,
    /// The user agent, as the device states it.
    pub user_agent: Option<String>,
}

impl Requester {
    /// The origin of a request with this header `User-Agent`.
    pub fn new(network: ClientNetwork, user_agent: Option<&str>) -> Self {
        let agent = user_agent.map(|text| {
            let shown = text.chars().filter(|letter| !is_deceptive(*letter));
            shown.take(MAX_AGENT_CHARS).collect::<String>()
        });
        Self {
            network: network.to_string(),
            user_agent: agent.filter(|text| !text.trim().is_empty()),
        }
    }

    /// The sealed value, so that the table contains no network.
    fn seal(&self, app: &App, code: &TokenHash) -> Vec<u8> {
        // Serialisation cannot fail: both members are strings.
        let plaintext = serde_json::to_vec(self).unwrap_or_default();
        let salt = code.0.as_bytes();
        let keys = &app.config.keys;
        keys.seal(
            KeyPurpose::DeviceRequester,
            salt,
            PLACE,
            &plaintext,
            &*app.rng,
        )
    }

    /// Opens a sealed value. `None` if the key is no longer in the ring.
    pub(super) fn open(app: &App, row: &DeviceCodeRow) -> Option<Self> {
        let salt = row.hash.0.as_bytes();
        let keys = &app.config.keys;
        let opened = keys.open(KeyPurpose::DeviceRequester, salt, PLACE, &row.requester);
        serde_json::from_slice(&opened.ok()?).ok()
    }
}

/// Issues the codes of a device. Two round trips: the client is read while the limit is charged, and one transaction
/// writes both codes.
pub async fn authorize_device(
    app: &App,
    client_id: &str,
    scope: &str,
    requester: &Requester,
) -> Result<DeviceAuthorization, DeviceRequestError> {
    if !app.config.oauth.has_device_grant {
        return Err(DeviceRequestError::Unauthorized);
    }
    let id = ClientId::parse(client_id).ok_or(DeviceRequestError::UnknownClient)?;
    let (charged, client) = tokio::join!(
        limits::consume(app, Limit::DeviceRequest, &requester.network),
        find_client(app, &id)
    );
    charged?;
    let client = client?.ok_or(DeviceRequestError::UnknownClient)?;
    if !client.metadata.has_grant(GrantType::DeviceCode) {
        return Err(DeviceRequestError::Unauthorized);
    }
    let scope = GrantedScope::parse(scope)?;
    let device_code = Secret::new(app.rng.base64::<CODE_BYTES>());
    let hash = hash_of(&device_code);
    let now = app.clock.now();
    let row = DeviceCodeRow {
        client: id.as_str().to_owned(),
        scope: scope.text,
        requester: requester.seal(app, &hash),
        hash,
        created: now,
        expires: now.plus(LIFETIME),
        interval: millis(INTERVAL),
        state: DeviceCodeState::Pending,
    };
    for _ in 0..MAX_ATTEMPTS {
        let user_code = UserCode::generate(app);
        let hash = user_code.hash(app);
        if app.store.create_device_code(&row, &hash, now).await? {
            return Ok(DeviceAuthorization {
                device_code,
                user_code,
                expires_in: LIFETIME,
                interval: INTERVAL,
            });
        }
    }
    Err(StoreError::Contended.into())
}
