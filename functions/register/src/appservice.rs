//! Registers users of application services. The token of the application service replaces UIA, and the account has
//! no password (REG-31, UIA-28).

use shared::{
    accounts::{self, NameError, NewAccount},
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::UpdateError,
    http::{self, Body, Request, Response as HttpResponse},
    ids::Localpart,
    limits::{self, Limit},
    registration::{Parameters, Response},
    store::AccountKind,
    tokens::{self, Login},
};

pub(crate) async fn register(
    app: &App,
    request: &Request,
    body: &Body,
) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(request, app.config.query_tokens)?;
    // HS-23: with a homeserver, application services are configured there.
    if let Some(client) = app.homeserver_client() {
        limits::consume(app, Limit::Read, request.network).await?;
        let forwarded = client.forward_registration(&token, request.body.clone());
        let (status, text) = forwarded.await.map_err(UpdateError::from)?;
        return Ok(HttpResponse::json_text(status, text));
    }
    let Some(appservice) = tokens::authenticate_appservice(app, &token).await? else {
        return Err(MatrixError::new(
            ErrorCode::UnknownToken,
            "The access token does not belong to an application service",
        )
        .into());
    };
    let parameters = Parameters::parse(body)?;
    let username: String = body.required("username")?;
    let appservices = app.appservices().await?;
    let name = Localpart::parse(&username, &app.config.server_name).map_err(NameError::Grammar)?;
    let localpart = accounts::check_name(name, &app.config, &appservices, Some(&appservice))?;
    let (answer, device) = if parameters.inhibit_login == Some(true) {
        (Response::without_login(app, &localpart), None)
    } else {
        let login = Login {
            device_id: parameters.device_id,
            display_name: parameters.initial_device_display_name,
            ..Login::default()
        };
        let (answer, device) = Response::with_login(app, &localpart, &login);
        (answer, Some(device))
    };
    let account = NewAccount {
        device,
        ..NewAccount::new(localpart, AccountKind::Appservice, app.clock.now())
    };
    app.store.create_account(&account).await?;
    Ok(HttpResponse::ok(&answer))
}
