//! Users of application services: the service's token stands for all proof, and there is no
//! password (REG-31, UIA-28).

use shared::{
    accounts::{self, NewAccount},
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{self, Body, Request, Response as HttpResponse},
    store::AccountKind,
    tokens::{self, Login},
};

use crate::{answer::Response, parameters::Parameters};

pub(crate) async fn register(
    app: &App,
    request: &Request,
    body: &Body,
) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let Some(appservice) = tokens::authenticate_appservice(app, &token).await? else {
        return Err(MatrixError::new(
            ErrorCode::UnknownToken,
            "The token is no application service's",
        )
        .into());
    };
    let wanted = Parameters::parse(body)?;
    let username: String = body.required("username")?;
    let appservices = app.appservices().await?;
    let localpart = accounts::choose(&username, &app.config, &appservices, Some(&appservice))?;
    let (answer, device) = if wanted.inhibit_login == Some(true) {
        (Response::without_login(app, &localpart), None)
    } else {
        let login = Login {
            device_id: wanted.device_id,
            display_name: wanted.initial_device_display_name,
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
