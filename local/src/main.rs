//! `cargo run`: Gatehouse on this machine.

use std::{
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use gatehouse_local::{
    Local, Options,
    clock::MovableClock,
    defaults::{Defaults, Lookup},
    event_poller::EventPoller,
    server,
    services::{self, Places, Services, export_lines},
};
use shared::{
    config::{Config, ConfigErrors},
    rng::{Rng, SystemRng},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Gatehouse on this machine: every endpoint, with everything it needs built in.
///
/// Settings come from the environment (GATEHOUSE_…); what is not set has a default that suits a machine of
/// one's own.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8008")]
    listen: SocketAddr,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    elsewhere: ExternalEndpoints,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Keep {
    /// Where to keep everything; without it nothing outlives the process.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

/// For those who develop it and want another's opinion; see tests/opinions.
#[derive(Debug, Args)]
struct ExternalEndpoints {
    /// A `DynamoDB` that somebody else runs, with the tables in it.
    #[arg(long, value_name = "ADDR:PORT", hide = true)]
    dynamodb: Option<SocketAddr>,
    /// What takes mails and text messages in place of the embedded sinks.
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
    /// Only the embedded AWS services, for functions that run under `cargo lambda watch` or `sam local`.
    Services {
        /// Where to listen; containers on Linux reach the address of Docker's bridge, 172.17.0.1.
        #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST.into())]
        address: IpAddr,
        /// The port of the database.
        #[arg(long, value_name = "PORT", default_value_t = 8000)]
        dynamodb_port: u16,
        /// The port of what takes mails and text messages and tells the secret; a GET there shows them.
        #[arg(long, value_name = "PORT", default_value_t = 8001)]
        messages_port: u16,
        /// Sends nothing: somebody else calls `deliver`.
        #[arg(long)]
        no_deliver: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("warn,dynoxide=error,gatehouse_local=info,gatehouse_shared=info")
    });
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let elsewhere = arguments.elsewhere.services();
    let done = match arguments.command {
        None => run(arguments.listen, arguments.keep.data.as_deref(), elsewhere).await,
        Some(Command::Services {
            address,
            dynamodb_port,
            messages_port,
            no_deliver,
        }) => {
            let places = Places {
                dynamodb: Some(SocketAddr::new(address, dynamodb_port)),
                messages: Some(SocketAddr::new(address, messages_port)),
            };
            let data = arguments.keep.data.as_deref();
            run_services(places, data, !no_deliver, elsewhere).await
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(faults) = error.downcast_ref::<ConfigErrors>() {
                complain(&format!("The settings are at fault:\n{faults}"));
                return ExitCode::from(2);
            }
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(
    listen: SocketAddr,
    data: Option<&Path>,
    elsewhere: services::ExternalEndpoints,
) -> Result<()> {
    let stop = stopped()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let mut reached = listener.local_addr()?;
    if reached.ip().is_unspecified() {
        reached.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let url = format!("http://{reached}");
    make(data)?;
    let started = Local::start(Options {
        lookup: environment(),
        address: url.clone(),
        data: data.map(Path::to_owned),
        clock: clock(data)?,
        elsewhere,
        ..Options::default()
    });
    let local = Arc::new(match (check_names(), started) {
        (Ok(()), started) => started?,
        (Err(names), Ok(_)) => return Err(names.into()),
        // All faults at once: those of the names and those of the values.
        (Err(names), Err(error)) => match error.downcast::<ConfigErrors>() {
            Ok(values) => return Err(names.and(values).into()),
            Err(other) => return Err(other),
        },
    });
    say(&ready(&url, &local))?;
    let running = local.run_deliver();
    let served = server::serve(Arc::clone(&local), listener, stop).await;
    running.stop().await;
    served
}

fn ready(url: &str, local: &Local) -> String {
    format!(
        "Gatehouse is ready for {name} at {url} (look inside: {url}/_local/). Register an account:\n  \
         curl -s -X POST {url}/_matrix/client/v3/register \
         -d '{{\"username\":\"alice\",\"password\":\"correct horse battery staple\",\"auth\":{{\"type\":\"m.login.dummy\"}}}}'\n",
        name = local.config().server_name,
    )
}

async fn run_services(
    places: Places,
    data: Option<&Path>,
    delivers: bool,
    elsewhere: services::ExternalEndpoints,
) -> Result<()> {
    let stop = stopped()?;
    let lookup = environment();
    make(data)?;
    // Where `cargo lambda watch` listens unless told otherwise.
    let defaults = Defaults::new("http://127.0.0.1:9000", data, &SystemRng)?;
    let settings = defaults.under(Arc::clone(&lookup));
    let config = Arc::new(Config::from_lookup(&*settings)?);
    let services = Services::start(data, &config.tables, clock(data)?, places, true, elsewhere)?;
    // A function that is given the name of the key ring, and not the keys, finds the same ones.
    let keys = serde_json::json!({ "current": settings("GATEHOUSE_SECRET") });
    services.aws_fakes().keep_secret(&keys.to_string());
    // Neither `cargo lambda watch` nor `sam local` feeds a function from a stream, so it runs here.
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let event_poller = Arc::new(EventPoller::new(&services, &config, &rng)?);
    let running = delivers.then(|| event_poller.run());
    let mut variables = services.environment();
    variables.extend(
        defaults
            .applied(&lookup)
            .map(|(name, value)| (name, value.to_owned())),
    );
    variables.push(("GATEHOUSE_TABLES", config.tables.clone()));
    say(&export_lines(
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

/// A setting with a misspelt name would silently not hold.
fn check_names() -> Result<(), ConfigErrors> {
    Config::unknown_settings(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

/// The process's environment. A variable that is set to nothing is not set.
fn environment() -> Lookup {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the local house reads the environment"
    )]
    Arc::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn clock(data: Option<&Path>) -> Result<Arc<MovableClock>> {
    Ok(Arc::new(match data {
        Some(directory) => MovableClock::kept_in(directory)?,
        None => MovableClock::running(),
    }))
}

/// Makes the data directory, for its owner alone: the secret is in it.
fn make(data: Option<&Path>) -> Result<()> {
    let Some(directory) = data else { return Ok(()) };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make {}", directory.display()))
}

/// Done at the first SIGINT or SIGTERM.
fn stopped() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn say(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

fn complain(text: &str) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "{text}");
}
