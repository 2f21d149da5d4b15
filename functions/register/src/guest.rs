//! Registers guests, with one request and without UIA. Only the display name of the device is read from the body
//! (GUEST-01 to GUEST-05).

use shared::{
    accounts::{self, CreateAccountError, NewAccount},
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request, Response as HttpResponse},
    ids::MAX_DISPLAY_NAME_CHARS,
    limits::{self, Limit},
    registration::Response,
    store::AccountKind,
    tokens::Login,
};

/// The maximum number of names that are drawn if the earlier names are taken.
const NAME_TRIES: usize = 3;

pub(crate) async fn register(app: &App, request: &Request) -> Result<HttpResponse, Rejection> {
    let Some(lifetime) = app.config.guests else {
        return Err(MatrixError::new(
            ErrorCode::Forbidden,
            "This server does not allow guest accounts",
        )
        .into());
    };
    let body = Body::parse(&request.body)?;
    // GUEST-02: a display name of another type, or one that is too long, is ignored.
    let display_name = body
        .optional::<String>("initial_device_display_name")
        .ok()
        .flatten();
    let display_name = display_name.filter(|name| name.chars().count() <= MAX_DISPLAY_NAME_CHARS);
    let (charged, appservices) = tokio::join!(
        limits::consume(app, Limit::Guest, request.network),
        app.appservices()
    );
    charged?;
    let appservices = appservices?;
    let login = Login {
        display_name,
        lifetime: Some(lifetime),
        ..Login::default()
    };
    for _ in 0..NAME_TRIES {
        let localpart = accounts::generate_guest(&app.config, &appservices, &*app.rng)?;
        let (answer, device) = Response::with_login(app, &localpart, &login);
        let account = NewAccount {
            device: Some(device),
            ..NewAccount::new(localpart, AccountKind::Guest, app.clock.now())
        };
        match app.store.create_account(&account).await {
            Ok(()) => return Ok(HttpResponse::ok(&answer)),
            Err(CreateAccountError::NameTaken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CreateAccountError::NameTaken.into())
}
