//! Parses the command line, sets up logs, and runs until it is asked to stop.

use std::process::ExitCode;

use ecs_password_reset::{run, settings, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let settings = settings::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Err(error) = telemetry::init(&settings) {
        eprintln!("ecs-password-reset: {error}");
        return ExitCode::FAILURE;
    }
    telemetry::panic_hook();
    if let Err(error) = telemetry::harden_process() {
        tracing::warn!(%error, "core dumps could not be switched off; a dump would hold passwords");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime could not be started");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        Box::pin(run::run(settings, stop)).await.map_err(|error| error.to_string())
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the controller cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// SIGTERM and SIGINT stop the controller in good order; a second one is left to the deadline of the shutdown.
fn stop_on_signal(stop: CancellationToken) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop; finishing what is in flight");
        stop.cancel();
    });
    Ok(())
}
