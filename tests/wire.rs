//! The promises of `ecs` at its edges: signatures equal the published ones, every documented error means what the
//! documents say, no byte of an answer can make it panic, and a request that may have left is never called unsent.

// Clippy's leave for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ecs_password_reset::ecs::error::{ErrorAnswer, classify};
use ecs_password_reset::ecs::sign::{canonical_form, signature, string_to_sign};
use ecs_password_reset::ecs::{
    Accepted, CallError, CallerIdentity, Class, DryRunPassed, EcsClient, Executed, HttpOptions, HttpTransport,
    InstancePage, Keys, RegionEndpoint, Reply, RetryRule, SendError, Stamp, Transport, describe_instances,
    describe_instances_dry_run, get_caller_identity, modify_password, reboot_instance, tls,
};
use proptest::prelude::*;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "()`~!@#$%^&*-_+=|{}[]:;'<>,.?/";

// === Signatures ===

#[derive(Deserialize)]
struct Vectors {
    v1: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    method: String,
    access_key_secret: String,
    query_params: BTreeMap<String, String>,
    body_params: BTreeMap<String, String>,
    canonicalized_query_string: String,
    string_to_sign: String,
    signature: String,
    wire: Option<Wire>,
}

#[derive(Deserialize)]
struct Wire {
    body: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let vectors: Vectors = serde_json::from_str(include_str!("data/signature-vectors.json")).unwrap();
    vectors.v1
}

#[test]
fn every_published_signature_is_ours_too() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 15);
    for vector in vectors {
        let parameters = vector.query_params.iter().chain(&vector.body_params);
        let form = canonical_form(parameters.map(|(name, value)| (name.as_str(), value.as_str())).collect());
        assert_eq!(*form, vector.canonicalized_query_string, "{}", vector.id);
        let string = string_to_sign(&vector.method.parse().unwrap(), &form);
        assert_eq!(*string, vector.string_to_sign, "{}", vector.id);
        assert_eq!(signature(&vector.access_key_secret.into(), &string), vector.signature, "{}", vector.id);
    }
}

/// Keeps the request and gives the answer that it was made with.
#[derive(Clone)]
struct Double {
    answer: (u16, Vec<u8>),
    sent: Arc<Mutex<Vec<http::Request<Bytes>>>>,
}

impl Transport for Double {
    async fn send(&self, request: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, SendError> {
        self.sent.lock().unwrap().push(request);
        let (status, body) = self.answer.clone();
        Ok(http::Response::builder().status(status).body(body.into()).unwrap())
    }
}

fn answering(status: u16, body: impl Into<Vec<u8>>) -> EcsClient<Double> {
    let double = Double { answer: (status, body.into()), sent: Arc::default() };
    EcsClient::new(double.clone(), double.clone(), double)
}

fn credentials() -> Keys {
    Keys {
        access_key_id: "LTAItestAccessKeyId0000".into(),
        access_key_secret: "testAccessKeySecret0000000000".into(),
        security_token: Some("CAISxxTEST+token/with=special==&chars?%20 end".into()),
    }
}

fn stamp(nonce: &str) -> Stamp {
    Stamp { timestamp: "2026-01-02T03:04:05Z".parse().unwrap(), nonce: nonce.into() }
}

#[tokio::test]
async fn password_call_equals_official_client_byte_for_byte() {
    let double = Double { answer: (200, br#"{"RequestId":"A-1"}"#.to_vec()), sent: Arc::default() };
    let client = EcsClient::new(double.clone(), double.clone(), double.clone());
    let endpoint = RegionEndpoint::public("cn-hangzhou").unwrap();
    let stamp = stamp("00000000-0000-4000-8000-00000000000a");
    let signed = modify_password(&endpoint, &credentials(), "i-bp1aaaaaaaaaaaaaaaaa", &PASSWORD.into(), &stamp);
    assert_eq!(client.send(signed).await.result, Ok(Accepted { request_id: "A-1".into() }));

    let vector = vectors().into_iter().find(|vector| vector.id == "pop-core-modify-password-all-in-body-sts").unwrap();
    let request = double.sent.lock().unwrap().remove(0);
    assert_eq!(request.uri(), "https://ecs-cn-hangzhou.aliyuncs.com/");
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(str::from_utf8(request.body()).unwrap(), vector.wire.unwrap().body.unwrap());
}

// === Errors ===

struct DocumentedError {
    code: String,
    message: String,
    http_status: u16,
    class: String,
    executed: String,
}

/// The documents' table as it was collected; the one in `src` must agree with it.
fn documented_errors() -> Vec<DocumentedError> {
    let rows = include_str!("data/ecs-errors.tsv").lines().skip(1);
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let (code, message) = columns[0].split_once(" [message: ").unwrap_or((columns[0], ""));
        DocumentedError {
            code: code.replace("Throttling.*", "Throttling.Other").replace("<Name>", "InstanceId"),
            message: message.trim_end_matches(']').to_owned(),
            http_status: columns[1].split('|').next().unwrap().parse().unwrap_or(500),
            class: columns[2].to_owned(),
            executed: columns[3].to_owned(),
        }
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn every_documented_error_means_what_the_documents_say() {
    let errors = documented_errors();
    assert_eq!(errors.len(), 120);
    for DocumentedError { code, message, http_status, class, executed } in errors {
        let body = match code.as_str() {
            code if code.starts_with("(no code)") => String::new(),
            code if code.starts_with("(any code") => by_the_api("NobodyKnows", ""),
            code => by_the_api(code, &format!("The {message}.")),
        };
        // A dry run's success is an error to all other calls; 200 is not an error at all.
        let status = if http_status < 400 { 400 } else { http_status };
        let refusal = match refused(status, &body).await {
            CallError::Refused(refusal) => refusal,
            other => panic!("{code}: {other}"),
        };
        let classes: &[Class] = match class.as_str() {
            "retry" => &[Class::Throttled, Class::Transient],
            "wait-state" => &[Class::WaitState],
            // Any code that nobody knows, here at HTTP 5xx: what it means at 4xx is another test's.
            "permanent" if executed == "unknown" => &[Class::Transient],
            "permanent" => &[Class::Denied, Class::Invalid, Class::Gone],
            "auth" | "auth-retry" => &[Class::Auth],
            "dryrun-ok" => &[Class::Unknown],
            other => panic!("{code}: {other}"),
        };
        assert!(classes.contains(&refusal.class), "{code}: {:?}", refusal.class);
        assert_eq!(refusal.class == Class::Throttled, code.contains("Throttling"), "{code}");
        let verdict = match (executed.as_str(), class.as_str()) {
            ("unknown", _) => RetryRule::Unknown,
            (_, "permanent" | "dryrun-ok") => RetryRule::Definite,
            _ => RetryRule::Later,
        };
        assert_eq!(refusal.retry_rule(), verdict, "{code}");
        assert_eq!(refusal.executed == Executed::Unknown, executed == "unknown", "{code}");
    }
}

/// An error as the API answers it.
fn by_the_api(code: &str, message: &str) -> String {
    serde_json::json!({ "Code": code, "Message": message, "RequestId": "A-1", "HostId": "ecs.aliyuncs.com" })
        .to_string()
}

/// The codes of newer pages, in the same words as the table in `src`.
#[tokio::test]
async fn every_code_of_newer_pages_means_what_they_say() {
    let lines = include_str!("data/ecs-errors-2025.tsv").lines().filter(|line| !line.starts_with('#')).skip(1);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 39);
    for row in rows {
        let [code, http_status, class, executed, ..] = row[..] else { panic!("{row:?}") };
        let CallError::Refused(refusal) = refused(http_status.parse().unwrap(), &by_the_api(code, "")).await else {
            panic!("{code}")
        };
        let is_unknown = refusal.executed == Executed::Unknown;
        assert_eq!((refusal.class.as_str(), is_unknown), (class, executed == "unknown"), "{code}");
        assert_eq!((refusal.code.as_str(), refusal.request_id.as_deref()), (code, Some("A-1")));
    }
}

/// How documented codes begin.
const NEAR: &str = "(Throttling|Invalid|InvalidParameter|InvalidInstanceStatus|Forbidden|OperationDenied|IncorrectInstanceStatus|InternalError|ServiceUnavailable|UnknownError|SignatureNonceUsed|EntityNotExist)";

/// Codes that no document names, some of them near ones that it does.
fn invented_code() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][A-Za-z0-9_-]{1,20}".prop_map(|word| format!("Qx{word}")),
        r"[A-Z][A-Za-z]{1,12}(\.[A-Z][A-Za-z]{1,12}){1,3}".prop_map(|words| format!("{words}.Qx")),
        (NEAR, r"\.?Qx[A-Z][a-z]{1,9}").prop_map(|(near, more)| near + &more),
    ]
}

/// How the codes begin after which the same call may be made again: whole kinds of codes, which the documents name.
const LATER: [&str; 9] = [
    "Throttling.",
    "AuthenticationFail.",
    "InvalidSecurityToken.",
    "InvalidAccessKeyId.",
    "InvalidTimeStamp.",
    "EntityNotExist.",
    "InvalidOperation.InstanceStatus",
    "InvalidInstanceStatus.",
    "TemporaryAccessKey.Error",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_invented_code_is_refused_at_4xx_and_unknown_at_5xx(
        code in invented_code(), refused_with in 400u16..500, failed_with in 500u16..600, other in 100u16..400,
        message in "[ -~]{0,40}",
    ) {
        let said = |http_status, code, request_id, message| classify(&ErrorAnswer { http_status, code, request_id, message });
        let (code, id) = (Some(code.as_str()), Some("0A1B2C3D-4E5F-6789-ABCD-EF0123456789"));
        let (class, executed) = said(refused_with, code, id, &message);
        prop_assert_eq!(executed, Executed::No);
        let is_later = matches!(class, Class::Throttled | Class::Transient | Class::WaitState | Class::Auth);
        prop_assert_eq!(is_later, LATER.iter().any(|prefix| code.is_some_and(|code| code.starts_with(prefix))));
        // A failure of the API, something in front of it, and what is not an error at all: none says that nothing ran.
        for http_status in [failed_with, other] {
            prop_assert_eq!(said(http_status, code, id, &message).1, Executed::Unknown);
        }
        prop_assert_eq!(said(refused_with, code, None, &message).1, Executed::Unknown);
        prop_assert_eq!(said(refused_with, None, id, &message).1, Executed::Unknown);
    }
}

async fn refused(status: u16, body: &str) -> CallError {
    let signed = reboot_instance(&RegionEndpoint::public("eu-central-1").unwrap(), &credentials(), "i-1", &stamp("n"));
    answering(status, body).send(signed).await.result.unwrap_err()
}

/// Fails as it was made to.
#[derive(Clone)]
struct Failing(SendError);

impl Transport for Failing {
    async fn send(&self, _: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, SendError> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn what_was_answered_is_never_called_unanswered() {
    let cut_off = Failing(SendError::CutOff { http_status: 403, why: "the answer was cut off".to_owned() });
    let client = EcsClient::new(cut_off.clone(), cut_off.clone(), cut_off);
    let signed = reboot_instance(&RegionEndpoint::public("eu-central-1").unwrap(), &credentials(), "i-1", &stamp("n"));
    let error = client.send(signed).await.result.unwrap_err();
    assert_eq!(error.retry_rule(), RetryRule::Unknown);
    assert_eq!(error.to_string(), "answered with HTTP 403, but the answer was cut off, outcome not known");

    for (status, body) in [(200, ""), (200, r#"{"Code":"Odd"}"#), (302, ""), (403, "<html>"), (500, ""), (502, "{")] {
        let error = refused(status, body).await;
        assert_eq!(error.retry_rule(), RetryRule::Unknown, "{status} {body}");
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("answered with HTTP {status}")) && said.ends_with("outcome not known"),
            "{said}"
        );
    }
    let said = refused(500, &by_the_api("InternalError", "")).await.to_string();
    assert_eq!(said, "answered with HTTP 500, code InternalError, request A-1, outcome not known");
}

#[tokio::test]
async fn an_xml_error_of_a_gateway_is_read_and_html_is_not() {
    let xml = "<?xml version=\"1.0\"?><Error><RequestId>A-1</RequestId><Code>Throttling.User</Code></Error>";
    assert_eq!(refused(400, xml).await.class(), Class::Throttled);
    for body in ["<html><body><h1>502 Bad Gateway</h1></body></html>", "", "<Error><Code>Throttl", "\0\u{ffff}"] {
        assert_eq!(refused(502, body).await.retry_rule(), RetryRule::Unknown, "{body}");
    }
}

#[tokio::test]
async fn a_passed_dry_run_arrives_as_an_error_and_is_none() {
    let endpoint = RegionEndpoint::public("eu-central-1").unwrap();
    let dry_run = || describe_instances_dry_run(&endpoint, &credentials(), &["i-1".to_owned()], &stamp("n"));
    let passed = answering(400, r#"{"Code":"DryRunOperation","Message":"Request validation has been passed"}"#);
    assert_eq!(passed.send(dry_run()).await.result, Ok(DryRunPassed));
    let denied = answering(403, by_the_api("Forbidden.RAM", "")).send(dry_run()).await;
    assert_eq!(denied.result.unwrap_err().class(), Class::Denied);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_makes_it_panic(status in 100u16..=999, body in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        // Nearly right answers reach deeper than noise does.
        r#"\{"(Code|Instances|RequestId|Message)":(\{"Instance":\[\{"(Status|Tags|OperationLocks)":|"|\[|\{)?[%&<"}\]a0é\\]{0,12}"#
            .prop_map(String::into_bytes),
        r"<Error>(<(Code|Message)>){0,2}[%&<>;a0é]{0,12}(</(Code|Message)>){0,2}(</Error>)?".prop_map(String::into_bytes),
    ]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (endpoint, credentials, stamp) = (RegionEndpoint::public("eu-central-1").unwrap(), credentials(), stamp("n"));
        let client = answering(status, body);
        let replies: (Reply<Accepted>, Reply<InstancePage>, Reply<CallerIdentity>) = runtime.block_on(async { (
            client.send(modify_password(&endpoint, &credentials, "i-1", &PASSWORD.into(), &stamp)).await,
            client.send(describe_instances(&endpoint, &credentials, &[], None, &stamp)).await,
            client.send(get_caller_identity(&endpoint, &credentials, &stamp)).await,
        ) });
        let (changed, ..) = replies;
        if let Err(error) = changed.result {
            prop_assert!(!error.to_string().contains(PASSWORD));
        }
    }

    #[test]
    fn no_message_lets_a_password_through(
        before in "[ -~]{0,8}|%0|%25|%|&lt", after in "[ -~]{0,8}", encodings in 0usize..=2, password in r"[!#-\[\]-~]{8,12}",
    ) {
        let mut quoted = password.clone();
        for _ in 0..encodings {
            quoted = canonical_form(vec![("", &quoted)]).trim_start_matches('=').to_owned();
        }
        let body = serde_json::json!({ "Code": "InvalidPassword.Malformed", "Message": format!("{before}{quoted}{after}") });
        let signed = modify_password(
            &RegionEndpoint::public("eu-central-1").unwrap(), &credentials(), "i-1", &password.as_str().into(), &stamp("n"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reply = runtime.block_on(answering(400, body.to_string()).send(signed));
        match reply.result {
            Err(CallError::Refused(refusal)) => {
                let said = format!("{refusal} {refusal:?}");
                prop_assert!(!said.contains(&password) && !said.contains(&quoted));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn classifying_never_panics(code in ".*", message in ".*", http_status in any::<u16>()) {
        let answer = ErrorAnswer { http_status, code: Some(&code), request_id: Some("A-1"), message: &message };
        let (class, executed) = classify(&answer);
        prop_assert!(class != Class::Unknown || executed == Executed::Unknown || code.to_lowercase().contains("dryrun"));
    }
}

// === The network ===

fn network(allow_http: bool) -> HttpOptions {
    HttpOptions { allow_http, connect_timeout: Duration::from_secs(5), ..HttpOptions::default() }
}

fn transport() -> HttpTransport {
    HttpTransport::new(&network(true), tls(&[]).unwrap(), Duration::from_secs(30)).unwrap()
}

fn request(url: impl std::fmt::Display) -> http::Request<Bytes> {
    http::Request::post(url.to_string()).body(Bytes::from_static(b"Action=RebootInstance")).unwrap()
}

async fn send(transport: &HttpTransport, url: impl std::fmt::Display) -> Result<http::Response<Bytes>, SendError> {
    transport.send(request(url), Duration::from_secs(10)).await
}

/// Reads one whole request from the connection; `None` when the other side has closed it.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"Action=RebootInstance") {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(read).unwrap())
}

/// Answers the n-th request of each connection with the n-th text, closes after the last, and counts the requests.
async fn server(answers: &[&str]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in &answers {
                if read_request(&mut stream).await.is_none() {
                    break;
                }
                counter.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_closed_port_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = send(&transport(), format!("http://{address}")).await.unwrap_err();
    assert_eq!(
        error,
        SendError::NotSent(format!(
            "{address} refused the connection: check the account's endpoint, and proxies on the way"
        ))
    );
}

#[tokio::test]
async fn a_server_without_tls_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
        received
    });
    let error = send(&transport(), format!("https://{address}")).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
    assert!(!plain.await.unwrap().windows(6).any(|bytes| bytes == b"Action"));
}

#[tokio::test]
async fn plain_http_is_refused_unless_it_was_allowed() {
    let (address, requests) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
    let strict = HttpTransport::new(&network(false), tls(&[]).unwrap(), Duration::from_secs(30)).unwrap();
    let error = send(&strict, format!("http://{address}")).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    assert!(send(&transport(), format!("http://{address}")).await.is_ok());
}

#[tokio::test]
async fn closed_connection_is_unknown_and_nothing_is_resent() {
    let (address, requests) = server(&[""]).await;
    let error = send(&transport(), format!("http://{address}")).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer(_)), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn broken_kept_connection_is_unknown_and_not_resent() {
    let (address, requests) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""]).await;
    let transport = transport();
    assert!(send(&transport, format!("http://{address}")).await.is_ok());
    let error = send(&transport, format!("http://{address}")).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer(_)), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_unknown() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "HTTP/1.1 2", "garbage\r\n\r\n"] {
        let (address, _) = server(&[answer]).await;
        let error = send(&transport(), format!("http://{address}")).await.unwrap_err();
        assert!(!matches!(error, SendError::NotSent(_)), "{answer}: {error}");
        let has_begun = matches!(error, SendError::CutOff { http_status: 200, .. });
        assert_eq!(has_begun, answer.contains("200 OK"), "{answer}: {error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_unknown() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let (address, _) = server(&[&(head.to_owned() + &"x".repeat(5 << 20))]).await;
    let error = send(&transport(), format!("http://{address}")).await.unwrap_err();
    assert!(matches!(error, SendError::CutOff { http_status: 200, .. }), "{error}");
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}");
    let error = transport().send(request(url), Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error, SendError::NoAnswer(format!("{address} did not answer in time")));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, followed) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
    let redirect =
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let (address, _) = server(&[&redirect]).await;
    let response = send(&transport(), format!("http://{address}")).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_goes_over_a_real_socket_and_back() {
    let answer = "HTTP/1.1 403 Forbidden\r\nDate: Fri, 02 Jan 2026 03:04:06 GMT\r\nContent-Length: 34\r\n\r\n\
                  {\"Code\":\"IncorrectInstanceStatus\"}";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("&Signature=") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(read).unwrap()
    });
    let endpoint = RegionEndpoint::custom("eu-central-1", &url, None).unwrap();
    let password = SecretString::from(PASSWORD);
    let signed = modify_password(&endpoint, &credentials(), "i-1", &password, &stamp("n"));
    let reply = EcsClient::connect(&network(true), &[]).unwrap().send(signed).await;
    assert_eq!(reply.result.unwrap_err().class(), Class::WaitState);
    assert_eq!(reply.server_time, Some("2026-01-02T03:04:06Z".parse().unwrap()));
    let request = server.await.unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "nothing secret in the address: {request}");
    assert!(request.contains("&RegionId=eu-central-1&"));
}
