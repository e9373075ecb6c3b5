//! A plain client of the API server, as cluster admin, over connections that stay open: a kubectl takes a sixth of a second of a core,
//! and reads what it writes, which would be counted.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use futures::stream;
use reqwest::{Certificate, Client, Method};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::common::{NAMESPACE, SYSTEM_NAMESPACE, World};

/// The path of this API group.
pub const GROUP: &str = "/apis/ecs.password-reset.dev/v1alpha1";
/// How many requests are under way at once.
const AT_ONCE: usize = 16;
/// How many objects a page of a list has.
const PAGE: usize = 500;

/// The client.
pub struct Api {
    runtime: Runtime,
    http: Client,
    server: String,
    token: String,
}

/// Where the objects of the user are.
pub fn resets() -> String {
    format!("{GROUP}/namespaces/{NAMESPACE}/passwordresets")
}

/// Where the records are.
pub fn records() -> String {
    format!("{GROUP}/namespaces/{SYSTEM_NAMESPACE}/resetrecords")
}

impl Api {
    /// A client without any connection yet.
    pub fn new(world: &World) -> Self {
        let config = world.kubectl(&["config", "view", "--raw", "--output=json"]);
        let config: Value = serde_json::from_str(&config).unwrap();
        let cluster = &config["clusters"][0]["cluster"];
        let authority = STANDARD.decode(cluster["certificate-authority-data"].as_str().unwrap()).unwrap();
        let authorities = Certificate::from_pem_bundle(&authority).unwrap();
        let http = Client::builder().no_proxy().tcp_nodelay(true).tls_certs_only(authorities);
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
            http: http.timeout(Duration::from_mins(1)).build().unwrap(),
            server: cluster["server"].as_str().unwrap().to_owned(),
            token: config["users"][0]["user"]["token"].as_str().unwrap().to_owned(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> String {
        let request = self.http.request(method.clone(), format!("{}{path}", self.server)).bearer_auth(&self.token);
        let request = request.header("Content-Type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status}: {text}");
        text
    }

    /// The text at a path.
    pub fn text(&self, path: &str) -> String {
        self.runtime.block_on(self.ask(Method::GET, path, String::new()))
    }

    /// The JSON at a path.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    /// Creates an object.
    pub fn create(&self, path: &str, object: &Value) {
        self.runtime.block_on(self.ask(Method::POST, path, object.to_string()));
    }

    /// Sends all of these, some at once.
    pub fn send_all(&self, method: &Method, all: impl IntoIterator<Item = (String, Value)>) {
        let send = |(path, body): (String, Value)| async move {
            self.ask(method.clone(), &path, body.to_string()).await;
        };
        self.runtime.block_on(stream::iter(all).for_each_concurrent(AT_ONCE, send));
    }

    /// Creates all of these.
    pub fn create_all(&self, path: &str, objects: impl IntoIterator<Item = Value>) {
        self.send_all(&Method::POST, objects.into_iter().map(|object| (path.to_owned(), object)));
    }

    /// Lists a kind page by page, as a bare client would that only looks how it goes on; returns how many pages there were.
    pub fn list(&self, path: &str) -> usize {
        let (mut pages, mut next) = (0, String::new());
        loop {
            let page = self.text(&format!("{path}?limit={PAGE}&continue={next}"));
            pages += 1;
            let (_, rest) = page.split_once("\"continue\":\"").unwrap_or(("", "\""));
            rest.split('"').next().unwrap_or_default().clone_into(&mut next);
            if next.is_empty() {
                return pages;
            }
        }
    }
}
