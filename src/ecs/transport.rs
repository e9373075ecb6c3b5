//! The only network seam: one request, one answer, and on failure the one fact that matters, whether a byte may have
//! left. Never repeats a request, never follows a redirect, uses no proxy unless it is configured to.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, crypto};
use rustls_platform_verifier::Verifier;
use zeroize::Zeroizing;

/// A page of 100 instances has some 300 KB.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Sends one request.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request once. Every answer is a success here, whatever its status.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<http::Response<Bytes>, SendError>> + Send;
}

/// No whole answer. The texts are our own: nothing of the request or of an answer is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No byte of the request left this machine.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have arrived, and nothing came back.
    #[error("{0}")]
    NoAnswer(String),
    /// An answer began, and its end is not known.
    #[error("answered with HTTP {http_status}, but {why}")]
    CutOff {
        /// The answer's status.
        http_status: u16,
        /// What became of the rest.
        why: String,
    },
}

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Whether plain `http` addresses are let through: for tests, and for the metadata service of an instance, which has no other.
    pub allow_http: bool,
    /// How long connecting may take, TLS included; part of a call's own timeout: what has not left by then never does.
    pub connect_timeout: Duration,
    /// Whether `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured. A proxy sees host names, never what is sent to them.
    pub use_proxy_variables: bool,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The certificates cannot be used.
    #[error("could not set up HTTPS: {0}; check the image's CA certificates and --ecs-ca-file")]
    Certificates(#[from] rustls::Error),
    /// The client cannot be made.
    #[error("could not set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// The file with further certificate authorities is of no use.
    #[error("{0} holds no certificate in PEM")]
    Authorities(String),
}

/// The certificates of a PEM file's text; `name` is for the error.
///
/// # Errors
/// When there is none.
pub fn authorities(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TransportError::Authorities(name.to_owned())),
    }
}

/// How TLS is spoken, for all clients of the process: the system's certificates are loaded once. `authorities` are trusted beside them.
///
/// # Errors
/// When the system has no certificates, or one of `authorities` is of no use.
pub fn tls(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, TransportError> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(authorities.iter().cloned(), Arc::clone(&provider))?;
    // "dangerous" is what rustls calls any verifier that it is given; this one is what reqwest uses by default.
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// HTTP/1.1 over TLS with a pool of kept-alive connections. HTTP/2 is left out: its clients repeat a request after a
/// GOAWAY.
pub struct HttpTransport {
    client: reqwest::Client,
    allow_http: bool,
}

impl HttpTransport {
    /// An idle connection is kept for `pool_idle_timeout`; one that has gone stale is the commonest way to an outcome that
    /// nobody knows.
    pub fn new(options: &HttpOptions, tls: ClientConfig, pool_idle_timeout: Duration) -> Result<Self, TransportError> {
        let HttpOptions { allow_http, connect_timeout, use_proxy_variables } = options;
        let builder = reqwest::Client::builder()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls)
            .https_only(!allow_http)
            .connect_timeout(*connect_timeout)
            .pool_idle_timeout(pool_idle_timeout)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        let builder = if *use_proxy_variables { builder } else { builder.no_proxy() };
        let client = builder.build().map_err(TransportError::Setup)?;
        Ok(Self { client, allow_http: *allow_http })
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: http::Request<Bytes>, timeout: Duration) -> Result<http::Response<Bytes>, SendError> {
        if request.uri().scheme() != Some(&Scheme::HTTPS) && !self.allow_http {
            return Err(SendError::NotSent("the endpoint is not https".to_owned()));
        }
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let mut request = reqwest::Request::try_from(request)
            .map_err(|_| SendError::NotSent("the endpoint is not a valid URL".to_owned()))?;
        *request.timeout_mut() = Some(timeout);
        let mut answer = self.client.execute(request).await.map_err(|error| describe(&error, &host))?;

        // An answer of STS holds credentials: the last clone of the body wipes it. It has its size from the start where that is
        // told, because growing would leave copies behind.
        let length = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let mut body = Zeroizing::new(Vec::with_capacity(length.min(ANSWER_BYTES_MAX)));
        let http_status = answer.status().as_u16();
        while let Some(chunk) = answer.chunk().await.map_err(|error| cut_off(http_status, &error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("the answer has more than {ANSWER_BYTES_MAX} bytes");
                return Err(SendError::CutOff { http_status, why });
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(Bytes::from_owner(body));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// Only a failure to connect (TLS included) or to build the request proves that nothing left.
fn describe(error: &reqwest::Error, host: &str) -> SendError {
    if error.is_builder() {
        SendError::NotSent("the request could not be built: check the endpoint".to_owned())
    } else if error.is_dns() {
        SendError::NotSent(format!("{host} could not be resolved: check the account's regions and endpoint, and DNS"))
    } else if error.is_connect() && error.is_timeout() {
        SendError::NotSent(format!("no connection to {host} in time: check routes and network policies"))
    } else if error.is_connect() {
        SendError::NotSent(connect_failure(error, host))
    } else if error.is_timeout() {
        SendError::NoAnswer(format!("{host} did not answer in time"))
    } else {
        SendError::NoAnswer(format!("the connection to {host} broke before an answer came"))
    }
}

/// A refused connection and an untrusted certificate are fixed by different people.
fn connect_failure(error: &reqwest::Error, host: &str) -> String {
    let other = format!("no connection to {host}: check routes, network policies and TLS");
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match innermost_kind(error) {
                io::ErrorKind::ConnectionRefused => {
                    format!("{host} refused the connection: check the account's endpoint, and proxies on the way")
                }
                io::ErrorKind::InvalidData => format!("TLS with {host} failed: check the CA certificates and the name"),
                _ => other,
            };
        }
        source = error.source();
    }
    other
}

/// TLS wraps its errors in one of kind `Other`, and `source` steps over what is directly inside.
fn innermost_kind(error: &io::Error) -> io::ErrorKind {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    inner.map_or_else(|| error.kind(), innermost_kind)
}

fn cut_off(http_status: u16, error: &reqwest::Error) -> SendError {
    let why = if error.is_timeout() { "the answer did not end in time" } else { "the answer was cut off" };
    SendError::CutOff { http_status, why: why.to_owned() }
}
