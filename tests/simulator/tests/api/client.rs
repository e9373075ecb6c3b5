//! A client of a few lines for the simulator's own tests: signs and hands requests straight to a [`Core`].

use std::time::Duration;

use bytes::Bytes;
use ecs_simulator::{Config, Core, Handling, Reply, sign, string_to_sign};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(crate) const REGION: &str = "cn-hangzhou";

/// A core, the moment that it is there, and a counter for nonces.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Timestamp,
    nonces: u32,
    pub(crate) key: (String, String),
    pub(crate) token: Option<String>,
}

/// What a client got.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
}

impl Got {
    /// The error code; empty for a success.
    pub(crate) fn code(&self) -> &str {
        self.body["Code"].as_str().unwrap_or_default()
    }
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let now = "2026-11-24T05:21:07Z".parse().unwrap();
        let key = ("testid".to_owned(), "testsecret".to_owned());
        Self { core: Core::new(config, now), now, nonces: 0, key, token: None }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, seconds: f64) {
        self.now = self.now.checked_add(Duration::from_secs_f64(seconds)).unwrap();
        self.core.run_until(self.now);
    }

    /// The common parameters and `own`, before signing.
    pub(crate) fn parameters(&mut self, action: &str, own: &[(&str, &str)]) -> Vec<(String, String)> {
        self.nonces += 1;
        let of_sts = ["GetCallerIdentity", "AssumeRole", "AssumeRoleWithOIDC"].contains(&action);
        let version = if of_sts { "2015-04-01" } else { "2014-05-26" };
        let common = [
            ("Action", action.to_owned()),
            ("Version", version.to_owned()),
            ("Format", "JSON".to_owned()),
            ("AccessKeyId", self.key.0.clone()),
            ("SignatureMethod", "HMAC-SHA1".to_owned()),
            ("SignatureVersion", "1.0".to_owned()),
            ("SignatureNonce", format!("nonce-{}", self.nonces)),
            ("Timestamp", self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ];
        let mut all: Vec<_> = common.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.extend(self.token.iter().map(|token| ("SecurityToken".to_owned(), token.clone())));
        for (name, value) in own {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        all
    }

    /// Signs what is given.
    pub(crate) fn sign(&self, mut parameters: Vec<(String, String)>) -> Vec<(String, String)> {
        let text = string_to_sign("POST", parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        parameters.push(("Signature".to_owned(), sign(&self.key.1, &text)));
        parameters
    }

    /// Hands over a POST with everything in the body.
    pub(crate) fn handle(&mut self, parameters: &[(String, String)]) -> Handling {
        self.core.handle(self.now, &post(parameters))
    }

    /// Signs, sends, and takes the answer; `None`: the connection was closed without one.
    pub(crate) fn send(&mut self, action: &str, own: &[(&str, &str)]) -> Option<Got> {
        let parameters = self.parameters(action, own);
        let signed = self.sign(parameters);
        match self.handle(&signed) {
            Handling::Now(reply) => read(reply),
            Handling::Later { .. } => panic!("the network holds the request back"),
        }
    }

    /// Signs with what `got` hands out from now on: an answer of STS, or of the metadata service.
    pub(crate) fn use_credentials(&mut self, got: &Got) {
        let credentials = if got.body["Credentials"].is_object() { &got.body["Credentials"] } else { &got.body };
        let text = |name: &str| credentials[name].as_str().unwrap_or_else(|| panic!("{}", got.body)).to_owned();
        self.key = (text("AccessKeyId"), text("AccessKeySecret"));
        self.token = Some(text("SecurityToken"));
    }

    /// Hands over any request and takes its answer.
    pub(crate) fn exchange(&mut self, request: &http::Request<Bytes>) -> Got {
        match self.core.handle(self.now, request) {
            Handling::Now(reply) => read(reply).expect("an answer"),
            Handling::Later { .. } => panic!("the network holds the request back"),
        }
    }

    /// Sends what must be answered.
    pub(crate) fn ask(&mut self, action: &str, own: &[(&str, &str)]) -> Got {
        self.send(action, own).expect("an answer")
    }

    pub(crate) fn describe(&mut self, own: &[(&str, &str)]) -> Vec<Value> {
        let all: Vec<_> = own.iter().copied().chain([("RegionId", REGION)]).collect();
        let got = self.ask("DescribeInstances", &all);
        assert_eq!(got.status, 200, "{}", got.body);
        got.body["Instances"]["Instance"].as_array().unwrap().clone()
    }

    pub(crate) fn modify(&mut self, id: &str, password: &str) -> Got {
        self.ask("ModifyInstanceAttribute", &[("InstanceId", id), ("Password", password)])
    }

    pub(crate) fn reboot(&mut self, id: &str) -> Got {
        self.ask("RebootInstance", &[("InstanceId", id)])
    }

    /// ECS's clock so many seconds from now, as a request's Timestamp.
    pub(crate) fn timestamp(&self, seconds: i64) -> String {
        let at = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

pub(crate) fn post(parameters: &[(String, String)]) -> http::Request<Bytes> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    http::Request::post("/")
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.finish().into())
        .unwrap()
}

pub(crate) fn read(reply: Reply) -> Option<Got> {
    match reply {
        Reply::CloseConnection => None,
        Reply::Answer(response) => {
            let (parts, body) = response.into_parts();
            let text = String::from_utf8_lossy(&body).into_owned();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Some(Got { status: parts.status.as_u16(), headers: parts.headers, body, text })
        }
    }
}
