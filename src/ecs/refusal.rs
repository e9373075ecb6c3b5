//! An error answer, read defensively: JSON, XML, or whatever a gateway makes of it. May not panic on any byte, and may
//! let nothing through that repeats what was signed.

use std::time::Duration;

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::classify;
use super::{Class, Refusal};

const CODE_CHARS_MAX: usize = 100;
const REQUEST_ID_CHARS_MAX: usize = 64;
const MESSAGE_CHARS_MAX: usize = 300;
/// A form value is encoded once, and once more in the string that is signed; one level more costs nothing.
const ENCODINGS_MAX: usize = 3;
/// Nobody explains anything at greater length; it is not looked at.
const TEXT_BYTES_MAX: usize = 16 << 10;
const ESCAPES: [(&str, &str); 6] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];

/// Reads an answer that is not a 2xx. `secret` is the password or token that the call carried.
pub(super) fn read(
    status: http::StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secret: Option<&SecretString>,
) -> Refusal {
    let Envelope { code, request_id, message } = Envelope::read(body);
    let unspoken = |text: &String| text.len() <= TEXT_BYTES_MAX && !secret.is_some_and(|secret| mentions(text, secret));
    let code = code.filter(|code| is_word(code, CODE_CHARS_MAX)).filter(unspoken);
    let request_id = request_id.filter(|id| is_word(id, REQUEST_ID_CHARS_MAX)).filter(unspoken);
    let text = message.unwrap_or_default();
    let (class, executed) = classify(code.as_deref(), &text, status.as_u16());
    // The message of a signature error quotes the string that was signed, and with it the password.
    let message = Some(text).filter(|_| class != Class::Auth).filter(unspoken).map(|text| presentable(&text));
    Refusal {
        code: code.unwrap_or_else(|| format!("HTTP {}", status.as_u16())),
        http_status: status.as_u16(),
        request_id,
        message: message.filter(|message| !message.is_empty()),
        executed,
        class,
        retry_after: retry_after(headers).filter(|_| class == Class::Throttled),
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
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => {
                let field = |name| json.get(name).and_then(Value::as_str).map(str::to_owned);
                Self { code: field("Code"), request_id: field("RequestId"), message: field("Message") }
            }
            Err(_) => Self::read_xml(&String::from_utf8_lossy(body)).unwrap_or_default(),
        }
    }

    /// Gateways that never learnt the format answer with a flat `<Error>`. Any other markup is not ours to interpret.
    fn read_xml(text: &str) -> Option<Self> {
        let error = element(text, "Error")?;
        let field = |name| element(error, name).map(unescape);
        Some(Self { code: field("Code"), request_id: field("RequestId"), message: field("Message") })
    }
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

/// Codes and request IDs are plain words; anything else in their place is somebody else's answer.
fn is_word(text: &str, chars_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=chars_max).contains(&text.len()) && text.bytes().all(plain)
}

fn presentable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

/// Whether the text holds the secret, each of its characters raw, percent-encoded or escaped for markup. Follows all
/// readings at once: an encoding may be ambiguous, and the text before it may run into it. Makes no copy of the secret.
fn mentions(text: &str, secret: &SecretString) -> bool {
    let text = text.as_bytes();
    let mut reached: Vec<usize> = (0..text.len()).collect();
    for byte in secret.expose_secret().bytes() {
        reached = reached.into_iter().flat_map(|at| ends_of(byte, text, at)).collect();
        reached.sort_unstable();
        reached.dedup();
    }
    !reached.is_empty()
}

/// Where in `text` an encoding of `byte` may end that begins at `at`.
fn ends_of(byte: u8, text: &[u8], at: usize) -> Vec<usize> {
    let rest = text.get(at..).unwrap_or_default();
    let mut ends = Vec::new();
    if rest.first() == Some(&byte) {
        ends.push(at + 1);
    }
    let escapes = ESCAPES
        .into_iter()
        .filter(|(escaped, plain)| plain.as_bytes() == [byte] && rest.starts_with(escaped.as_bytes()));
    ends.extend(escapes.map(|(escaped, _)| at + escaped.len()));
    if let Some(mut digits) = rest.strip_prefix(b"%") {
        // Every further encoding turns the `%` into `%25`.
        for _ in 0..ENCODINGS_MAX {
            if hex_pair(digits) == Some(byte) {
                ends.push(text.len() - digits.len() + 2);
            }
            let Some(inner) = digits.strip_prefix(b"25") else { break };
            digits = inner;
        }
    }
    ends
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits.get(..2)?).ok()?, 16).ok()
}

/// Milliseconds, in a header that the official SDK reads on throttled answers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get("x-acs-retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::ecs::Executed;

    fn refusal(body: &str) -> Refusal {
        read(StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes(), None)
    }

    fn message_for(password: &str, message: &str) -> Option<String> {
        let body = serde_json::json!({"Code": "InvalidPassword.Malformed", "Message": message}).to_string();
        let password = SecretString::from(password);
        read(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes(), Some(&password)).message
    }

    #[test]
    fn json_and_xml_say_the_same() {
        let json = refusal(r#"{"Code":"IncorrectInstanceStatus","RequestId":"A-1","Message":"a < b","Recommend":1}"#);
        let xml = refusal(
            "<?xml version='1.0'?><Error><RequestId>A-1</RequestId><Code>IncorrectInstanceStatus</Code>\
             <Message>a &lt; b</Message></Error>",
        );
        assert_eq!(json, xml);
        assert_eq!((json.class, json.message.as_deref()), (Class::WaitState, Some("a < b")));
    }

    #[test]
    fn what_is_not_an_envelope_has_no_code_and_may_have_been_executed() {
        let bodies = ["", "<html><Code>Throttling</Code></html>", r#"{"Code":403}"#, r#"{"Code":"Throt"#, "[1]"];
        for body in bodies {
            let refusal = refusal(body);
            assert_eq!((refusal.code.as_str(), refusal.executed), ("HTTP 403", Executed::Unknown), "{body}");
        }
    }

    #[test]
    fn a_message_of_a_signature_error_is_never_kept() {
        for code in ["SignatureDoesNotMatch", "IncompleteSignature", "SignatureNonceUsed", "InvalidTimeStamp.Expired"] {
            assert_eq!(refusal(&format!(r#"{{"Code":"{code}","Message":"harmless"}}"#)).message, None, "{code}");
        }
    }

    #[test]
    fn a_message_that_repeats_the_password_is_dropped() {
        let password = "aB3<&%/x";
        for repeated in [
            "aB3<&%/x",
            "aB3%3C%26%25%2Fx",
            "aB3%3c%26%25%2fx",
            "aB3%253C%2526%2525%252Fx",
            "aB3&lt;&amp;%/x",
            "%61B3<&%/x",
            "aB3&lt;%2526%%2Fx",
            "%aB3<&%/x",
        ] {
            assert_eq!(message_for(password, &format!("The value '{repeated}' is wrong.")), None, "{repeated}");
        }
        assert_eq!(message_for(password, "100% wrong %").as_deref(), Some("100% wrong %"));
    }

    #[test]
    fn a_message_is_bounded_and_has_no_control_characters() {
        let message = message_for("aB3<&%/x", &format!("a\n\u{1b}[31m{}", "é".repeat(400))).unwrap();
        assert!(message.starts_with("a[31mé"));
        assert_eq!(message.chars().count(), 300);
    }

    #[test]
    fn a_code_that_is_not_a_word_is_no_code() {
        for code in ["<b>", "a b", &"x".repeat(101), ""] {
            assert_eq!(refusal(&serde_json::json!({ "Code": code }).to_string()).code, "HTTP 403", "{code}");
        }
    }

    #[test]
    fn neither_code_nor_request_id_repeats_the_password() {
        let body = br#"{"Code":"Passw0rd-1","RequestId":"x.Passw0rd-1"}"#;
        let refusal = read(StatusCode::BAD_REQUEST, &HeaderMap::new(), body, Some(&"Passw0rd-1".into()));
        assert_eq!((refusal.code.as_str(), refusal.request_id), ("HTTP 400", None));
    }

    #[test]
    fn only_a_throttled_answer_says_when_to_come_back() {
        let headers = [("x-acs-retry-after".parse().unwrap(), "1500".parse().unwrap())].into_iter().collect();
        let retry_after = |body: &str| read(StatusCode::BAD_REQUEST, &headers, body.as_bytes(), None).retry_after;
        assert_eq!(retry_after(r#"{"Code":"Throttling.User"}"#), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(r#"{"Code":"InternalError"}"#), None);
    }
}
