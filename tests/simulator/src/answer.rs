//! What goes back to the client: ECS's success and error envelopes in JSON and XML.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::time::to_http_date;

/// What a request came to.
pub enum Reply {
    /// Send this.
    Answer(http::Response<Bytes>),
    /// Close the connection without a byte: the client cannot know what happened.
    CloseConnection,
}

/// What [`crate::Core::handle`] asks its caller to do.
pub enum Handling {
    /// The request was judged.
    Now(Reply),
    /// The network holds the request back: wait `delay`, then hand `held` to [`crate::Core::arrive`], also when the
    /// client has gone away meanwhile.
    Later {
        /// How long.
        delay: Duration,
        /// The request.
        held: Held,
    },
}

/// A request that has not reached ECS yet.
pub struct Held(pub(crate) Call);

/// A refusal as ECS words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code, such as `IncorrectInstanceStatus`.
    pub code: String,
    /// The HTTP status.
    pub http: u16,
    /// For people. That of `SignatureDoesNotMatch` echoes the signed parameters, as ECS's does.
    pub message: String,
    /// Header `x-acs-retry-after`, in milliseconds.
    pub retry_after_milliseconds: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: impl Into<String>, http: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), http, message: message.into(), retry_after_milliseconds: None }
    }

    pub(crate) fn throttled(retry_after_milliseconds: Option<u64>) -> Self {
        Self {
            retry_after_milliseconds,
            ..Self::new("Throttling.User", 400, "Request was denied due to user flow control.")
        }
    }

    pub(crate) fn missing(name: &str) -> Self {
        Self::new(
            "MissingParameter",
            400,
            format!("The input parameter \"{name}\" that is mandatory for processing this request is not supplied."),
        )
    }

    pub(crate) fn invalid(name: &str) -> Self {
        Self::new("InvalidParameter", 400, format!("The specified parameter \"{name}\" is not valid."))
    }
}

/// The fields of a success, without `RequestId`.
pub(crate) type Body = Map<String, Value>;

/// How the client wants it: `Format=JSON`, else ECS's default, XML.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Json,
    Xml,
}

impl Format {
    pub(crate) fn of(call: &Call) -> Self {
        if call.get("Format").is_some_and(|format| format.eq_ignore_ascii_case("json")) {
            Self::Json
        } else {
            Self::Xml
        }
    }
}

/// Writes a judgement as HTTP.
pub(crate) fn write(
    now: Timestamp,
    format: Format,
    action: &str,
    request_id: &str,
    result: Result<Body, Refusal>,
) -> http::Response<Bytes> {
    let (status, root, mut body, retry_after) = match result {
        Ok(body) => (200, format!("{action}Response"), body, None),
        Err(refusal) => {
            let url = format!("https://error-center.aliyun.com/status/search?Keyword={}", refusal.code);
            let fields = json!({
                "HostId": "ecs.aliyuncs.com", "Code": refusal.code, "Message": refusal.message, "Recommend": url,
            });
            let Value::Object(body) = fields else { return raw(now, 500, "") };
            (refusal.http, "Error".to_owned(), body, refusal.retry_after_milliseconds)
        }
    };
    body.insert("RequestId".to_owned(), request_id.into());
    let (content_type, text) = match format {
        Format::Json => ("application/json;charset=utf-8", Value::Object(body).to_string()),
        Format::Xml => ("text/xml;charset=utf-8", xml_document(&root, &Value::Object(body))),
    };
    let mut response = http::Response::builder()
        .status(status)
        .header(http::header::DATE, to_http_date(now))
        .header(http::header::CONTENT_TYPE, content_type)
        .header("x-acs-request-id", request_id);
    if let Some(milliseconds) = retry_after {
        response = response.header("x-acs-retry-after", milliseconds);
    }
    response.body(text.into()).unwrap_or_default()
}

/// Writes a judgement as the metadata service does: bare text, and of a refusal only the status.
pub(crate) fn write_plain(now: Timestamp, result: &Result<String, Refusal>) -> http::Response<Bytes> {
    let (status, text) = match result {
        Ok(text) => (200, text.as_str()),
        Err(refusal) => (refusal.http, ""),
    };
    http::Response::builder()
        .status(status)
        .header(http::header::DATE, to_http_date(now))
        .header(http::header::CONTENT_TYPE, "text/plain")
        .body(Bytes::copy_from_slice(text.as_bytes()))
        .unwrap_or_default()
}

/// An answer that did not come from ECS but from something before it, such as a proxy's HTML page.
pub(crate) fn raw(now: Timestamp, status: u16, body: &str) -> http::Response<Bytes> {
    http::Response::builder()
        .status(status)
        .header(http::header::DATE, to_http_date(now))
        .header(http::header::CONTENT_TYPE, "text/html")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap_or_default()
}

fn xml_document(root: &str, value: &Value) -> String {
    let mut text = "<?xml version='1.0' encoding='UTF-8'?>".to_owned();
    xml_element(&mut text, root, value);
    text
}

/// A list becomes its element repeated under the list's own name, which is why ECS's JSON has `Instances.Instance[]`.
fn xml_element(text: &mut String, name: &str, value: &Value) {
    if let Value::Array(items) = value {
        for item in items {
            xml_element(text, name, item);
        }
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "<{name}>");
    match value {
        Value::Object(fields) => fields.iter().for_each(|(field, inner)| xml_element(text, field, inner)),
        Value::String(plain) => text.push_str(&escape(plain)),
        Value::Null => {}
        other => text.push_str(&other.to_string()),
    }
    let _ = write!(text, "</{name}>");
}

fn escape(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
