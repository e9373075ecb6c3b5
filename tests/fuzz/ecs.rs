//! Targets: what ECS and STS answer, what a gateway makes of it, and what is signed.

use std::time::Duration;

use bytes::Bytes;
use ecs_password_reset::ecs::sign::{canonical_form, signature, string_to_sign};
use ecs_password_reset::ecs::{
    Accepted, ApiResponse, CallerIdentity, EcsClient, InstancePage, Keys, RegionEndpoint, Reply, RetryRule, SendError,
    Stamp, Transport, modify_password,
};
use futures::executor::block_on;
use secrecy::SecretString;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::near::fuzz;

/// The document that was read, for comparison; `None` where a value that nobody looks at is none that JSON can hold.
pub fn document(input: &[u8]) -> Option<Value> {
    serde_json::from_str(&String::from_utf8_lossy(input)).ok()
}

#[test]
fn pages_of_instances() {
    fuzz("pages", "Code Message", |input| {
        let page = InstancePage::read(input)?;
        // A page that was read is a document with a list, and every instance is one of its items.
        let document = document(input)?;
        let text = document.to_string();
        assert!(document["Instances"]["Instance"].is_array(), "a broken list was taken for one");
        for instance in &page.instances {
            assert!(!instance.instance_id.is_empty());
            assert!(text.contains(&Value::from(instance.instance_id.as_str()).to_string()), "an id from nowhere");
            assert!(!instance.locks.iter().any(String::is_empty), "a lock has a reason");
        }
        Some(())
    });
}

#[test]
fn successes_of_changing_calls_and_identities() {
    fuzz("successes", "Code Message", |input| {
        let (accepted, identity) = (Accepted::read(input), CallerIdentity::read(input));
        if let (Some(Accepted { request_id }), Some(document)) = (&accepted, document(input)) {
            assert!(!request_id.is_empty() && document.is_object(), "a success out of nothing");
            assert!(document["Code"].is_null(), "an error was taken for a success");
        }
        if let Some(CallerIdentity { account_id, .. }) = &identity {
            assert!(!account_id.is_empty());
        }
    });
}

/// Answers what it was made with: a line with the status, a line with the `Date`, and the body.
pub struct Scripted(pub Vec<u8>);

impl Scripted {
    /// The status, the `Date` and the body.
    pub fn parts(&self) -> (u16, &[u8], &[u8]) {
        let mut lines = self.0.splitn(3, |byte| *byte == b'\n');
        let status = lines.next().and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        let status = status.filter(|it| (200..600).contains(it)).unwrap_or(400);
        (status, lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
    }
}

impl Transport for Scripted {
    async fn send(&self, _: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, SendError> {
        let (status, date, body) = self.parts();
        let mut response = http::Response::builder().status(status);
        if let Ok(date) = http::HeaderValue::from_bytes(date) {
            response = response.header("date", date);
        }
        Ok(response.body(Bytes::copy_from_slice(body)).unwrap())
    }
}

const PASSWORD: &str = "aB3<&%/x7Q";

/// The reply to a call with a password, when the answer is this.
fn reply(input: &[u8]) -> Reply<Accepted> {
    let endpoint = RegionEndpoint::public("cn-hangzhou").unwrap();
    let credentials =
        Keys { access_key_id: "id".into(), access_key_secret: "key-of-nobody".into(), security_token: None };
    let stamp = Stamp { timestamp: "2026-11-24T12:00:00Z".parse().unwrap(), nonce: "n".into() };
    let signed = modify_password(&endpoint, &credentials, "i-bp1a0000", &SecretString::from(PASSWORD), &stamp);
    block_on(EcsClient::new(Scripted(input.to_vec()), Scripted(Vec::new()), Scripted(Vec::new())).send(signed))
}

#[test]
fn errors_of_ecs_and_of_gateways() {
    let words = "aB3%3C%26%25%2Fx7Q aB3%253C%2526%2525%252Fx7Q aB3&lt;&amp;%/x7Q <Error> </Error> <Code> </Code> <Message> </Message> \
        <html> InternalError IncorrectInstanceStatus SignatureDoesNotMatch InvalidPassword.Malformed OperationDenied 500 403 302 200";
    fuzz("errors", words, |input| {
        let answer = Scripted(input.to_vec());
        let (_, _, body) = answer.parts();
        let Err(error) = reply(input).result else { return };
        let shown = format!("{error} {error:?}");
        assert!(!decoded(&shown).any(|it| it.contains(PASSWORD)), "the password is shown");
        assert!(shown.chars().count() < 1_600, "an error without bound");
        let text = String::from_utf8_lossy(body);
        if serde_json::from_slice::<Value>(body).is_err() && !text.contains("<Error>") {
            assert_eq!(error.retry_rule(), RetryRule::Unknown, "nobody has said that it was not executed");
        }
    });
}

/// A text, and what it is once and twice without percent-encoding, and without the escapes of markup.
pub fn decoded(text: &str) -> impl Iterator<Item = String> {
    let once = percent_decoded(text);
    let twice = percent_decoded(&once);
    let markup = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    [text.to_owned(), once, twice, markup].into_iter()
}

fn percent_decoded(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|it| std::str::from_utf8(it).ok());
        let pair = pair.and_then(|it| u8::from_str_radix(it, 16).ok());
        decoded.push(pair.unwrap_or(*byte));
        at += if pair.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[test]
fn dates_and_start_times() {
    fuzz("times", "+0800 Z T 24:00", |input| {
        let date = reply(&[b"400\n", input].concat()).server_time;
        // Sums with it must be times again: three centuries hold every length of time that is added anywhere.
        assert!(
            date.is_none_or(|it| (946_684_800..4_133_980_800).contains(&it.as_second())),
            "a Date that no clock shows"
        );
        let text = String::from_utf8_lossy(input);
        let page = serde_json::json!({"Instances": {"Instance": [{"InstanceId": "i-1", "StartTime": text}]}});
        let page = InstancePage::read(page.to_string().as_bytes()).expect("an odd time costs only itself");
        let start_time = page.instances[0].start_time;
        // What ECS writes, YYYY-MM-DDTHH:MMZ, is read as that very minute.
        if let Some(start_time) = start_time.filter(|_| text.len() == 17 && text.ends_with('Z') && text.is_ascii()) {
            let digits = |it: &str| it.chars().filter(char::is_ascii_digit).collect::<String>();
            assert_eq!(digits(&start_time.strftime("%Y-%m-%dT%H:%MZ").to_string()), digits(&text), "{text}");
        }
    });
}

/// HMAC-SHA1 by its definition, and the canonical string by RFC 3986: slow, and nobody else's.
mod by_the_book {
    use super::{Digest, Sha1};

    pub fn encoded(text: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        text.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
    }

    pub fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut block = if key.len() > 64 { Sha1::digest(key).to_vec() } else { key.to_vec() };
        block.resize(64, 0);
        let with = |pad: u8| block.iter().map(move |byte| byte ^ pad).collect::<Vec<u8>>();
        let inner = Sha1::digest([&with(0x36)[..], message].concat());
        Sha1::digest([&with(0x5c)[..], &inner[..]].concat()).to_vec()
    }
}

#[test]
fn the_string_that_is_signed() {
    fuzz("signature", "Password", |input| {
        let text = String::from_utf8_lossy(input);
        let parameters: Vec<(&str, &str)> = text.lines().map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
        let mut sorted = parameters.clone();
        sorted.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()).then(a.1.as_bytes().cmp(b.1.as_bytes())));
        let pairs = sorted
            .iter()
            .map(|(name, value)| format!("{}={}", by_the_book::encoded(name), by_the_book::encoded(value)));
        let expected = pairs.collect::<Vec<_>>().join("&");
        let form = canonical_form(parameters);
        assert_eq!(*form, expected, "the canonical form");
        let signed = string_to_sign(&http::Method::POST, &form);
        assert_eq!(*signed, format!("POST&%2F&{}", by_the_book::encoded(&expected)), "the string to sign");
        let digest = by_the_book::hmac(format!("{text}&").as_bytes(), signed.as_bytes());
        let expected = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
        assert_eq!(signature(&SecretString::from(text.as_ref()), &signed), expected, "the signature");
    });
}
