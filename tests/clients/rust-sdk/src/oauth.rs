//! matrix-sdk signs up, logs in, refreshes and logs out by the OAuth 2.0 API, as Element X does.

use anyhow::{Context, Result, bail, ensure};
use matrix_sdk::{
    Client, Error,
    authentication::oauth::{
        ClientRegistrationData, OAuthAuthorizationData, OAuthError,
        error::OAuthAuthorizationCodeError,
        registration::{ApplicationType, ClientMetadata, Localized, OAuthGrantType},
    },
    ruma::{api::client::discovery::get_authorization_server_metadata::v1::Prompt, serde::Raw},
};
use url::Url;

use crate::{PASSWORD, pages::PageDriver, register, server::GatehouseServer, steps::Steps};

/// A client by its website and its redirect URI.
struct App {
    client_uri: &'static str,
    redirect_uri: &'static str,
}

/// Element X on Android.
const ELEMENT_X: App = App {
    client_uri: "https://element.io/apps/android",
    redirect_uri: "io.element.android:/",
};
/// The example of the SDK, which listens on a port of its own choice.
const EXAMPLE: App = App {
    client_uri: "https://github.com/matrix-org/matrix-rust-sdk",
    redirect_uri: "http://127.0.0.1/",
};

/// Builds an authorization URL and opens it.
async fn authorize(
    server: &GatehouseServer,
    client: &Client,
    app: &App,
    port: Option<u16>,
    prompt: Option<Prompt>,
) -> Result<(OAuthAuthorizationData, PageDriver)> {
    let registered = Url::parse(app.redirect_uri)?;
    let mut redirect_uri = registered.clone();
    if port.is_some() {
        redirect_uri
            .set_port(port)
            .map_err(|()| anyhow::anyhow!("the redirect URI cannot have a port"))?;
    }
    let grant = OAuthGrantType::AuthorizationCode {
        redirect_uris: vec![registered],
    };
    let metadata = ClientMetadata {
        client_name: Some(Localized::new("rust-sdk".to_owned(), [])),
        ..ClientMetadata::new(
            ApplicationType::Native,
            vec![grant],
            Localized::new(Url::parse(app.client_uri)?, []),
        )
    };
    let registration = ClientRegistrationData::new(Raw::new(&metadata)?);
    let login = client
        .oauth()
        .login(redirect_uri, None, Some(registration), None);
    let login = login.prompt(prompt.into_iter().collect());
    let data = login.build().await?;
    let pages = PageDriver::open(server.http_client()?, data.url.clone()).await?;
    Ok((data, pages))
}

/// Logs in as `user` in a new browser and returns the response of the server to the decision.
async fn log_in(
    server: &GatehouseServer,
    client: &Client,
    user: &str,
    decision: &str,
) -> Result<Url> {
    let (_, mut pages) = authorize(server, client, &EXAMPLE, Some(4711), None).await?;
    pages
        .submit(&[("user", user), ("password", PASSWORD)])
        .await?;
    pages.submit(&[("action", decision)]).await?;
    let response = pages.response()?;
    ensure!(
        response.as_str().starts_with("http://127.0.0.1:4711/?"),
        "{response}"
    );
    Ok(response)
}

/// The error of an authorization that cannot be finished.
async fn failure(client: &Client, response: Url) -> Result<OAuthAuthorizationCodeError> {
    match client.oauth().finish_login(response.into()).await {
        Ok(()) => bail!("the login succeeded"),
        Err(Error::OAuth(error)) => match *error {
            OAuthError::AuthorizationCode(error) => Ok(error),
            other => Err(other.into()),
        },
        Err(other) => Err(other.into()),
    }
}

/// OA-85: a sign-up, a refresh and a logout.
pub async fn lives() -> Result<()> {
    let server = GatehouseServer::start().await?;
    let mut steps = Steps::new("OAuth 2.0");
    let client = server.client().await?;
    let metadata = client.oauth().server_metadata().await?;
    ensure!(
        metadata.prompt_values_supported.contains(&Prompt::Create),
        "OA-03"
    );
    let (_, mut pages) =
        authorize(&server, &client, &ELEMENT_X, None, Some(Prompt::Create)).await?;
    let details = [
        ("username", "alice"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    pages.submit(&details).await?;
    pages.follow("Without further data").await?;
    pages.submit(&[]).await?;
    pages.submit(&[("action", "allow")]).await?;
    let response = pages.response()?;
    ensure!(
        response.as_str().starts_with("io.element.android:/?"),
        "OA-41: {response}"
    );
    client.oauth().finish_login(response.into()).await?;
    let whoami = client.whoami().await?;
    ensure!(whoami.user_id == "@alice:localhost");
    ensure!(whoami.device_id.as_deref() == client.device_id());
    steps.signed_up = true;

    let before = client.session_tokens().context("no tokens")?;
    client.oauth().refresh_access_token().await?;
    let after = client.session_tokens().context("no tokens")?;
    ensure!(
        before.access_token != after.access_token && before.refresh_token != after.refresh_token
    );
    ensure!(client.whoami().await?.device_id == whoami.device_id);
    steps.refreshed = true;

    client.oauth().logout().await?;
    let status = server.whoami_status(&after.access_token).await?;
    ensure!(status == 401, "{status} after a logout");
    // The SDK answers the 401 with a refresh, which fails, too.
    ensure!(client.whoami().await.is_err());
    steps.logged_out = true;
    Ok(())
}

/// OA-88: the SDK refreshes an expired token by itself, and logs out with an expired token.
pub async fn refreshes_expired_tokens() -> Result<()> {
    let server = GatehouseServer::start().await?;
    register(&server.client().await?, "bob").await?;
    let client = server.client().await?;
    let response = log_in(&server, &client, "bob", "allow").await?;
    client.oauth().finish_login(response.into()).await?;
    let before = client.session_tokens().context("no tokens")?;
    server.advance(3600).await?;
    ensure!(client.whoami().await?.user_id == "@bob:localhost");
    ensure!(client.session_tokens().context("no tokens")?.access_token != before.access_token);
    server.advance(3600).await?;
    client.oauth().logout().await?;
    let error = client.oauth().refresh_access_token().await;
    ensure!(
        error.is_err(),
        "OA-109: the session goes on after a logout with an expired token"
    );
    Ok(())
}

/// OA-65: a refusal is a cancelled login, after which the same client can log in.
pub async fn cancels() -> Result<()> {
    let server = GatehouseServer::start().await?;
    register(&server.client().await?, "carol").await?;
    let client = server.client().await?;
    let response = log_in(&server, &client, "carol", "cancel").await?;
    let error = failure(&client, response).await?;
    ensure!(
        matches!(error, OAuthAuthorizationCodeError::Cancelled),
        "{error:?}"
    );
    let response = log_in(&server, &client, "carol", "allow").await?;
    client.oauth().finish_login(response.into()).await?;
    ensure!(client.whoami().await?.user_id == "@carol:localhost");
    Ok(())
}

/// OA-46: a response with another state is refused, and the state in the response is that of the request.
pub async fn compares_the_state() -> Result<()> {
    let server = GatehouseServer::start().await?;
    register(&server.client().await?, "dave").await?;
    let client = server.client().await?;
    let response = log_in(&server, &client, "dave", "allow").await?;
    let mut wrong = response.clone();
    let pairs = response.query_pairs().map(|(name, value)| match &*name {
        "state" => (name, "another".into()),
        _ => (name, value),
    });
    wrong.query_pairs_mut().clear().extend_pairs(pairs);
    let error = failure(&client, wrong).await?;
    ensure!(
        matches!(error, OAuthAuthorizationCodeError::InvalidState),
        "{error:?}"
    );
    client.oauth().finish_login(response.into()).await?;
    ensure!(client.whoami().await?.user_id == "@dave:localhost");
    Ok(())
}
