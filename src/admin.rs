//! The port for kubelet and Prometheus: `/livez`, `/healthz`, `/readyz` and `/metrics`.
//!
//! It reports and never acts. Ready means "can work", or that another process works and this one may take its place:
//! a rollout waits for it. It never means "the cloud can be reached": an outage of ECS must not take the process out of
//! service. Alive means that the runtime still answers. There is no authentication, hence nothing
//! here may name a `PasswordReset`, a Secret or an instance.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};

/// What has to be there before the process can work. Each part is missing at first, and stays once it is there. A process
/// that stands by lacks nothing, for as long as it does.
#[derive(Debug, Default)]
pub struct Readiness {
    standing_by: AtomicBool,
    caches_synced: AtomicBool,
    fingerprint_key_present: AtomicBool,
}

impl Readiness {
    /// Another process leads, as the API server has told: so it can be reached, and this process may read the Lease.
    pub fn standing_by(&self) {
        self.standing_by.store(true, Ordering::Relaxed);
    }

    /// This process leads, and needs all that is needed to work.
    pub fn leads(&self) {
        self.standing_by.store(false, Ordering::Relaxed);
    }

    /// The first list of every watched kind has arrived.
    pub fn caches_synced(&self) {
        self.caches_synced.store(true, Ordering::Relaxed);
    }

    /// The key that passwords are compared under was read, or made.
    pub fn fingerprint_key_present(&self) {
        self.fingerprint_key_present.store(true, Ordering::Relaxed);
    }

    /// The parts that are still missing, in words; empty when ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let Self { standing_by, caches_synced, fingerprint_key_present } = self;
        if standing_by.load(Ordering::Relaxed) {
            return Vec::new();
        }
        [(caches_synced, "caches are not synced"), (fingerprint_key_present, "fingerprint key is not present")]
            .into_iter()
            .filter(|(there, _)| !there.load(Ordering::Relaxed))
            .map(|(_, missing)| missing)
            .collect()
    }
}

/// The address of the admin port cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {}", advice(.source.kind()))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// What to do about a port that cannot be had. In a Deployment the message is all that tells it from a crash.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "another process on this host has the port. With hostNetwork or a hostPort two replicas on one node share it: keep them on different nodes (podAntiAffinity by kubernetes.io/hostname), drop hostNetwork, or choose another port with --listen-address"
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs a privilege: choose a higher one with --listen-address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface here has that address: choose another with --listen-address, such as 0.0.0.0:8080"
        }
        _ => "choose another address with --listen-address",
    }
}

/// Takes the port, so that a start with an unusable address fails before anything runs.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

/// Serves until `stop`, then finishes the answers under way.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(encoded).with_state(metrics));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    let missing = readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", ")))
}

async fn encoded(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;

    struct Server {
        address: SocketAddr,
        readiness: Arc<Readiness>,
        stop: CancellationToken,
        task: JoinHandle<io::Result<()>>,
    }

    async fn server() -> Server {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, stop) = (Arc::new(Readiness::default()), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let task = tokio::spawn(serve(listener, metrics, Arc::clone(&readiness), stop.clone()));
        Server { address, readiness, stop, task }
    }

    impl Server {
        async fn get(&self, path: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }
    }

    #[tokio::test]
    async fn a_process_that_is_not_ready_is_alive() {
        let server = server().await;
        for path in ["/livez", "/healthz"] {
            assert!(server.get(path).await.starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
        }
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_until_nothing_is() {
        let server = server().await;
        let answer = server.get("/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("not ready: caches are not synced, fingerprint key is not present\n"), "{answer}");
        server.readiness.caches_synced();
        let answer = server.get("/readyz").await;
        assert!(answer.ends_with("not ready: fingerprint key is not present\n"), "{answer}");
        server.readiness.fingerprint_key_present();
        assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn a_standby_is_ready_and_a_new_leader_only_once_it_can_work() {
        let server = server().await;
        server.readiness.standing_by();
        assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
        server.readiness.leads();
        assert!(server.get("/readyz").await.starts_with("HTTP/1.1 503 "));
        server.readiness.caches_synced();
        server.readiness.fingerprint_key_present();
        assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn metrics_are_served_with_their_type() {
        let answer = server().await.get("/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
        assert!(answer.contains("\npasswordreset_build_info{version="), "{answer}");
    }

    #[tokio::test]
    async fn a_path_that_is_not_served_is_not_found() {
        assert!(server().await.get("/debug").await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_keep_the_server_from_stopping() {
        let server = server().await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n").await.unwrap();
        idle.read_exact(&mut [0; 15]).await.unwrap();
        server.stop.cancel();
        server.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_together_with_the_flag() {
        let server = server().await;
        let message = bind(server.address).await.unwrap_err().to_string();
        assert!(message.contains(&server.address.to_string()), "{message}");
        for advice in ["--listen-address", "hostNetwork", "two replicas on one node", "podAntiAffinity"] {
            assert!(message.contains(advice), "{message}");
        }
    }

    #[tokio::test]
    async fn unknown_address_and_address_in_use_have_two_errors() {
        let message = bind(([192, 0, 2, 1], 0).into()).await.unwrap_err().to_string();
        assert!(message.contains("no interface here") && !message.contains("hostNetwork"), "{message}");
    }
}
