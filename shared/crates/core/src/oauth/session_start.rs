//! The start of a session: the exchange of a code for the first tokens (OA-77, OA-79, OA-80).

use std::time::Duration;

use super::{
    Client, GrantError, TokenResponse,
    sessions::{NewPair, seal_response},
};
use crate::{
    app::App,
    homeserver::{self, UpdateError},
    ids::{DeviceId, Localpart},
    metrics::{self, Metric},
    secrets::Secret,
    store::{
        AccountKind, CodeRow, DeviceCodeRow, ExchangeCodeError, ExchangedRow, NewDevice,
        OAuthSession, RepeatedResponse, StoreError,
    },
    tokens,
};

/// How long a client gets the response to a device code again, unless it uses a token (OA-117).
const REPEAT: Duration = Duration::from_mins(1);

/// The code that is exchanged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exchanged<'a> {
    /// An authorization code.
    Code(&'a CodeRow),
    /// A device code, with its text.
    DeviceCode(&'a DeviceCodeRow, &'a Secret),
}

/// A session that is about to start.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewSession<'a> {
    pub(super) client: &'a Client,
    pub(super) user: &'a Localpart,
    pub(super) device: &'a DeviceId,
    pub(super) scope: &'a str,
    /// The epoch of the account when the user gave consent.
    pub(super) epoch: i64,
    pub(super) exchanged: Exchanged<'a>,
}

/// The reason why no session started.
#[derive(Debug)]
pub(super) enum StartError {
    /// Another request has exchanged the code.
    CodeUsed,
    Grant(GrantError),
}

impl From<ExchangeCodeError> for StartError {
    fn from(error: ExchangeCodeError) -> Self {
        match error {
            ExchangeCodeError::CodeUsed => Self::CodeUsed,
            // OA-81, OA-121
            ExchangeCodeError::AccountChanged => Self::Grant(GrantError::InvalidGrant),
            ExchangeCodeError::ClientExpired => Self::Grant(GrantError::UnknownClient),
            ExchangeCodeError::Store(error) => error.into(),
        }
    }
}

impl From<UpdateError> for StartError {
    fn from(error: UpdateError) -> Self {
        Self::Grant(error.into())
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Grant(error.into())
    }
}

impl NewSession<'_> {
    /// The device of the session.
    fn device(&self, app: &App, pair: &NewPair) -> NewDevice {
        let session = OAuthSession {
            client: self.client.id.as_str().to_owned(),
            id: pair.session_hash.clone(),
            scope: self.scope.to_owned(),
        };
        let repeated = match self.exchanged {
            Exchanged::Code(_) => None,
            Exchanged::DeviceCode(row, code) => Some(RepeatedResponse {
                device_code: row.hash.clone(),
                sealed: seal_response(app, code.reveal(), (self.user, self.device), &pair.response),
            }),
        };
        NewDevice {
            id: self.device.clone(),
            // OA-79
            display_name: self.client.metadata.client_name.clone(),
            access_hash: pair.access_hash.clone(),
            access_expires: Some(pair.access_expires),
            refresh_hash: Some(pair.refresh_hash.clone()),
            oauth: Some(session),
            repeated,
        }
    }
}

/// Exchanges the code. One transaction writes the device, and the device exists at the homeserver before the client gets
/// its tokens.
pub(super) async fn start(app: &App, new: &NewSession<'_>) -> Result<TokenResponse, StartError> {
    let (user, client) = (new.user, new.client);
    let pair = NewPair::first(app, user, new.device, new.scope.to_owned());
    let device = new.device(app, &pair);
    let now = app.clock.now();
    let row = match new.exchanged {
        Exchanged::Code(row) => ExchangedRow::Code(row),
        Exchanged::DeviceCode(row, _) => ExchangedRow::DeviceCode(row, now.plus(REPEAT)),
    };
    let new_client = (!client.is_permanent).then(|| client.id.as_str());
    let at = (new.epoch, now);
    let save = app.store.exchange(row, user, &device, at, new_client);
    let account = match homeserver::of(app) {
        Some(_) => app.store.find_account(user).await?,
        None => None,
    };
    let account = account.filter(|account| account.kind == AccountKind::User);
    match (homeserver::of(app), account) {
        (Some(homeserver), Some(account)) => {
            let save = async { save.await.map_err(StartError::from) };
            let account = (user, &account);
            let logged_in = tokens::log_in_at(app, homeserver, account, &device, true, save);
            let logged_in = Box::pin(logged_in).await;
            if let Err(StartError::Grant(GrantError::Homeserver(_))) = &logged_in {
                // OA-80: the client may try the code again.
                app.store.reopen(row, &pair.session_hash).await?;
            }
            logged_in?;
        }
        _ => save.await?,
    }
    metrics::count(Metric::Logins);
    Ok(pair.response)
}
