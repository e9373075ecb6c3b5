//! An error answer, read defensively: JSON, XML, or whatever a gateway makes of it. May not panic on any byte, and may let
//! nothing through but code and request id: an explanation may repeat what was sent, in forms that nobody has thought of.

use std::time::Duration;

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::error::{ErrorAnswer, classify};
use super::responses::Lenient;
use super::{ApiCall, Class, ErrorResponse};

const CODE_CHARS_MAX: usize = 100;
const REQUEST_ID_CHARS_MAX: usize = 64;
const ESCAPES: [(&str, &str); 6] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];

/// Reads an answer that is not a success: not a 2xx, or one that does not say what a success says. `secrets`: what the call carried, or
/// was signed with.
pub(super) fn read(
    action: ApiCall,
    status: http::StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[SecretString],
) -> ErrorResponse {
    let Envelope { code, request_id, message } = Envelope::read(body);
    // A word has no encoded form: no other one of a secret can be in it.
    let unspoken = |word: &String| !secrets.iter().any(|secret| word.contains(secret.expose_secret()));
    let code = code.filter(|code| is_word(code, CODE_CHARS_MAX)).filter(unspoken);
    let request_id = request_id.filter(|id| is_word(id, REQUEST_ID_CHARS_MAX)).filter(unspoken);
    let message = message.unwrap_or_default();
    let names_instance_id = message.contains("InstanceId");
    let refusal = judge(action, status.as_u16(), code, request_id, &message);
    let retry_after = retry_after(headers).filter(|_| refusal.class == Class::Throttled);
    ErrorResponse { names_instance_id, retry_after, ..refusal }
}

/// An answer of which only the beginning came; `why` says so in our own words.
pub(super) fn cut_off(action: ApiCall, http_status: u16, why: String) -> ErrorResponse {
    ErrorResponse { unreadable: Some(why), ..judge(action, http_status, None, None, "") }
}

fn judge(
    action: ApiCall,
    http_status: u16,
    code: Option<String>,
    request_id: Option<String>,
    message: &str,
) -> ErrorResponse {
    let answer = ErrorAnswer { http_status, code: code.as_deref(), request_id: request_id.as_deref(), message };
    let (class, executed) = classify(&answer);
    ErrorResponse {
        action,
        unreadable: code.is_none().then(|| "the answer could not be read".to_owned()),
        code: code.unwrap_or_else(|| format!("HTTP {http_status}")),
        http_status,
        request_id,
        names_instance_id: false,
        executed,
        class,
        retry_after: None,
    }
}

#[derive(Default)]
struct Envelope {
    code: Option<String>,
    request_id: Option<String>,
    message: Option<String>,
}

impl Envelope {
    fn read(body: &[u8]) -> Self {
        // Nothing else is kept, not even for a moment: a success of STS that could not be read may hold credentials.
        // An answer that is not text is not the API's, whatever can be made out of it.
        let Ok(text) = std::str::from_utf8(body) else { return Self::default() };
        match serde_json::from_str::<RawEnvelope>(text) {
            Ok(RawEnvelope { code, request_id, message }) => {
                Self { code: code.good(), request_id: request_id.good(), message: message.good() }
            }
            Err(_) => Self::read_xml(text).unwrap_or_default(),
        }
    }

    /// Gateways that never learnt the format answer with a flat `<Error>`. Any other markup is not ours to interpret.
    fn read_xml(text: &str) -> Option<Self> {
        let error = element(text, "Error")?;
        let field = |name| element(error, name).map(unescape);
        Some(Self { code: field("Code"), request_id: field("RequestId"), message: field("Message") })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawEnvelope {
    code: Lenient<String>,
    request_id: Lenient<String>,
    message: Lenient<String>,
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, inside) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = inside.split_once(&format!("</{name}>"))?;
    Some(inside)
}

fn unescape(text: &str) -> String {
    // `&amp;` comes last: undone first, it would make new escapes.
    ESCAPES.into_iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// Codes and request IDs are plain words; anything else in their place comes from another server.
fn is_word(text: &str, chars_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=chars_max).contains(&text.len()) && text.bytes().all(plain)
}

/// Milliseconds, in a header that the official SDK reads on throttled answers. To the SDK 0 is not a value.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get("x-acs-retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_millis(millis)).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::ecs::Executed;

    fn refusal(body: &str) -> ErrorResponse {
        read(ApiCall::RebootInstance, StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes(), &[])
    }

    #[test]
    fn json_and_xml_say_the_same() {
        let json = refusal(r#"{"Code":"IncorrectInstanceStatus","RequestId":"A-1","Message":"a < b","Recommend":1}"#);
        let xml = refusal(
            "<?xml version='1.0'?><Error><RequestId>A-1</RequestId><Code>IncorrectInstanceStatus</Code>\
             <Message>a &lt; b</Message></Error>",
        );
        assert_eq!(json, xml);
        assert_eq!((json.class, json.code.as_str()), (Class::WaitState, "IncorrectInstanceStatus"));
    }

    #[test]
    fn answer_without_envelope_has_no_code_and_is_unknown() {
        let bodies = ["", "<html><Code>Throttling</Code></html>", r#"{"Code":403}"#, r#"{"Code":"Throt"#, "[1]"];
        for body in bodies {
            let refusal = refusal(body);
            assert_eq!((refusal.code.as_str(), refusal.executed), ("HTTP 403", Executed::Unknown), "{body}");
            assert_eq!(
                refusal.to_string(),
                "answered with HTTP 403, but the answer could not be read, outcome not known",
                "{body}"
            );
        }
    }

    #[test]
    fn explanation_is_dropped_but_for_naming_the_instance() {
        let all = r#"{"Code":"InvalidParameter","RequestId":"A-1","Message":"InstanceId i-1 of payroll is wrong"}"#;
        let refusal = refusal(all);
        assert!(refusal.names_instance_id);
        assert!(!format!("{refusal} {refusal:?}").contains("payroll"));
    }

    #[test]
    fn code_that_is_not_a_word_is_ignored() {
        for code in ["<b>", "a b", &"x".repeat(101), ""] {
            assert_eq!(refusal(&serde_json::json!({ "Code": code }).to_string()).code, "HTTP 403", "{code}");
        }
    }

    #[test]
    fn neither_code_nor_request_id_repeats_the_password() {
        let body = br#"{"Code":"Passw0rd-1","RequestId":"x.Passw0rd-1"}"#;
        let refusal = read(
            ApiCall::ModifyInstanceAttribute,
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            body,
            &["Passw0rd-1".into()],
        );
        assert_eq!((refusal.code.as_str(), refusal.request_id), ("HTTP 400", None));
    }

    #[test]
    fn only_a_throttled_answer_says_when_to_come_back() {
        let headers = [("x-acs-retry-after".parse().unwrap(), "1500".parse().unwrap())].into_iter().collect();
        let retry_after = |body: &str| {
            read(ApiCall::DescribeInstances, StatusCode::BAD_REQUEST, &headers, body.as_bytes(), &[]).retry_after
        };
        assert_eq!(retry_after(r#"{"Code":"Throttling.User"}"#), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(r#"{"Code":"InternalError"}"#), None);
    }

    #[test]
    fn retry_after_of_zero_is_ignored() {
        for value in ["0", "00", "-5", "soon"] {
            let headers = [("x-acs-retry-after".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            let refusal =
                read(ApiCall::DescribeInstances, StatusCode::BAD_REQUEST, &headers, br#"{"Code":"Throttling"}"#, &[]);
            assert_eq!(refusal.retry_after, None, "{value}");
        }
    }
}
