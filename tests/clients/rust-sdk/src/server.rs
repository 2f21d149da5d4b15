//! A server for one test, behind a TLS listener.

use std::{process::Stdio, sync::Arc};

use anyhow::{Context, Result, ensure};
use matrix_sdk::{Client, reqwest};
use rcgen::CertifiedKey;
use tokio::{
    io::{AsyncBufReadExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::AbortHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// One `gatehouse-local` process on a free port, with empty tables and both APIs. It is killed on drop. Clients use it
/// through a TLS listener, because matrix-sdk revokes tokens only at an `https` URL.
pub struct GatehouseServer {
    /// The `https` URL.
    pub url: String,
    certificate: reqwest::Certificate,
    /// The URL of the process itself.
    http_url: String,
    listener: AbortHandle,
    _process: Child,
}

impl Drop for GatehouseServer {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl GatehouseServer {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        let target_directory = std::env::var("TARGET_DIR").context("TARGET_DIR is not set")?;
        let mut command = Command::new(format!("{target_directory}/debug/gatehouse-local"));
        // The caller's own settings must not change what is tested.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GATEHOUSE_")) {
            command.env_remove(name);
        }
        let mut process = command
            .args(["--listen", "127.0.0.1:0"])
            .env("GATEHOUSE_ARGON2", "m=8,t=1,p=1")
            .env("GATEHOUSE_AUTH_APIS", "both")
            .env("GATEHOUSE_PUBLIC_URL", &url)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("gatehouse-local could not be started")?;
        let stdout = process
            .stdout
            .take()
            .context("gatehouse-local has no standard output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let line = line.context("gatehouse-local exited before it was ready")?;
        let http_url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .context("the first line of gatehouse-local contains no URL")?
            .to_owned();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.map_err(anyhow::Error::msg)?)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let address = http_url.trim_start_matches("http://").to_owned();
        let listener = tokio::spawn(forward(listener, acceptor, address)).abort_handle();
        Ok(Self {
            url,
            certificate: reqwest::Certificate::from_der(cert.der())?,
            http_url,
            listener,
            _process: process,
        })
    }

    /// A client without a session. It refreshes expired tokens by itself.
    pub async fn client(&self) -> Result<Client> {
        let builder = Client::builder()
            .homeserver_url(&self.url)
            .add_root_certificates(vec![self.certificate.clone()])
            .handle_refresh_tokens();
        Ok(builder.build().await?)
    }

    /// An HTTP client that follows no redirect.
    pub fn http_client(&self) -> Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .add_root_certificate(self.certificate.clone())
            .redirect(reqwest::redirect::Policy::none());
        Ok(builder.build()?)
    }

    /// The status of `whoami` with this access token.
    pub async fn whoami_status(&self, token: &str) -> Result<u16> {
        let url = format!("{}/_matrix/client/v3/account/whoami", self.url);
        let request = self.http_client()?.get(url).bearer_auth(token);
        Ok(request.send().await?.status().as_u16())
    }

    /// Advances the clock of the server.
    pub async fn advance(&self, seconds: u32) -> Result<()> {
        let request = reqwest::Client::new()
            .post(format!("{}/_local/clock", self.http_url))
            .header("content-type", "application/json")
            .body(format!(r#"{{"advance_seconds":{seconds}}}"#));
        let status = request.send().await?.status();
        ensure!(status == 200, "the clock was not moved: {status}");
        Ok(())
    }
}

/// Decrypts each connection and copies it to `address`.
async fn forward(listener: TcpListener, acceptor: TlsAcceptor, address: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, address) = (acceptor.clone(), address.clone());
        tokio::spawn(async move {
            let mut outside = acceptor.accept(stream).await?;
            let mut inside = TcpStream::connect(address).await?;
            copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}
