//! `ecs-simulator`: the simulator as a process, for `make demo` and for playing with. Not part of any release.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ecs_simulator::{Config, Simulator};
use tokio::signal::unix::{SignalKind, signal};

/// The ECS and STS API on loopback, for tests and the demo.
///
/// The same port has an admin API under /simulator/: GET instances, GET journal, POST faults, POST clock,
/// POST access-keys, revocations, roles, oidc-tokens, metadata, expire-temporary-credentials,
/// POST instances/ID/{start,stop,reboot,power-off,hold,release,lock,unlock,password}.
#[derive(Parser)]
struct Options {
    /// Where to listen: a loopback address; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Write the port here once it is open.
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// JSON with instances, accessKeys, roles, metadata, quotasPerMinute, …; without it: no instances, the key testid/testsecret.
    #[arg(long)]
    seed_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ecs-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM or Ctrl-C.
async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let config = options.seed_file.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start_on(config, options.listen).await?;
    if let Some(path) = &options.port_file {
        write_port(path, simulator.address().port())?;
    }
    println!("ready {}", simulator.url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}

/// Renamed into place, so that whoever waits for the file never reads half a number.
fn write_port(path: &Path, port: u16) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, format!("{port}\n"))?;
    std::fs::rename(&unfinished, path)
}
