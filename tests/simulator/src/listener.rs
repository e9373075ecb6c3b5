//! [`Core`] on a loopback socket. The only file that reads a clock, sleeps or does I/O.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::admin;
use crate::answer::{Handling, Reply};
use crate::config::Config;
use crate::core::Core;
use crate::time::after;

/// A running simulator. Dropping it stops it and breaks its connections.
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// The core and how far its clock has been moved.
pub(crate) struct Shared {
    core: Mutex<Core>,
    ahead_seconds: Mutex<f64>,
}

/// Why it did not start.
#[derive(Debug)]
pub enum StartError {
    /// It takes any key from its seed file and has an open admin API, so it never listens where others could reach it.
    NotLoopback(SocketAddr),
    /// The address could not be had.
    Bind(SocketAddr, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => {
                write!(formatter, "{address} is not a loopback address: listen on 127.0.0.1 or [::1]")
            }
            Self::Bind(address, error) => write!(formatter, "cannot listen on {address}: {error}; is it in use?"),
        }
    }
}

impl std::error::Error for StartError {}

impl Simulator {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on `address`, which must be a loopback address; port 0: a free one.
    pub async fn start_on(config: Config, address: SocketAddr) -> Result<Self, StartError> {
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback(address));
        }
        let failed = |error| StartError::Bind(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let ahead_seconds = config.clock_ahead_seconds;
        let core = Mutex::new(Core::new(config, shifted(machine_clock(), ahead_seconds)));
        let shared = Arc::new(Shared { core, ahead_seconds: Mutex::new(ahead_seconds) });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address: bound, shared, listening })
    }

    /// Such as `http://127.0.0.1:40123`, for every region and for STS.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// ECS's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Moves ECS's clock forward.
    pub fn advance(&self, by: Duration) {
        self.shared.advance(by.as_secs_f64());
    }

    /// The core, up to date. Nothing is answered while the guard lives: do not hold it across an await.
    pub fn core(&self) -> MutexGuard<'_, Core> {
        self.shared.core()
    }

    /// Asks or changes the core; the second argument is ECS's clock.
    pub fn with_core<T>(&self, work: impl FnOnce(&mut Core, Timestamp) -> T) -> T {
        let now = self.now();
        work(&mut self.core(), now)
    }

    /// Stops listening and breaks all connections.
    pub async fn stop(mut self) {
        self.listening.abort();
        // An aborted task ends with an error that says just that.
        drop((&mut self.listening).await);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        shifted(machine_clock(), *lock(&self.ahead_seconds))
    }

    pub(crate) fn advance(&self, seconds: f64) {
        *lock(&self.ahead_seconds) += seconds;
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        let mut core = lock(&self.core);
        core.run_until(self.now());
        core
    }
}

/// A test that panicked while it held the core must not turn every later failure into "poisoned".
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shifted(at: Timestamp, seconds: f64) -> Timestamp {
    if seconds >= 0.0 {
        return after(at, seconds);
    }
    Duration::try_from_secs_f64(-seconds).ok().and_then(|back| at.checked_sub(back).ok()).unwrap_or(at)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the simulated ECS has a clock of its own, which begins at this machine's"
)]
fn machine_clock() -> Timestamp {
    Timestamp::now()
}

#[allow(clippy::disallowed_methods, reason = "this is the network that is slow")]
async fn network_delay(delay: Duration) {
    tokio::time::sleep(delay).await;
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                // Out of file descriptors, or a client that left at once: the next one may fare better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    // An error here is a client that left, or a fault that was ordered.
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    drop(connection.await);
}

/// No answer: hyper closes the connection without writing a byte.
#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the answer was lost on purpose")
    }
}

impl std::error::Error for NoAnswer {}

async fn respond(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, NoAnswer> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
    let request = http::Request::from_parts(parts, body);
    if request.uri().path().starts_with(admin::PREFIX) {
        return Ok(admin::respond(&shared, &request).map(Full::new));
    }
    let handling = shared.core().handle(shared.now(), &request);
    let reply = match handling {
        Handling::Now(reply) => reply,
        // A task of its own, since the request goes on its way also when the client hangs up.
        Handling::Later { delay, held } => tokio::spawn(async move {
            network_delay(delay).await;
            let now = shared.now();
            shared.core().arrive(now, &held)
        })
        .await
        .unwrap_or(Reply::CloseConnection),
    };
    match reply {
        Reply::Answer(response) => Ok(response.map(Full::new)),
        Reply::CloseConnection => Err(NoAnswer),
    }
}
