//! A request as ECS's gateway sees it: one set of parameters, wherever each of them travelled.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::answer::Refusal;
use crate::metadata;
use crate::signature::v3;

/// The parameters of one request. No `Debug`: the password may be among them.
pub(crate) struct Call {
    pub(crate) method: String,
    /// Path and query as they arrived.
    pub(crate) target: String,
    action: String,
    headers: http::HeaderMap,
    /// The signature, if it is of the third version; a refusal, if it lacks something.
    pub(crate) v3: Option<Result<v3::Signature, Refusal>>,
    parameters: BTreeMap<String, String>,
}

impl Call {
    pub(crate) fn read(request: &http::Request<Bytes>) -> Self {
        let is_form = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let body: &[u8] = if is_form { request.body() } else { &[] };
        let query = request.uri().query().unwrap_or_default();
        let pairs = |text| form_urlencoded::parse(text).into_owned();
        let mut parameters: BTreeMap<String, String> = pairs(query.as_bytes()).chain(pairs(body)).collect();
        // Clients of version 1 may send these headers too; what they signed are the parameters.
        if !parameters.contains_key("Signature") {
            parameters.extend(v3::parameters(request.headers()));
        }
        let v3 = v3::Signature::read(request);
        if let Some(Ok(signature)) = &v3 {
            parameters.insert("AccessKeyId".to_owned(), signature.access_key_id.clone());
        }
        let method = request.method().as_str();
        let action = metadata::action(method, request.uri().path()).map(str::to_owned);
        Self {
            method: method.to_owned(),
            action: action.or_else(|| parameters.get("Action").cloned()).unwrap_or_default(),
            headers: request.headers().clone(),
            v3,
            target: request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            parameters,
        }
    }

    /// A parameter's value; an empty one counts as not sent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All parameters, the empty ones too: they are signed.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a switch such as `DryRun` is on. SDKs write `true` and `True`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The action that is asked for; for the metadata service a name of its own. Empty if nothing says.
    pub(crate) fn action(&self) -> &str {
        &self.action
    }

    /// The path alone.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A header's value, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The ids that the call names: `InstanceId`, or the JSON array `InstanceIds`. `None`: the array is not an array of strings.
    pub(crate) fn named_ids(&self) -> Option<Vec<String>> {
        match (self.get("InstanceId"), self.get("InstanceIds")) {
            (Some(id), _) => Some(vec![id.to_owned()]),
            (None, Some(list)) => serde_json::from_str(list).ok(),
            (None, None) => Some(Vec::new()),
        }
    }
}
