//! matrix-rust-sdk, the library of Element X, registers with its own calls.
//!
//! `TARGET_DIR` names the target directory in which `gatehouse-local` was built.

use std::process::{ExitCode, Stdio};

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
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const PASSWORD: &str = "correct horse battery staple";

/// One `gatehouse-local`, on a port of its own and with nothing in it; gone when it is dropped.
struct GatehouseServer {
    url: String,
    _process: Child,
}

impl GatehouseServer {
    async fn start() -> Result<Self> {
        let builds = std::env::var("TARGET_DIR").context("TARGET_DIR is not set")?;
        let mut command = Command::new(format!("{builds}/debug/gatehouse-local"));
        // Settings of whoever runs this would decide what is tested.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GATEHOUSE_")) {
            command.env_remove(name);
        }
        let mut process = command
            .args(["--listen", "127.0.0.1:0"])
            .env("GATEHOUSE_ARGON2", "m=8,t=1,p=1")
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("gatehouse-local does not start")?;
        let stdout = process.stdout.take().context("no output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let line = line.context("no ready line")?;
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .context("no address in the ready line")?;
        Ok(Self {
            url: url.to_owned(),
            _process: process,
        })
    }

    async fn client(&self) -> Result<Client> {
        Ok(Client::builder().homeserver_url(&self.url).build().await?)
    }
}

fn request(name: &str) -> Request {
    let mut request = Request::new();
    request.username = Some(name.to_owned());
    request.password = Some(PASSWORD.to_owned());
    request.initial_device_display_name = Some("rust-sdk".to_owned());
    request
}

/// The challenge that `request` meets.
async fn challenge(client: &Client, request: Request) -> Result<UiaaInfo> {
    match client.matrix_auth().register(request).await {
        Ok(_) => bail!("registered without a stage"),
        Err(error) => Ok(error
            .as_uiaa_response()
            .with_context(|| format!("no challenge: {error}"))?
            .clone()),
    }
}

/// Registers as the SDK's documentation says: once without a stage, then with what was asked for.
async fn register(client: &Client, name: &str) -> Result<Response> {
    let info = challenge(client, request(name)).await?;
    let alone =
        |flow: &AuthFlow| flow.stages.len() == 1 && flow.stages[0].as_str() == "m.login.dummy";
    ensure!(info.flows.iter().any(alone) && info.completed.is_empty() && info.auth_error.is_none());
    let mut dummy = Dummy::new();
    dummy.session = info.session;
    let mut again = request(name);
    again.auth = Some(AuthData::Dummy(dummy));
    Ok(client.matrix_auth().register(again).await?)
}

/// UIA-22: register answers with the account, the SDK logs itself in with it, whoami knows it.
async fn dummy_registers() -> Result<()> {
    let server = GatehouseServer::start().await?;
    let client = server.client().await?;
    let account = register(&client, "alice").await?;
    ensure!(account.user_id == "@alice:localhost");
    ensure!(account.access_token.is_some());
    ensure!(client.matrix_auth().logged_in());
    let who = client.whoami().await?;
    ensure!(who.user_id == account.user_id);
    ensure!(who.device_id.is_some() && who.device_id == account.device_id);
    ensure!(!who.is_guest);
    Ok(())
}

/// REG-11: a name that is taken is an error with its code, and no challenge.
async fn a_taken_name_is_refused() -> Result<()> {
    let server = GatehouseServer::start().await?;
    register(&server.client().await?, "alice").await?;
    let client = server.client().await?;
    let refused = client.matrix_auth().register(request("Alice")).await;
    let error = refused.err().context("registered a name twice")?;
    ensure!(error.as_uiaa_response().is_none());
    ensure!(error.client_api_error_kind() == Some(&ErrorKind::UserInUse));
    ensure!(!client.matrix_auth().logged_in());
    Ok(())
}

/// VER-02: the SDK picks its paths by what `/versions` says; here the current ones.
async fn versions_are_understood() -> Result<()> {
    let server = GatehouseServer::start().await?;
    let versions = server.client().await?.server_versions().await?;
    ensure!(versions.contains(&MatrixVersion::V1_1), "{versions:?}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let tests = [
        (
            "UIA-22 register through dummy, then whoami",
            dummy_registers().await,
        ),
        ("VER-02 read the versions", versions_are_understood().await),
        (
            "REG-11 register a taken name",
            a_taken_name_is_refused().await,
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
