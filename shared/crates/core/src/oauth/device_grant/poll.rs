//! The device's part: polls, and the exchange of the device code (OA-115 to OA-117).

use std::time::Duration;

use super::parse_code;
use crate::{
    app::App,
    clock::{Timestamp, millis},
    homeserver::{self, AddedDevice, UpdateError},
    ids::DeviceId,
    oauth::{
        Client, ClientId, GrantError, GrantType, GrantedScope, TokenResponse, find_client,
        session_start::{self, Exchanged, NewSession, StartError},
        sessions,
    },
    secrets::{Secret, TokenHash},
    store::{
        AccountRow, Approval, DeviceCodeRow, DeviceCodeState, PollOutcome, StoreError, TokenDevice,
    },
};

/// How much too early a poll may be (OA-115).
const TOLERANCE: Duration = Duration::from_secs(1);
/// How much longer the interval becomes after a poll that is too early.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// The longest time between two polls that a code demands.
const MAX_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of attempts with concurrent polls.
const MAX_ATTEMPTS: usize = 5;

/// Handles a poll. Returns the tokens if a user has given consent. A poll before the decision is one write. A code is
/// exchanged once. The client gets the same response again for a minute, or until it uses one of the tokens (OA-117).
pub async fn poll_device(
    app: &App,
    client_id: &str,
    text: &Secret,
) -> Result<TokenResponse, GrantError> {
    if !app.config.oauth.has_device_grant {
        return Err(GrantError::Unauthorized);
    }
    let id = ClientId::parse(client_id).ok_or(GrantError::UnknownClient)?;
    let code = parse_code(text);
    for _ in 0..MAX_ATTEMPTS {
        let row = match &code {
            Some(hash) => poll(app, &id, hash).await?,
            None => None,
        };
        // A client with a code has registered the grant, and its metadata never changes.
        let Some(row) = row.filter(|row| row.client == id.as_str()) else {
            return Err(refusal(app, &id).await?);
        };
        match &row.state {
            DeviceCodeState::Exchanged {
                approval,
                session,
                repeat_until,
            } => {
                let repeat = Repeat {
                    app,
                    text,
                    row: &row,
                    approval,
                    session,
                };
                return repeat.response(*repeat_until).await;
            }
            _ if row.expires <= app.clock.now() => return Err(GrantError::Expired),
            DeviceCodeState::Pending => {
                let interval = row.interval + millis(SLOW_DOWN);
                let now = app.clock.now();
                // A client that ignores the interval causes no further writes.
                if interval <= millis(MAX_INTERVAL) {
                    app.store.slow_down_device_code(&row, interval, now).await?;
                }
                return Err(GrantError::SlowDown);
            }
            DeviceCodeState::Denied => return Err(GrantError::Denied),
            DeviceCodeState::Approved(approval) => {
                let client = find_client(app, &id).await?;
                let client = client.ok_or(GrantError::UnknownClient)?;
                match exchange(app, &client, text, &row, approval).await {
                    // Another poll was faster. The next attempt returns its response.
                    Err(StartError::CodeUsed) => {}
                    Err(StartError::Grant(error)) => return Err(error),
                    Ok(response) => return Ok(response),
                }
            }
        }
    }
    Err(StoreError::Contended.into())
}

/// Polls. Returns the row of a code whose state decides about the response.
async fn poll(
    app: &App,
    client: &ClientId,
    code: &TokenHash,
) -> Result<Option<DeviceCodeRow>, GrantError> {
    let now = app.clock.now();
    let times = (now, now.plus(TOLERANCE));
    match app
        .store
        .poll_device_code(code, client.as_str(), times)
        .await?
    {
        PollOutcome::Pending => Err(GrantError::Pending),
        PollOutcome::Refused(row) => Ok(row.map(|row| *row)),
    }
}

/// The error for a code that is unknown or belongs to another client (OA-112, OA-116).
async fn refusal(app: &App, id: &ClientId) -> Result<GrantError, StoreError> {
    Ok(match find_client(app, id).await? {
        None => GrantError::UnknownClient,
        Some(client) if !client.metadata.has_grant(GrantType::DeviceCode) => {
            GrantError::Unauthorized
        }
        Some(_) => GrantError::InvalidGrant,
    })
}

async fn exchange(
    app: &App,
    client: &Client,
    text: &Secret,
    row: &DeviceCodeRow,
    approval: &Approval,
) -> Result<TokenResponse, StartError> {
    let device = device_of(row).map_err(StartError::Grant)?;
    let new = NewSession {
        client,
        user: &approval.user,
        device: &device,
        scope: &row.scope,
        epoch: approval.epoch,
        exchanged: Exchanged::DeviceCode(row, text),
    };
    session_start::start(app, &new).await
}

/// The device of a request, whose scope was checked before.
fn device_of(row: &DeviceCodeRow) -> Result<DeviceId, GrantError> {
    let scope = GrantedScope::parse(&row.scope).ok();
    let device = scope.and_then(|scope| DeviceId::parse(&scope.device_id));
    device.ok_or(GrantError::InvalidGrant)
}

/// A poll with a code that was exchanged before. The client may have lost the response.
struct Repeat<'a> {
    app: &'a App,
    text: &'a Secret,
    row: &'a DeviceCodeRow,
    approval: &'a Approval,
    session: &'a TokenHash,
}

impl Repeat<'_> {
    /// The same response. The device may not exist at the homeserver yet, if the other request is in progress or was
    /// interrupted (OA-80).
    async fn response(&self, until: Timestamp) -> Result<TokenResponse, GrantError> {
        if until <= self.app.clock.now() {
            return Err(GrantError::InvalidGrant);
        }
        let user = &self.approval.user;
        let device = device_of(self.row)?;
        let Some(homeserver) = homeserver::of(self.app) else {
            let found = self.find(&device).await?;
            return Ok(found.ok_or(GrantError::InvalidGrant)?.1);
        };
        let update = homeserver.begin(user).await?;
        match self.find(&device).await {
            Ok(Some((account, response))) => {
                let added = AddedDevice {
                    id: &device,
                    display_name: None,
                    may_be_outdated: false,
                };
                let added = Box::pin(update.add_device(user, &account, added)).await;
                Box::pin(update.close_login(user, added)).await?;
                Ok(response)
            }
            Ok(None) => {
                update.cancel().await;
                Err(GrantError::InvalidGrant)
            }
            Err(error) => {
                update.cancel().await;
                Err(error)
            }
        }
    }

    /// The account and the response, if the session of the code is live and none of its tokens was used.
    async fn find(
        &self,
        device: &DeviceId,
    ) -> Result<Option<(AccountRow, TokenResponse)>, GrantError> {
        let (app, user) = (self.app, &self.approval.user);
        let named = TokenDevice::Named(device.clone());
        let rows = app.store.find_account_and_device(user, &named).await?;
        let (Some(account), row) = rows else {
            return Ok(None);
        };
        let Some(row) = row else {
            if homeserver::of(app).is_some() {
                // The homeserver did not create the device, and the other request is about to reopen the code.
                let reason = "the device was not created".to_owned();
                return Err(UpdateError::Unavailable(reason).into());
            }
            return Ok(None);
        };
        let is_own = row
            .oauth
            .as_ref()
            .is_some_and(|own| own.id == *self.session);
        let is_unused = row.refresh_hash.as_ref() == Some(&self.row.hash);
        if !is_own || !is_unused || !account.is_device_valid(&row.id, row.epoch) {
            return Ok(None);
        }
        let response = row.next.as_ref().and_then(|next| {
            let answer = (next.answer.as_slice(), next.access_expires);
            sessions::open_response(app, self.text.reveal(), (user, device), answer)
        });
        Ok(response.map(|response| (account, response)))
    }
}
