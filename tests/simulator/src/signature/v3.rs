//! Signature version 3, `ACS3-HMAC-SHA256`: the headers and the body are signed, and what was a common parameter is a header.

use std::fmt::Write as _;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Request};
use sha2::{Digest, Sha256};

use super::percent_encode;
use crate::answer::Refusal;

const SCHEME: &str = "ACS3-HMAC-SHA256";

/// The headers that stand for common parameters of version 1.
const HEADERS: [(&str, &str); 5] = [
    ("x-acs-action", "Action"),
    ("x-acs-version", "Version"),
    ("x-acs-date", "Timestamp"),
    ("x-acs-signature-nonce", "SignatureNonce"),
    ("x-acs-security-token", "SecurityToken"),
];

/// What must be sent; what is sent of [`signable`] must be signed.
const ALWAYS_SENT: [&str; 6] =
    ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];

/// Header `Authorization`, and what it must be a signature of. No `Debug`: a password may be in the request's query.
pub(crate) struct Signature {
    pub(crate) access_key_id: String,
    /// With the hash of the body that arrived, so a body that was altered does not match.
    pub(crate) canonical_request: String,
    given: String,
}

impl Signature {
    /// `None`: the request is not signed in this way.
    pub(crate) fn read(request: &Request<Bytes>) -> Option<Result<Self, Refusal>> {
        let header = request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let fields = header.strip_prefix(SCHEME)?;
        let field = |name: &str| {
            fields.split(',').find_map(|each| each.trim().strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let signed: Vec<&str> = field("SignedHeaders").split(';').collect();
        let is_signed = |name: &str| signed.contains(&name);
        let complete = ALWAYS_SENT.iter().all(|name| request.headers().contains_key(*name))
            && signable(request.headers()).all(is_signed);
        if !complete {
            let message = "The request signature does not conform to Alibaba Cloud standards.";
            return Some(Err(Refusal::new("IncompleteSignature", 400, message)));
        }
        Some(Ok(Self {
            access_key_id: field("Credential").to_owned(),
            canonical_request: canonical_request(request, &signed),
            given: field("Signature").to_owned(),
        }))
    }

    pub(crate) fn is_by(&self, access_key_secret: &str) -> bool {
        sign(access_key_secret, &self.canonical_request) == self.given
    }
}

/// The common parameters that a request has in its headers. Its clients ask for JSON by `Accept`.
pub(crate) fn parameters(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut found: Vec<_> = HEADERS
        .iter()
        .filter_map(|(header, name)| text(header).map(|value| ((*name).to_owned(), value.to_owned())))
        .collect();
    if !found.is_empty() && text("accept").is_some_and(|accept| accept.contains("json")) {
        found.push(("Format".to_owned(), "JSON".to_owned()));
    }
    found
}

/// The headers that are signed if they are sent.
fn signable(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let names = headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| ["host", "content-type"].contains(name) || name.starts_with("x-acs-"))
}

fn canonical_request(request: &Request<Bytes>, signed: &[&str]) -> String {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    pairs.sort_unstable();
    let query: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value))).collect();
    let value = |name: &&str| {
        let values = request.headers().get_all(*name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned()).collect::<Vec<_>>().join(",")
    };
    let headers: Vec<_> = signed.iter().map(|name| format!("{name}:{}", value(name))).collect();
    let (method, path) = (request.method(), request.uri().path());
    let body = hex(&Sha256::digest(request.body()));
    let (query, headers, signed) = (query.join("&"), headers.join("\n"), signed.join(";"));
    format!("{method}\n{path}\n{query}\n{headers}\n\n{signed}\n{body}")
}

fn sign(access_key_secret: &str, canonical_request: &str) -> String {
    let string_to_sign = format!("{SCHEME}\n{}", hex(&Sha256::digest(canonical_request)));
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(access_key_secret.as_bytes()) else { return String::new() };
    mac.update(string_to_sign.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        v3: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        id: String,
        method: String,
        path: String,
        access_key_id: String,
        access_key_secret: String,
        query_params: BTreeMap<String, String>,
        body: String,
        headers: BTreeMap<String, String>,
        canonical_request: String,
        authorization: String,
    }

    #[test]
    fn every_published_signature_is_taken() {
        let vectors: Vectors = serde_json::from_str(include_str!("../../../data/signature-vectors.json")).unwrap();
        assert_eq!(vectors.v3.len(), 3);
        for vector in vectors.v3 {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&vector.query_params).finish();
            let mut request = Request::builder().method(vector.method.as_str()).uri(format!("{}?{query}", vector.path));
            for (name, value) in &vector.headers {
                request = request.header(name, value);
            }
            let mut request = request.body(Bytes::from(vector.body)).unwrap();
            request.headers_mut().insert("authorization", vector.authorization.parse().unwrap());
            let signature = Signature::read(&request).unwrap().ok().unwrap();
            assert_eq!(signature.canonical_request, vector.canonical_request, "{}", vector.id);
            assert_eq!(signature.access_key_id, vector.access_key_id);
            assert!(signature.is_by(&vector.access_key_secret) && !signature.is_by("another"), "{}", vector.id);
        }
    }
}
