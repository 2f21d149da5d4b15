//! matrix-rust-sdk, the client library of Element X, registers through its own API, by the account API and by the OAuth 2.0
//! API.
//!
//! The environment variable `TARGET_DIR` is the target directory in which `gatehouse-local` was built.

mod oauth;
mod pages;
mod server;
mod steps;

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use matrix_sdk::{
    Client,
    ruma::api::{
        MatrixVersion,
        client::{
            account::register::v3::{Request, Response},
            uiaa::{AuthData, AuthFlow, Dummy, UiaaInfo},
        },
        error::ErrorKind,
    },
};
use server::GatehouseServer;
use steps::Steps;

const PASSWORD: &str = "correct horse battery staple";

fn request(name: &str) -> Request {
    let mut request = Request::new();
    request.username = Some(name.to_owned());
    request.password = Some(PASSWORD.to_owned());
    request.initial_device_display_name = Some("rust-sdk".to_owned());
    request.refresh_token = true;
    request
}

/// Sends `request` and returns the UIA challenge of the response.
async fn challenge(client: &Client, request: Request) -> Result<UiaaInfo> {
    match client.matrix_auth().register(request).await {
        Ok(_) => bail!("the request succeeded without a UIA stage"),
        Err(error) => Ok(error
            .as_uiaa_response()
            .with_context(|| format!("the error is no UIA challenge: {error}"))?
            .clone()),
    }
}

/// Registers as the SDK's documentation describes: first without `auth`, then with the requested stage.
async fn register(client: &Client, name: &str) -> Result<Response> {
    let info = challenge(client, request(name)).await?;
    let is_dummy_only =
        |flow: &AuthFlow| flow.stages.len() == 1 && flow.stages[0].as_str() == "m.login.dummy";
    ensure!(
        info.flows.iter().any(is_dummy_only)
            && info.completed.is_empty()
            && info.auth_error.is_none()
    );
    let mut dummy = Dummy::new();
    dummy.session = info.session;
    let mut completed = request(name);
    completed.auth = Some(AuthData::Dummy(dummy));
    Ok(client.matrix_auth().register(completed).await?)
}

/// UIA-22: the response to register contains the account, the SDK logs itself in with it, and whoami returns it.
async fn registers_with_dummy() -> Result<()> {
    let server = GatehouseServer::start().await?;
    let client = server.client().await?;
    let account = register(&client, "alice").await?;
    ensure!(account.user_id == "@alice:localhost");
    ensure!(account.access_token.is_some());
    ensure!(client.matrix_auth().logged_in());
    let whoami = client.whoami().await?;
    ensure!(whoami.user_id == account.user_id);
    ensure!(whoami.device_id.is_some() && whoami.device_id == account.device_id);
    ensure!(!whoami.is_guest);
    Ok(())
}

/// REFR-01: a registration, a refresh and a logout by the account API.
async fn lives() -> Result<()> {
    let server = GatehouseServer::start().await?;
    let mut steps = Steps::new("account API");
    let client = server.client().await?;
    let account = register(&client, "alice").await?;
    steps.signed_up = true;
    client.matrix_auth().refresh_access_token().await?;
    let tokens = client.session_tokens().context("no tokens")?;
    ensure!(Some(&tokens.access_token) != account.access_token.as_ref());
    ensure!(client.whoami().await?.device_id == account.device_id);
    steps.refreshed = true;
    client.matrix_auth().logout().await?;
    let status = server.whoami_status(&tokens.access_token).await?;
    ensure!(status == 401, "{status} after a logout");
    steps.logged_out = true;
    Ok(())
}

/// REG-11: a taken username is an error with `M_USER_IN_USE` and not a UIA challenge.
async fn rejects_a_taken_username() -> Result<()> {
    let server = GatehouseServer::start().await?;
    register(&server.client().await?, "alice").await?;
    let client = server.client().await?;
    let result = client.matrix_auth().register(request("Alice")).await;
    let error = result
        .err()
        .context("the same username was registered twice")?;
    ensure!(error.as_uiaa_response().is_none());
    ensure!(error.client_api_error_kind() == Some(&ErrorKind::UserInUse));
    ensure!(!client.matrix_auth().logged_in());
    Ok(())
}

/// VER-02: the SDK parses the response of `/versions` and chooses the current paths by it.
async fn parses_versions() -> Result<()> {
    let server = GatehouseServer::start().await?;
    let versions = server.client().await?.server_versions().await?;
    ensure!(versions.contains(&MatrixVersion::V1_1), "{versions:?}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let tests = [
        (
            "UIA-22 register with m.login.dummy, then whoami",
            registers_with_dummy().await,
        ),
        ("VER-02 parse the versions", parses_versions().await),
        (
            "REG-11 register a taken username",
            rejects_a_taken_username().await,
        ),
        (
            "REFR-01 register, refresh and log out by the account API",
            lives().await,
        ),
        (
            "OA-85 sign up, refresh and log out by the OAuth 2.0 API",
            oauth::lives().await,
        ),
        (
            "OA-88 refresh an expired token, log out with an expired token",
            oauth::refreshes_expired_tokens().await,
        ),
        ("OA-65 cancel a login, then log in", oauth::cancels().await),
        (
            "OA-46 finish a login with a wrong state, then with the right one",
            oauth::compares_the_state().await,
        ),
    ];
    let mut failed = 0;
    for (name, outcome) in &tests {
        match outcome {
            Ok(()) => println!("ok    {name}"),
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}\n      {error:?}");
            }
        }
    }
    println!("{} passed, {failed} failed", tests.len() - failed);
    ExitCode::from(u8::from(failed > 0))
}
