//! The command line of `cargo run`: a local Gatehouse server.

use std::{
    io::{IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use gatehouse_local::{
    Local, Options,
    runtime::{
        clock::MovableClock,
        console::{self, LogFormat},
        data_lock::DataLock,
        defaults::{Defaults, Lookup},
        event_poller::EventPoller,
        server,
        services::{self, ListenAddresses, Services, export_lines},
    },
};
use shared::{
    config::{Config, ConfigErrors},
    rng::{Rng, SystemRng},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Runs a local Gatehouse server: every endpoint, with embedded DynamoDB, SES, SNS and Secrets Manager.
///
/// Settings come from environment variables (GATEHOUSE_…). Settings that are not set have defaults for local
/// development.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address and port of the HTTP server.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8008")]
    listen: SocketAddr,
    /// Form of the log on standard error. `json` is the form that the functions write on Lambda.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    log_format: LogFormat,
    #[command(flatten)]
    data: DataDirectory,
    #[command(flatten)]
    external: ExternalEndpoints,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct DataDirectory {
    /// Directory for the tables, the secret and the clock. Without this option, all data is lost when the program ends.
    #[arg(long = "data", value_name = "DIR", global = true)]
    path: Option<PathBuf>,
}

/// Other implementations of the AWS services, for compatibility tests. See tests/dynamodb-compat.
#[derive(Debug, Args)]
struct ExternalEndpoints {
    /// A `DynamoDB` endpoint to use instead of the embedded `DynamoDB`. Its tables must exist.
    #[arg(long, value_name = "ADDR:PORT", hide = true)]
    dynamodb: Option<SocketAddr>,
    /// An endpoint of SES and SNS to use instead of the fakes.
    #[arg(long, value_name = "ADDR:PORT", hide = true)]
    messages: Option<SocketAddr>,
}

impl ExternalEndpoints {
    fn services(&self) -> services::ExternalEndpoints {
        services::ExternalEndpoints {
            dynamodb: self.dynamodb,
            messages: self.messages,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs only the embedded AWS services, for functions that run under `cargo lambda watch` or `sam local`.
    Services {
        /// Address to listen on. Containers on Linux can reach the address of Docker's bridge, 172.17.0.1.
        #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST.into())]
        address: IpAddr,
        /// Port of DynamoDB.
        #[arg(long, value_name = "PORT", default_value_t = 8000)]
        dynamodb_port: u16,
        /// Port of the fake SES, SNS and Secrets Manager. `GET /` on it returns the sent messages.
        #[arg(long, value_name = "PORT", default_value_t = 8001)]
        messages_port: u16,
        /// Does not run the `deliver` function. No messages are sent unless another program invokes it.
        #[arg(long)]
        no_deliver: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let color = std::io::stderr().is_terminal() && environment()("NO_COLOR").is_none();
    console::start_log(arguments.log_format, color);
    let external = arguments.external.services();
    let result = match arguments.command {
        None => run(arguments.listen, arguments.data.path.as_deref(), external).await,
        Some(Command::Services {
            address,
            dynamodb_port,
            messages_port,
            no_deliver,
        }) => {
            let listen = ListenAddresses {
                dynamodb: Some(SocketAddr::new(address, dynamodb_port)),
                messages: Some(SocketAddr::new(address, messages_port)),
            };
            let data = arguments.data.path.as_deref();
            run_services(listen, data, !no_deliver, external).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
                print_error(&format!("The settings are invalid:\n{errors}"));
                return ExitCode::from(2);
            }
            print_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(
    listen: SocketAddr,
    data: Option<&Path>,
    external: services::ExternalEndpoints,
) -> Result<()> {
    let stop = shutdown_signal()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let url = format!("http://{address}");
    let _lock = data.map(DataLock::acquire).transpose()?;
    let started = Local::start(Options {
        lookup: environment(),
        address: url.clone(),
        data: data.map(Path::to_owned),
        clock: clock(data)?,
        external,
        ..Options::default()
    });
    let local = Arc::new(match (check_variables(), started) {
        (Ok(()), started) => started?,
        (Err(names), Ok(_)) => return Err(names.into()),
        // One message reports both the unknown names and the invalid values.
        (Err(names), Err(error)) => match error.downcast::<ConfigErrors>() {
            Ok(values) => return Err(names.and(values).into()),
            Err(other) => return Err(other),
        },
    });
    print(&ready(&url, &local))?;
    let running = local.run_deliver();
    let served = server::serve(Arc::clone(&local), listener, stop).await;
    running.stop().await;
    served
}

fn ready(url: &str, local: &Local) -> String {
    format!(
        "Gatehouse is ready for {name} at {url} (development UI: {url}/_local/). Register an account:\n  \
         curl -s -X POST {url}/_matrix/client/v3/register \
         -d '{{\"username\":\"alice\",\"password\":\"correct horse battery staple\",\"auth\":{{\"type\":\"m.login.dummy\"}}}}'\n",
        name = local.config().server_name,
    )
}

async fn run_services(
    listen: ListenAddresses,
    data: Option<&Path>,
    runs_deliver: bool,
    external: services::ExternalEndpoints,
) -> Result<()> {
    let stop = shutdown_signal()?;
    let lookup = environment();
    check_variables()?;
    let _lock = data.map(DataLock::acquire).transpose()?;
    // The default address of `cargo lambda watch`.
    let defaults = Defaults::new("http://127.0.0.1:9000", data, &SystemRng)?;
    let settings = defaults.under(Arc::clone(&lookup));
    let config = Arc::new(Config::from_lookup(&*settings)?);
    let services = Services::start(data, &config.tables, clock(data)?, listen, true, external)?;
    // A function with `GATEHOUSE_SECRET_ARN` in place of the secret reads the same keys from Secrets Manager.
    let keys = serde_json::json!({ "current": settings("GATEHOUSE_SECRET") });
    services.aws_fakes().set_secret(&keys.to_string());
    // Neither `cargo lambda watch` nor `sam local` reads DynamoDB streams, so this process runs `deliver`.
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let event_poller = Arc::new(EventPoller::new(&services, &config, &rng)?);
    let running = runs_deliver.then(|| event_poller.run());
    let mut variables = services.environment();
    variables.extend(
        defaults
            .applied(&lookup)
            .map(|(name, value)| (name, value.to_owned())),
    );
    variables.push(("GATEHOUSE_TABLES", config.tables.clone()));
    print(&export_lines(
        variables
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    ))?;
    stop.await;
    if let Some(running) = running {
        running.stop().await;
    }
    Ok(())
}

/// Rejects unknown names and values that are not UTF-8, because such settings would have no effect.
#[expect(
    clippy::disallowed_methods,
    reason = "the check of the environment itself"
)]
fn check_variables() -> Result<(), ConfigErrors> {
    Config::check_environment(&std::env::vars_os().collect::<Vec<_>>())
}

/// The environment of the process. An empty variable is treated as not set.
fn environment() -> Lookup {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place of this program that reads the settings from the environment"
    )]
    Arc::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn clock(data: Option<&Path>) -> Result<Arc<MovableClock>> {
    Ok(Arc::new(match data {
        Some(directory) => MovableClock::kept_in(directory)?,
        None => MovableClock::running(),
    }))
}

/// Completes at the first SIGINT or SIGTERM.
fn shutdown_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

fn print_error(text: &str) {
    // If standard error is closed, nothing else can report the error.
    let _ = writeln!(std::io::stderr(), "{text}");
}
