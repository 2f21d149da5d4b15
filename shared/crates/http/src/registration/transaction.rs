//! The transaction that creates a user's account, and the calls after it.

use crate::{
    accounts::{CreateAccountError, NewAccount, NewDevice},
    app::App,
    appservices::Appservices,
    credentials,
    error::{MatrixError, registration_error},
    homeserver::{self, HomeserverNameError, Update},
    http::ClientNetwork,
    identity_servers,
    ids::Localpart,
    metrics::{self, Metric},
    oauth::browser_sessions,
    passwords::PasswordHash,
    store::{AccountKind, BrowserSessionRow, HomeserverState, StoreError},
    threepids::Medium,
    tokens::Login,
    uia::request::{FinalAttempt, FinalTransaction, OperationError},
};

use super::{NewLogin, answer::Response, browser, name::Name, parameters::Parameters};

/// The creation of the account (REG-15).
pub(super) struct AccountCreation<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) name: Name,
    /// Whether this request has already checked the name at the homeserver.
    pub(super) is_new_name: bool,
    pub(super) appservices: &'a Appservices,
    pub(super) network: ClientNetwork,
    pub(super) password: PasswordHash,
    pub(super) login: NewLogin<'a>,
}

/// The response, and the login that the transaction writes.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) device: Option<NewDevice>,
    pub(super) browser_session: Option<BrowserSessionRow>,
}

impl FinalTransaction for AccountCreation<'_> {
    async fn commit(
        &mut self,
        app: &App,
        attempt: FinalAttempt<'_>,
    ) -> Result<String, OperationError> {
        let claimed = self.name.claim(app, self.appservices);
        let (localpart, upgraded_guest) = claimed.map_err(refused)?;
        let update = self.begin_update(app, &localpart).await?;
        let answer = self.answer(app, &localpart);
        let result = &attempt.completion.result;
        let account = NewAccount {
            password: Some(self.password.clone()),
            device: answer.device,
            browser_session: answer.browser_session,
            terms: result.terms.clone(),
            registration_token: result.registration_token.clone(),
            threepids: result.threepids.clone(),
            session: attempt.session_commit(app, &answer.text),
            upgraded_guest,
            homeserver: match update {
                Some(_) => HomeserverState::Provisioning,
                None => HomeserverState::NotProvisioned,
            },
            ..NewAccount::new(localpart, AccountKind::User, app.clock.now())
        };
        let created = app.store.create_account(&account).await;
        match (created, update) {
            (Ok(()), Some(update)) => Box::pin(homeserver::register(app, update, &account))
                .await
                .map_err(|error| OperationError::Refused(registration_error(error)))?,
            (Ok(()), None) => {}
            (Err(error), update) => {
                match (update, &error) {
                    // The account may have been created.
                    (Some(update), CreateAccountError::Store(_)) => update.leave(None).await,
                    (Some(update), _) => update.cancel().await,
                    (None, _) => {}
                }
                return Err(self.operation_error(error));
            }
        }
        metrics::count(Metric::Registrations);
        metrics::user(&account.localpart);
        self.after_registration(app, &account).await;
        Ok(answer.text)
    }
}

impl AccountCreation<'_> {
    fn operation_error(&self, error: CreateAccountError) -> OperationError {
        match error {
            CreateAccountError::SessionChanged => OperationError::SessionChanged,
            CreateAccountError::RegistrationTokenSpent => OperationError::RegistrationTokenSpent,
            CreateAccountError::ValidationGone(medium) => OperationError::ValidationGone(medium),
            CreateAccountError::ThreePidTaken(medium) => {
                OperationError::ThreePidRefused(medium, error.into())
            }
            // The next attempt draws another name.
            CreateAccountError::NameTaken if matches!(self.name, Name::Generated) => {
                OperationError::Conflict
            }
            CreateAccountError::NameTaken
            | CreateAccountError::GuestChanged
            | CreateAccountError::Store(_) => OperationError::Refused(MatrixError::from(error)),
        }
    }

    /// Begins the update of the user at the homeserver, if one is configured. Fails if the name is not free there
    /// (HS-10).
    async fn begin_update<'b>(
        &self,
        app: &'b App,
        localpart: &Localpart,
    ) -> Result<Option<Update<'b>>, OperationError> {
        let Some(homeserver) = homeserver::of(app) else {
            return Ok(None);
        };
        let update = homeserver.begin(localpart).await.map_err(refused)?;
        let is_generated = matches!(self.name, Name::Generated);
        // The check before UIA has asked for a chosen name only.
        if self.is_new_name && matches!(self.name, Name::Chosen(_)) {
            return Ok(Some(update));
        }
        let error = match homeserver::check_name(app, localpart).await {
            Ok(()) => return Ok(Some(update)),
            // The next attempt draws another name.
            Err(HomeserverNameError::Name(_)) if is_generated => OperationError::Conflict,
            // A concurrent duplicate of this request may have created the user. The transaction detects this.
            Err(error @ HomeserverNameError::Name(_)) => match has_user(app, localpart).await {
                Ok(true) => return Ok(Some(update)),
                Ok(false) => refused(error),
                Err(error) => OperationError::Store(error),
            },
            Err(error) => refused(error),
        };
        update.cancel().await;
        Err(error)
    }

    /// The response, with a new device unless the client inhibits the login (REG-20).
    fn answer(&self, app: &App, localpart: &Localpart) -> Answer {
        if let NewLogin::Browser(_) = self.login {
            return browser::answer(app, localpart);
        }
        let (response, device) = self.client_answer(app, localpart);
        Answer {
            text: serde_json::to_string(&response).unwrap_or_default(),
            device,
            browser_session: None,
        }
    }

    fn client_answer(&self, app: &App, localpart: &Localpart) -> (Response, Option<NewDevice>) {
        let parameters = self.parameters;
        if parameters.inhibit_login == Some(true) {
            return (Response::without_login(app, localpart), None);
        }
        let refreshable = parameters.refresh_token == Some(true);
        let login = Login {
            device_id: parameters.device_id.clone(),
            display_name: parameters.initial_device_display_name.clone(),
            refreshable,
            lifetime: app.config.tokens.of(refreshable),
        };
        let (answer, device) = Response::with_login(app, localpart, &login);
        (answer, Some(device))
    }

    /// Trusts the network, ends an earlier session of the browser and binds the 3PIDs.
    ///
    /// Runs only after the account has been created, because until then another request may claim the name. A trusted
    /// network prevents later password attempts of attackers from locking the owner out there.
    async fn after_registration(&self, app: &App, account: &NewAccount) {
        let trust_network = async {
            if account.device.is_some() || account.browser_session.is_some() {
                credentials::trust_network(app, &account.localpart, self.network).await;
            }
        };
        let end_session = async {
            if let NewLogin::Browser(cookie) = self.login {
                // The session ends in any case after some time without use, so a failure is ignored.
                let _ = browser_sessions::end(app, cookie).await;
            }
        };
        tokio::join!(self.bind(app, account), trust_network, end_session);
    }

    /// Publishes the 3PIDs at identity servers if the client asks for that (REG-26, DIS-03). The
    /// registration succeeds even if that fails.
    async fn bind(&self, app: &App, account: &NewAccount) {
        let is_requested = |medium| match medium {
            Medium::Email => self.parameters.bind_email == Some(true),
            Medium::Msisdn => self.parameters.bind_msisdn == Some(true),
        };
        let validated = account.threepids.iter();
        let requested: Vec<_> = validated
            .filter(|validated| is_requested(validated.threepid.medium))
            .collect();
        if !requested.is_empty() {
            let user = &account.localpart;
            Box::pin(identity_servers::bind_validated(app, user, &requested)).await;
        }
    }
}

/// Whether a user has the name. The guest that the request upgrades is none.
async fn has_user(app: &App, localpart: &Localpart) -> Result<bool, StoreError> {
    let found = app.store.find_account(localpart).await?;
    Ok(found.is_some_and(|account| account.kind == AccountKind::User))
}

fn refused(error: impl Into<MatrixError>) -> OperationError {
    OperationError::Refused(error.into())
}
