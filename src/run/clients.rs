//! The clients that the process has: for the API server, and for ECS. Makes no request.

use std::sync::Arc;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::{Body, ClientBuilder, ConfigExt};
use tower::util::MapErrLayer;
use tower::{BoxError, ServiceBuilder};

use super::RunError;
use crate::cluster;
use crate::cluster::requests::CountRequests;
use crate::ecs::{self, EcsClient, HttpOptions, HttpTransport};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// How the API server is reached.
pub async fn kube_config(settings: &Settings) -> Result<kube::Config, RunError> {
    // kube quotes the path twice.
    let unquoted = |error: kube::config::InferConfigError| error.to_string().replace("'\"", "'").replace("\"'", "'");
    let mut config = kube::Config::infer().await.map_err(|error| RunError::Kubeconfig(unquoted(error)))?;
    config.connect_timeout = Some(settings.kube_request_timeout);
    // Taken from the kubeconfig or from HTTPS_PROXY, which is for others: kube would refuse to start for want of a proxy client.
    if config.proxy_url.take().is_some() {
        tracing::warn!("the API server is asked without the proxy that the kubeconfig or HTTPS_PROXY names");
    }
    Ok(config)
}

/// A client with connections of its own. Its requests are counted, and its errors name the server and every cause: kube's own are "client
/// error (Connect)" and no more.
pub fn kube_client(config: &kube::Config, metrics: &Arc<Metrics>) -> Result<Client, RunError> {
    let host = host_and_port(&config.cluster_url);
    let requests = CountRequests::new(Arc::clone(metrics), &host);
    let server = format!("{}://{host}/", config.cluster_url.scheme_str().unwrap_or("https"));
    let named = MapErrLayer::new(move |error: BoxError| cluster::unanswered(&server, error));
    let unusable = |error: kube::Error| RunError::Kubeconfig(error.to_string());
    let layers = ServiceBuilder::new()
        .layer(named)
        .layer(requests)
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_err(BoxError::from);
    let service = layers.service(http_client(config).map_err(unusable)?);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// What kube would build from the configuration, but for its traces, which nobody reads, and two things. It never repeats a request: a write that is repeated behind our back
/// is a write whose outcome we do not know. And it sets `TCP_NODELAY`: without it the first request of each connection waits 40 ms.
fn http_client(config: &kube::Config) -> kube::Result<HttpClient<impl Connect + Clone + use<>, Body>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    Ok(HttpClient::builder(TokioExecutor::new()).build(connector))
}

/// A client for ECS, STS and the metadata service.
pub fn ecs_client(settings: &Settings) -> Result<EcsClient<HttpTransport>, RunError> {
    let authorities = match &settings.ecs_ca_file {
        None => Vec::new(),
        Some(file) => {
            let name = file.display().to_string();
            let pem = std::fs::read(file).map_err(|error| RunError::Authorities(name.clone(), error))?;
            ecs::authorities(&name, &pem)?
        }
    };
    let options = HttpOptions {
        allow_http: settings.allow_http_endpoints,
        connect_timeout: settings.ecs_connect_timeout,
        use_proxy_variables: settings.ecs_use_proxy_variables,
    };
    Ok(EcsClient::connect(&options, &authorities)?)
}

/// The address of the API server, without the user and the password that a kubeconfig's URL may hold: it is logged and a label.
fn host_and_port(url: &http::Uri) -> String {
    let host = url.host().unwrap_or_default();
    url.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn address_of_the_api_server_is_shown_without_its_credentials() {
        for (url, shown) in [
            ("https://admin:kettle@10.0.0.1:6443/k8s", "10.0.0.1:6443"),
            ("https://kubernetes.default.svc", "kubernetes.default.svc"),
            ("https://[::1]:6443/", "[::1]:6443"),
        ] {
            assert_eq!(host_and_port(&url.parse().unwrap()), shown);
        }
    }
}
