//! One try of one call. Decides nothing: whether to call, and what follows from the answer, is the caller's.

use std::time::Duration;

use bytes::Bytes;
use http::header::DATE;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use super::{
    ApiCall, ApiResponse, CallError, HttpOptions, HttpTransport, SendError, Signed, Transport, TransportError,
    error_response, tls,
};

/// How long an idle connection of reads and password calls is kept. They may be repeated.
const POOL_IDLE_SECONDS: u64 = 30;
/// How long one of `RebootInstance` is kept. It may not be repeated, so no old connection is used for it.
const REBOOT_POOL_IDLE_SECONDS: u64 = 3;

/// How long the metadata service may take to connect and to answer: it is on the same host. The official client's figure.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// The years 2000 to 2100, in seconds since 1970. No clock shows another: a sum with such a time could be no time at all.
const SERVER_SECONDS: std::ops::Range<i64> = 946_684_800..4_133_980_800;

/// Makes calls.
pub struct EcsClient<T> {
    general: T,
    reboot: T,
    metadata: T,
}

/// What a call brought.
#[derive(Debug)]
pub struct Reply<A> {
    /// The outcome.
    pub result: Result<A, CallError>,
    /// ECS's clock when it answered, to the second; errors tell it too. Absent when there was no answer.
    pub server_time: Option<Timestamp>,
}

impl EcsClient<HttpTransport> {
    /// A client on the network. `authorities` are trusted beside the system's.
    pub fn connect(options: &HttpOptions, authorities: &[CertificateDer<'static>]) -> Result<Self, TransportError> {
        let tls = tls(authorities)?;
        let transport = |options, idle| HttpTransport::new(options, tls.clone(), Duration::from_secs(idle));
        // No name, no TLS, no way through a proxy: a packet to that address does not leave the host.
        let local = HttpOptions { allow_http: true, connect_timeout: METADATA_TIMEOUT, ..HttpOptions::default() };
        Ok(Self {
            general: transport(options, POOL_IDLE_SECONDS)?,
            reboot: transport(options, REBOOT_POOL_IDLE_SECONDS)?,
            metadata: transport(&local, POOL_IDLE_SECONDS)?,
        })
    }
}

/// Why the metadata service gave nothing. Nothing of its answer is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// No whole answer.
    #[error(transparent)]
    NoAnswer(#[from] SendError),
    /// An answer that is not a 200.
    #[error("the metadata service answered {0}")]
    Status(http::StatusCode),
}

impl<T: Transport> EcsClient<T> {
    /// `reboot` carries `RebootInstance` and nothing else, `metadata` what is asked of the instance's metadata service.
    pub fn new(general: T, reboot: T, metadata: T) -> Self {
        Self { general, reboot, metadata }
    }

    /// Asks the metadata service of the instance that this runs on. Only a 200 is an answer.
    pub async fn ask_metadata(&self, request: http::Request<Bytes>) -> Result<Bytes, MetadataError> {
        let response = self.metadata.send(request, METADATA_TIMEOUT).await?;
        let status = response.status();
        if status == http::StatusCode::OK { Ok(response.into_body()) } else { Err(MetadataError::Status(status)) }
    }

    /// Sends a signed call, once.
    pub async fn send<A: ApiResponse>(&self, signed: Signed<A>) -> Reply<A> {
        let action = signed.action();
        let transport = if action == ApiCall::RebootInstance { &self.reboot } else { &self.general };
        let (request, secrets) = signed.into_request();
        let Ok(request) = request else {
            let why = "the endpoint is not a valid URL".to_owned();
            return Reply { result: Err(CallError::NotSent(why)), server_time: None };
        };
        match transport.send(request, action.timeout()).await {
            Ok(response) => Reply { server_time: server_time(&response), result: read(action, &response, &secrets) },
            Err(error) => Reply { result: Err(not_answered(action, error)), server_time: None },
        }
    }
}

fn read<A: ApiResponse>(
    action: ApiCall,
    response: &http::Response<Bytes>,
    secrets: &[SecretString],
) -> Result<A, CallError> {
    let (status, body) = (response.status(), response.body());
    if status.is_success()
        && let Some(answer) = A::read(body)
    {
        return Ok(answer);
    }
    // A success that cannot be read: something answered, but nothing says that it was the API, or what it did.
    let refusal = error_response::read(action, status, response.headers(), body, secrets);
    A::read_error_code(&refusal.code).ok_or(CallError::Refused(refusal))
}

fn not_answered(action: ApiCall, error: SendError) -> CallError {
    match error {
        SendError::NotSent(why) => CallError::NotSent(why),
        SendError::NoAnswer(why) => CallError::NoAnswer(why),
        SendError::CutOff { http_status, why } => CallError::Refused(error_response::cut_off(action, http_status, why)),
    }
}

fn server_time(response: &http::Response<Bytes>) -> Option<Timestamp> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    SERVER_SECONDS.contains(&time.as_second()).then_some(time)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::ecs::{Accepted, Keys, RegionEndpoint, RetryRule, Stamp, modify_password, reboot_instance};

    /// Gives the answer that it was made with, and remembers what it was sent.
    struct Scripted {
        answers: Mutex<Vec<(u16, &'static str)>>,
        sent: Mutex<Vec<String>>,
    }

    impl Transport for Scripted {
        async fn send(&self, request: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, SendError> {
            self.sent.lock().unwrap().push(String::from_utf8(request.into_body().to_vec()).unwrap());
            let (status, body) = self.answers.lock().unwrap().remove(0);
            let response = http::Response::builder().status(status).header("date", "Fri, 02 Jan 2026 03:04:06 GMT");
            Ok(response.body(Bytes::from_static(body.as_bytes())).unwrap())
        }
    }

    fn scripted(answers: &[(u16, &'static str)]) -> Scripted {
        Scripted { answers: Mutex::new(answers.to_vec()), sent: Mutex::default() }
    }

    fn client(general: &[(u16, &'static str)], reboot: &[(u16, &'static str)]) -> EcsClient<Scripted> {
        EcsClient::new(scripted(general), scripted(reboot), scripted(&[]))
    }

    fn endpoint() -> RegionEndpoint {
        RegionEndpoint::public("eu-central-1").unwrap()
    }

    fn credentials() -> Keys {
        Keys { access_key_id: "id".into(), access_key_secret: "secret".into(), security_token: None }
    }

    fn stamp() -> Stamp {
        Stamp { timestamp: "2026-01-02T03:04:05Z".parse().unwrap(), nonce: "n".into() }
    }

    async fn modify(status: u16, body: &'static str) -> Reply<Accepted> {
        let signed = modify_password(&endpoint(), &credentials(), "i-1", &"Passw0rd!".into(), &stamp());
        client(&[(status, body)], &[]).send(signed).await
    }

    #[tokio::test]
    async fn only_a_restart_uses_the_restart_transport() {
        let client = client(&[], &[(200, r#"{"RequestId":"A-1"}"#)]);
        let reply = client.send(reboot_instance(&endpoint(), &credentials(), "i-1", &stamp())).await;
        assert_eq!(reply.result, Ok(Accepted { request_id: "A-1".into() }));
        assert_eq!(client.reboot.sent.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_error_tells_the_time_too() {
        let reply = modify(400, r#"{"Code":"InvalidTimeStamp.Expired","RequestId":"A-1"}"#).await;
        assert_eq!(reply.server_time, Some("2026-01-02T03:04:06Z".parse().unwrap()));
        assert_eq!(reply.result.unwrap_err().retry_rule(), RetryRule::Later);
    }

    #[test]
    fn a_date_that_no_clock_shows_tells_no_time() {
        let time =
            |date: &str| server_time(&http::Response::builder().header("date", date).body(Bytes::new()).unwrap());
        assert!(time("Fri, 02 Jan 2026 03:04:06 GMT").is_some());
        for date in
            ["Thu, 30 Dec 9999 20:00:00 GMT", "Sat, 01 Jan 0001 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", ""]
        {
            assert_eq!(time(date), None, "{date}");
        }
    }

    #[tokio::test]
    async fn a_success_that_cannot_be_read_is_unknown_not_success() {
        for body in ["", "<html>ok</html>", r#"{"RequestId":"A","#, r#"{"Code":"InternalError","RequestId":"A"}"#] {
            assert_eq!(modify(200, body).await.result.unwrap_err().retry_rule(), RetryRule::Unknown, "{body}");
        }
    }

    #[tokio::test]
    async fn a_gateway_error_and_a_redirect_are_unknown_not_refused() {
        for status in [302, 403, 500, 502, 504] {
            assert_eq!(modify(status, "<html>").await.result.unwrap_err().retry_rule(), RetryRule::Unknown, "{status}");
        }
    }

    #[tokio::test]
    async fn no_error_shows_what_the_call_was_signed_with() {
        let body = r#"{"Code":"the-key","RequestId":"x.the-token"}"#;
        let credentials = Keys {
            access_key_id: "id".into(),
            access_key_secret: "the-key".into(),
            security_token: Some("the-token".into()),
        };
        let signed = reboot_instance(&endpoint(), &credentials, "i-1", &stamp());
        let error = client(&[], &[(400, body)]).send(signed).await.result.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("the-key") && !shown.contains("the-token"), "{shown}");
    }

    #[tokio::test]
    async fn no_error_shows_the_password() {
        let quoted = r#"{"Code":"InvalidPassword.Malformed","Message":"Passw0rd! is bad","RequestId":"Passw0rd"}"#;
        let error = modify(400, quoted).await.result.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("Passw0rd!"));
        assert_eq!(error.retry_rule(), RetryRule::Definite);
    }
}
