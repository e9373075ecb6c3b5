//! Copies of what etcd holds: as the API server wrote it, under other names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::common::World;

/// How many puts a transaction of etcd may have.
const AT_ONCE: usize = 100;

/// etcd's JSON gateway.
pub struct Etcd {
    runtime: Runtime,
    http: reqwest::Client,
    url: String,
}

impl Etcd {
    /// That of a world.
    pub fn new(world: &World) -> Self {
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: std::fs::read_to_string(world.admin_kubeconfig().with_file_name("etcd-url")).unwrap(),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_string());
        let text = self.runtime.block_on(async { request.send().await.unwrap().text().await.unwrap() });
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["error"].is_null(), "etcd {path}: {text}");
        answer
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> String {
        let answer = self.post("/v3/kv/range", &json!({"key": STANDARD.encode(key)}));
        let value = answer["kvs"][0]["value"].as_str().unwrap_or_else(|| panic!("etcd has no {key}"));
        String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
    }

    /// Writes all of these.
    pub fn put_all(&self, pairs: &[(String, String)]) {
        for pairs in pairs.chunks(AT_ONCE) {
            let put = |(key, value): &(String, String)| json!({"requestPut": {"key": STANDARD.encode(key), "value": STANDARD.encode(value)}});
            let puts: Vec<Value> = pairs.iter().map(put).collect();
            self.post("/v3/kv/txn", &json!({"success": puts}));
        }
    }
}
