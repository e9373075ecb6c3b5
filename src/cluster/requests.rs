//! A layer around kube's client that counts each request to the API server: how it was answered, and after how long. It sends nothing
//! by itself, and looks into no body.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::clock;
use crate::metrics::Metrics;

/// The layer. Put around everything else, and with no retries beneath it: what it sees is what is sent.
#[derive(Clone)]
pub struct CountRequests {
    metrics: Arc<Metrics>,
    host: Arc<str>,
}

impl CountRequests {
    /// Counts for the API server at `host`, which the metrics name.
    pub fn new(metrics: Arc<Metrics>, host: &str) -> Self {
        Self { metrics, host: Arc::from(host) }
    }
}

impl<S> Layer<S> for CountRequests {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, to: self.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
pub struct Counting<S> {
    inner: S,
    to: CountRequests,
}

impl<S, B> Service<Request<Body>> for Counting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut pending =
            Pending { to: self.to.clone(), method: request.method().clone(), began: clock::instant(), code: None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            pending.answered(answer.as_ref().ok());
            answer
        })
    }
}

/// A request under way. It is counted when it is dropped, also when nobody waits for its answer any more: that is an error, as in
/// client-go.
struct Pending {
    to: CountRequests,
    method: Method,
    began: Instant,
    code: Option<u16>,
}

impl Pending {
    fn answered<B>(&mut self, answer: Option<&Response<B>>) {
        self.code = answer.map(|answer| answer.status().as_u16());
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let took = clock::instant().saturating_duration_since(self.began);
        self.to.metrics.kube_request(&self.to.host, &self.method, self.code, took);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;

    fn request() -> Request<Body> {
        Request::post("/apis").body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_by_answer_and_when_given_up() {
        let metrics = Arc::new(Metrics::new());
        let layer = CountRequests::new(Arc::clone(&metrics), "10.0.0.1:443");
        let mut answers = layer.layer(tower::service_fn(|_| async {
            Ok::<_, Infallible>(Response::builder().status(409).body(()).unwrap())
        }));
        answers.call(request()).await.unwrap();
        let mut fails = layer.layer(tower::service_fn(|_| async { Err::<Response<()>, _>("no network") }));
        fails.call(request()).await.unwrap_err();
        let mut hangs = layer.layer(tower::service_fn(|_| std::future::pending::<Result<Response<()>, Infallible>>()));
        tokio::time::timeout(Duration::from_secs(7), hangs.call(request())).await.unwrap_err();
        let encoded = metrics.encode();
        for line in [
            r#"rest_client_requests_total{code="409",method="POST",host="10.0.0.1:443"} 1"#,
            r#"rest_client_requests_total{code="<error>",method="POST",host="10.0.0.1:443"} 2"#,
            r#"rest_client_request_duration_seconds_sum{verb="POST",host="10.0.0.1:443"} 7.0"#,
            r#"rest_client_request_duration_seconds_count{verb="POST",host="10.0.0.1:443"} 3"#,
        ] {
            assert!(encoded.lines().any(|found| found.starts_with(line)), "no line {line} in\n{encoded}");
        }
    }
}
