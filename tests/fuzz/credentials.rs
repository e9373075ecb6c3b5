//! Targets: whatever credentials are made of, as STS and the metadata service answer it and as files and Secrets hold it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ecs_password_reset::cluster::secrets::RawSecret;
use ecs_password_reset::credentials::{CredentialsError, OidcRole, from_secret, imds, refresh};
use ecs_password_reset::ecs::{
    EcsClient, Keys, RegionEndpoint, Reply, RetryRule, RoleRequest, SendError, SessionCredentials, Stamp, Transport,
    assume_role, assume_role_with_oidc,
};
use futures::executor::block_on;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::ecs::{Scripted, decoded, document};
use super::near::fuzz;

/// The secrets of the corpus: none of them is a word, so that only an answer's own text can bring it into a message.
const KEY_SECRET: &str = "secretOfTheRole0123456789";
const TOKEN: &str = "CAIS/tokenOfTheRole+0123456789==";
const OIDC_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjb250cm9sbGVyIn0.c2lnbmF0dXJl";
/// A secret that is shorter may stand in a sentence of ours by itself.
const SHORT: usize = 8;

const WORDS: &str = "Credentials AssumedRoleUser RequestId Message Success Failed LastUpdated NoPermission Throttling \
    EntityNotExist.Role AuthenticationFail.OIDCToken.Expired InvalidParameter.OIDCToken <Error> </Error> <Code> </Code> <Message> \
    </Message> 2026-11-24T13:00:00+08:00 2026-11-24 never 1764000000 200 400 403 500";

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// Temporary credentials have to be those of the document, whole, and to end when it says.
fn assert_is_of(session: &SessionCredentials, document: &Value) {
    let SessionCredentials { credentials, expires_at } = session;
    let Keys { access_key_id, access_key_secret, security_token } = credentials;
    let token = security_token.as_ref().expect("temporary credentials without a token").expose_secret();
    let parts = [access_key_id.as_str(), access_key_secret.expose_secret(), token];
    for (part, field) in parts.into_iter().zip(["AccessKeyId", "AccessKeySecret", "SecurityToken"]) {
        assert_eq!(document[field], part, "{field} is from nowhere");
        assert!(!part.trim().is_empty(), "nothing can be signed with an empty {field}");
    }
    let expiration = document["Expiration"].as_str().expect("credentials that never end");
    assert!(expiration.len() >= "2026-11-24T13Z".len(), "an end out of nothing: {expiration}");
    // What STS writes, YYYY-MM-DDTHH:MM:SSZ, is read as that very second.
    if expiration.len() == 20 && expiration.ends_with('Z') && !expiration.contains(":60Z") {
        assert_eq!(expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().to_lowercase(), expiration.to_lowercase());
    }
    for chance in [0, u8::MAX] {
        let due = refresh::refresh_at(noon(), *expires_at, chance);
        assert!(due <= *expires_at || *expires_at < noon(), "they are used beyond their end");
    }
}

/// Nothing of what is secret in an answer may be shown, unless its own message says it.
fn assert_shows_nothing(shown: &str, own_message: &str) {
    for secret in [KEY_SECRET, TOKEN] {
        let is_shown = shown.contains(secret);
        assert!(!is_shown || own_message.contains(secret), "a secret of the answer is shown");
    }
    assert!(!decoded(shown).any(|it| it.contains(OIDC_TOKEN)), "the token that was sent is shown");
    assert!(shown.chars().count() < 1_600, "an error without bound");
}

/// An input is an answer as [`Scripted`] takes it; one that is a document is its body, a success where it has credentials.
fn answer(input: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(input) {
        Ok(document) if document.is_object() => {
            let status: &[u8] = if document["Credentials"].is_null() { b"400\n\n" } else { b"200\n\n" };
            [status, input].concat()
        }
        _ => input.to_vec(),
    }
}

fn ask_sts(answer: &[u8], with_oidc: bool) -> Reply<SessionCredentials> {
    let endpoint = RegionEndpoint::public("cn-hangzhou").unwrap();
    let stamp = Stamp { timestamp: noon(), nonce: "n".into() };
    let role = RoleRequest { role_arn: "acs:ram::1:role/r", session_name: "s-1", duration_seconds: 3_600 };
    let signed = if with_oidc {
        assume_role_with_oidc(&endpoint, "acs:ram::1:oidc-provider/p", &OIDC_TOKEN.into(), role, &stamp)
    } else {
        let credentials =
            Keys { access_key_id: "id".into(), access_key_secret: "key-of-nobody".into(), security_token: None };
        assume_role(&endpoint, &credentials, role, None, &stamp)
    };
    block_on(EcsClient::new(Scripted(answer.to_vec()), Scripted(Vec::new()), Scripted(Vec::new())).send(signed))
}

#[test]
fn answers_of_sts() {
    let encoded = OIDC_TOKEN.replace('.', "%2E");
    fuzz("sts", &format!("{WORDS} {OIDC_TOKEN} {encoded}"), |input| {
        let answer = answer(input);
        let scripted = Scripted(answer.clone());
        let (status, _, body) = scripted.parts();
        let document = document(body);
        // Both calls are answered alike; only the one has a secret of its own to keep.
        let (plain, with_oidc) = (ask_sts(&answer, false), ask_sts(&answer, true));
        assert_eq!(plain.result.is_ok(), with_oidc.result.is_ok());
        let error = match with_oidc.result {
            Ok(session) => {
                assert!((200..300).contains(&status), "a refusal was taken for credentials");
                if let Some(document) = &document {
                    assert_is_of(&session, &document["Credentials"]);
                }
                return;
            }
            Err(error) => error,
        };
        let is_refusal = !(200..300).contains(&status);
        let message = if is_refusal { String::from_utf8_lossy(body).into_owned() } else { String::new() };
        // Nothing is shown of credentials that lack something; a refusal shows its message, and nothing else of it.
        let own_message = match &document {
            Some(document) => document["Message"].as_str().unwrap_or_default().to_owned(),
            None => message,
        };
        assert_shows_nothing(&format!("{error} {error:?}"), if is_refusal { &own_message } else { "" });
        if document.is_none() && !String::from_utf8_lossy(body).contains("<Error>") {
            assert_eq!(error.retry_rule(), RetryRule::Unknown, "nobody has said anything");
        }
    });
}

/// The longest answer of the metadata service that is read.
const METADATA_BYTES_MAX: usize = 16 << 10;
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";

/// One request: its path, and the token that came with it.
type Asked = (String, Vec<u8>);

/// A metadata service: what it answers for a token, for the roles and for credentials, and what it was asked, with which token.
#[derive(Clone)]
struct Metadata {
    token: Vec<u8>,
    roles: Vec<u8>,
    credentials: Vec<u8>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Metadata {
    fn new(token: &[u8], roles: &[u8], credentials: &[u8]) -> Self {
        let (token, roles, credentials) = (token.to_vec(), roles.to_vec(), credentials.to_vec());
        Self { token, roles, credentials, asked: Arc::default() }
    }

    /// What becomes of it, and which paths were asked for with which token.
    fn ask(&self) -> (Result<SessionCredentials, String>, Vec<Asked>) {
        self.asked.lock().unwrap().clear();
        let client = EcsClient::new(self.clone(), self.clone(), self.clone());
        let session = block_on(imds::instance_role(&client, "http://100.100.100.200", None));
        let session = session.map_err(|error| error.to_string());
        (session, std::mem::take(&mut *self.asked.lock().unwrap()))
    }
}

impl Transport for Metadata {
    async fn send(&self, request: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, SendError> {
        let path = request.uri().path().to_owned();
        let token = request.headers().get("X-aliyun-ecs-metadata-token");
        let token = token.map(|it| it.as_bytes().to_vec()).unwrap_or_default();
        let answer = match path.as_str() {
            "/latest/api/token" => &self.token,
            ROLES => &self.roles,
            _ => &self.credentials,
        };
        self.asked.lock().unwrap().push((path, token));
        Ok(http::Response::new(Bytes::copy_from_slice(answer)))
    }
}

/// An answer with blanks behind it that make it longer than anybody looks at: what it says is the same.
fn too_long(answer: &[u8]) -> Vec<u8> {
    let mut long = answer.to_vec();
    long.resize(METADATA_BYTES_MAX + 1, b' ');
    long
}

#[test]
fn credentials_of_the_metadata_service() {
    fuzz("metadata_credentials", WORDS, |input| {
        let (session, asked) = Metadata::new(b"token-of-the-host", b"reset", input).ask();
        assert_eq!(asked.len(), 3);
        let error = match session {
            Ok(session) => {
                if let Some(document) = document(input) {
                    assert_eq!(document["Code"], "Success", "a failure was taken for credentials");
                    assert_is_of(&session, &document);
                }
                assert!(Metadata::new(b"token", b"reset", &too_long(input)).ask().0.is_err(), "no bound");
                return;
            }
            Err(error) => error,
        };
        assert_shows_nothing(&error, "");
        assert!(!error.contains("token-of-the-host"), "the metadata service's token is shown");
    });
}

#[test]
fn tokens_and_roles_of_the_metadata_service() {
    let good = include_bytes!("corpus/metadata_credentials/good.json");
    fuzz("metadata_texts", "../../user-data ?a=b %2F", |input| {
        // A line with the token, and the rest is the list of roles.
        let (token, roles) = input.split_at(input.iter().position(|it| *it == b'\n').unwrap_or(input.len()));
        let text = |it| std::str::from_utf8(it).unwrap_or_default().trim();
        let service = Metadata::new(token, roles, good);
        let (session, asked) = service.ask();
        for (path, sent) in asked.iter().skip(1) {
            // Whatever was answered as a role: the one path is asked, and below it one name.
            let name = path.strip_prefix(ROLES).expect("another path was asked");
            assert!(name.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it)), "{path}");
            assert!(!sent.is_empty() && *sent == text(token).as_bytes(), "another token, or none");
        }
        if let Err(error) = &session {
            let token = text(token);
            assert!(token.len() < SHORT || !error.contains(token), "the token is shown");
            assert!(error.len() < METADATA_BYTES_MAX + 200, "an error without bound");
        } else {
            let first = text(roles).lines().next().unwrap_or_default();
            assert_eq!(asked[2].0, format!("{ROLES}{first}"), "another role");
            assert!(Metadata { token: too_long(token), ..service.clone() }.ask().0.is_err(), "no bound of a token");
            assert!(Metadata { roles: too_long(roles), ..service.clone() }.ask().0.is_err(), "no bound of roles");
        }
    });
}

/// The longest token that STS takes.
const OIDC_BYTES_MAX: usize = 20_000;

#[test]
fn files_with_a_token() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-token-{}", std::process::id()));
    let role = OidcRole { role_arn: String::new(), oidc_provider_arn: String::new(), token_file: file.clone() };
    let read = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        role.token().map_err(|error| error.to_string())
    };
    fuzz("oidc_tokens", "&Action=x", |input| {
        let text = std::str::from_utf8(input).ok().map(str::trim).filter(|_| input.len() <= OIDC_BYTES_MAX);
        let token = match read(input) {
            Ok(token) => token,
            Err(error) => {
                assert!(text.is_none_or(str::is_empty), "a token is refused");
                let content = String::from_utf8_lossy(input);
                let lines = content.split_whitespace().filter(|it| it.len() >= SHORT);
                assert!(lines.into_iter().all(|it| !error.contains(it)), "the token is shown");
                return;
            }
        };
        assert_eq!(Some(token.expose_secret()), text, "another token than the file's");
        assert!(!token.expose_secret().is_empty(), "no token was taken for one");
        let mut long = input.to_vec();
        long.resize(OIDC_BYTES_MAX + 1, b'\n');
        assert!(read(&long).is_err(), "no bound");
    });
    std::fs::remove_file(&file).unwrap();
}

/// The longest value of a Secret that is decoded.
const ENCODED_BYTES_MAX: usize = 24 << 10;

#[test]
fn secrets_with_an_access_key() {
    fuzz("credentials_secrets", "IA== stringData", |input| {
        let Ok(secret) = serde_json::from_slice::<RawSecret>(input) else { return None };
        // A value that is passed over may be one that no document holds, such as a number beyond all numbers.
        let document = document(input)?;
        let there = |key: &str| document["data"][key].as_str();
        let plain = |key: &str| {
            let encoded = there(key).filter(|it| it.len() <= ENCODED_BYTES_MAX)?;
            let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let keys = ["accessKeyID", "accessKeySecret", "securityToken"];
        let error = match from_secret("ecs-credentials", |key| secret.has(key), |key| secret.text(key)) {
            Ok(Keys { access_key_id, access_key_secret, security_token }) => {
                let token = security_token.as_ref().map(SecretString::expose_secret);
                let parts = [Some(access_key_id.as_str()), Some(access_key_secret.expose_secret()), token];
                for (part, key) in parts.into_iter().zip(keys) {
                    assert_eq!(part, plain(key).as_deref(), "{key} is not the Secret's");
                }
                assert!(security_token.is_some() || there("securityToken").is_none(), "a token is left out");
                return Some(());
            }
            Err(error) => error,
        };
        // It says which key, and depends on nothing else.
        let sentence = |key| CredentialsError::Key { secret: "ecs-credentials".to_owned(), key };
        let key = keys.into_iter().find(|key| error == sentence(key)).expect("a sentence of another kind");
        assert_eq!(plain(key), None, "{key} can be used");
        Some(())
    });
}
