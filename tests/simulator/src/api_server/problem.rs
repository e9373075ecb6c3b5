//! Refusals in Kubernetes' words: a `Status` with code and reason.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Kind, json_response};

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Problem {
    fn new(code: StatusCode, reason: &'static str, message: String) -> Self {
        Self { code, reason, message }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message.into())
    }

    /// What a real server would do and this one does not: a test that gets here needs another server.
    pub(crate) fn not_served(what: &str) -> Self {
        Self::bad_request(format!("this API server in memory does not know {what}"))
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(crate) fn unknown_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{} \"{name}\" not found", kind.qualified()))
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message)
    }

    pub(crate) fn conflict(why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled: {why}");
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message.into())
    }

    pub(crate) fn expired() -> Self {
        Self::new(
            StatusCode::GONE,
            "Expired",
            "The resourceVersion for the provided list or watch is too old.".to_owned(),
        )
    }

    pub(crate) fn from_the_future() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", "Too large resource version".to_owned())
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        })
    }

    pub(crate) fn response(&self) -> http::Response<Bytes> {
        json_response(self.code, self.status().to_string())
    }
}
