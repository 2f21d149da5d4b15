//! The user's part: the look-up of a user code, and the decision (OA-118 to OA-121).

use super::{Requester, UserCode};
use crate::{
    app::App,
    client_network::ClientNetwork,
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    limits::{self, Limit, LimitError},
    oauth::{
        Client, ClientId, GrantedScope,
        browser_sessions::{self, BrowserSession},
        find_client,
    },
    secrets::TokenHash,
    store::{
        Approval, BrowserSessionRow, DecideDeviceError, DeviceCodeRow, DeviceCodeState,
        DeviceDecision, StoreError,
    },
};

/// How often a user code can be looked up (OA-120).
const MAX_LOOK_UPS: i64 = 10;

/// A device that waits for the decision of a user.
#[derive(Debug)]
pub struct LinkedDevice {
    /// The hash of its device code.
    pub code: TokenHash,
    /// The client.
    pub client: Client,
    /// The requested scope.
    pub scope: GrantedScope,
    /// The time of the request.
    pub requested_at: Timestamp,
    /// The origin of the request.
    pub requester: Option<Requester>,
    /// Whether the account of the user has a live device with the ID of the request (OA-64).
    pub replaces_device: bool,
}

/// The reason why a look-up has no result.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// The browser session has ended.
    #[error("the browser session has ended")]
    LoggedOut,
    /// The code is unknown, has expired, was looked up too often, or is not pending. Nothing distinguishes the cases.
    #[error("the user code is wrong")]
    WrongCode,
    /// A limit is exceeded, or could not be charged.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Looks up a user code for the user of a browser session. The limits are charged before the code is read, and refunded if
/// it is right. The text may be no code: it is a wrong attempt then, without a read of the code.
pub async fn look_up(
    app: &App,
    session: &BrowserSessionRow,
    network: ClientNetwork,
    code: Option<&UserCode>,
) -> Result<(BrowserSession, LinkedDevice), LookUpError> {
    let charges = [
        (Limit::UserCodeFromNetwork, network.widest().to_string()),
        (Limit::UserCode, session.localpart.as_str().to_owned()),
    ];
    limits::consume_in_order(app, &charges).await?;
    let (valid, found) = tokio::join!(
        browser_sessions::with_device(app, Some(session.clone()), None),
        find_code(app, code)
    );
    let Some((valid, _)) = valid? else {
        limits::refund_all(app, &charges).await;
        return Err(LookUpError::LoggedOut);
    };
    let code = found?.ok_or(LookUpError::WrongCode)?;
    let row = app
        .store
        .look_up_device_code(&code, app.clock.now(), MAX_LOOK_UPS);
    let row = row.await?.ok_or(LookUpError::WrongCode)?;
    let (device, (), used) = tokio::join!(
        linked_device(app, &valid, row),
        limits::refund_all(app, &charges),
        browser_sessions::record_use(app, session)
    );
    used?;
    Ok((valid, device?))
}

async fn find_code(app: &App, code: Option<&UserCode>) -> Result<Option<TokenHash>, StoreError> {
    match code {
        Some(code) => app.store.find_user_code(&code.hashes(app)).await,
        None => Ok(None),
    }
}

/// Reads everything that the consent page shows.
async fn linked_device(
    app: &App,
    session: &BrowserSession,
    row: DeviceCodeRow,
) -> Result<LinkedDevice, LookUpError> {
    // Both were checked when the device requested access.
    let id = ClientId::parse(&row.client).ok_or(LookUpError::WrongCode)?;
    let scope = GrantedScope::parse(&row.scope).map_err(|_| LookUpError::WrongCode)?;
    let (client, replaces_device) = tokio::join!(
        find_client(app, &id),
        has_device(app, session, &scope.device_id)
    );
    Ok(LinkedDevice {
        // An unused registration may expire while the device waits.
        client: client?.ok_or(LookUpError::WrongCode)?,
        scope,
        requested_at: row.created,
        requester: Requester::open(app, &row),
        replaces_device: replaces_device?,
        code: row.hash,
    })
}

async fn has_device(app: &App, session: &BrowserSession, id: &str) -> Result<bool, StoreError> {
    let Some(id) = DeviceId::parse(id) else {
        return Ok(false);
    };
    let found = app.store.find_device(&session.localpart, &id).await?;
    Ok(found.is_some_and(|device| session.account.is_device_valid(&device.id, device.epoch)))
}

/// The reason why a decision has no effect.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The browser session has ended.
    #[error("the browser session has ended")]
    LoggedOut,
    /// The request has expired, or the user or another one has decided otherwise before.
    #[error("the request has expired or was decided before")]
    Decided,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the decision of the user of a browser session. A decision that is repeated has the same result. One transaction;
/// a read follows if it fails.
pub async fn decide(
    app: &App,
    session: &BrowserSessionRow,
    code: &TokenHash,
    decision: DeviceDecision,
) -> Result<(), DecideError> {
    let approval = Approval {
        user: session.localpart.clone(),
        epoch: session.epoch,
    };
    let now = app.clock.now();
    let (decided, used) = tokio::join!(
        app.store.decide_device_code(code, &approval, decision, now),
        browser_sessions::record_use(app, session)
    );
    match decided {
        Ok(()) => {}
        Err(DecideDeviceError::AccountChanged) => return Err(DecideError::LoggedOut),
        Err(DecideDeviceError::Store(error)) => return Err(error.into()),
        Err(DecideDeviceError::NotPending) => {
            let row = app.store.find_device_code(code).await?;
            if !row.is_some_and(|row| was_decided(&row.state, &session.localpart, decision)) {
                return Err(DecideError::Decided);
            }
        }
    }
    used?;
    Ok(())
}

/// Whether an earlier request of the same user has written the same decision.
fn was_decided(state: &DeviceCodeState, user: &Localpart, decision: DeviceDecision) -> bool {
    match (state, decision) {
        (
            DeviceCodeState::Approved(approval) | DeviceCodeState::Exchanged { approval, .. },
            DeviceDecision::Approve,
        ) => approval.user == *user,
        (DeviceCodeState::Denied, DeviceDecision::Deny) => true,
        _ => false,
    }
}
