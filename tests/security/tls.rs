//! Requests reach the endpoint that was meant, proven by its certificate, and nobody else: under seven faces a server asks for
//! what the controller would tell only ECS.
//!
//! The certificates are in `tests/data/tls`, good until 2120; the authority's key was thrown away. What it may not do: count
//! as refused what was never tried.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::common::{ACCOUNT, Config, Instance, PASSWORD, REGION, Setup, World, condition, eventually};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

/// Whom the server is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Face {
    /// ECS, by a certificate of the authority that the controller was given.
    Ecs,
    /// By a certificate of that authority for another name.
    WrongHost,
    /// By one that has ended.
    Expired,
    /// By one that it has signed itself.
    SelfSigned,
    /// By TLS 1.1.
    OldVersion,
    /// ECS, which sends everybody elsewhere.
    Redirect,
}

impl Face {
    /// What the object says of it.
    fn told(self) -> &'static str {
        match self {
            Self::Ecs => "",
            Self::WrongHost | Self::Expired | Self::SelfSigned | Self::OldVersion => "TLS with localhost:",
            Self::Redirect => "307",
        }
    }

    fn certificate(self) -> &'static str {
        match self {
            Self::Ecs | Self::Redirect | Self::OldVersion => "good",
            Self::WrongHost => "wrong-host",
            Self::Expired => "expired",
            Self::SelfSigned => "self-signed",
        }
    }

    fn config(self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(format!("{DATA}/{}.pem", self.certificate())).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{DATA}/key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
    }
}

/// What came while the server had a face.
#[derive(Clone, Default)]
struct Seen {
    connections: usize,
    /// What was said inside of TLS, or instead of it.
    said: Vec<u8>,
}

/// Stands in front of the simulator.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    simulator: SocketAddr,
    elsewhere: SocketAddr,
    face: Arc<Mutex<Face>>,
    seen: Arc<Mutex<BTreeMap<Face, Seen>>>,
}

impl Server {
    fn start(simulator: SocketAddr, elsewhere: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let face = Arc::new(Mutex::new(Face::Ecs));
        let server = Self { address, simulator, elsewhere, face, seen: Arc::default() };
        let one = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (one, stream) = (one.clone(), stream.unwrap());
                std::thread::spawn(move || one.serve(stream));
            }
        });
        server
    }

    /// From here on it is another server, and ends the connections that it kept.
    fn become_(&self, face: Face) {
        *self.face.lock().unwrap() = face;
    }

    fn is(&self, face: Face) -> bool {
        *self.face.lock().unwrap() == face
    }

    fn seen_as(&self, face: Face) -> Seen {
        self.seen.lock().unwrap().get(&face).cloned().unwrap_or_default()
    }

    fn keep(&self, face: Face, bytes: &[u8]) {
        self.seen.lock().unwrap().entry(face).or_default().said.extend(bytes);
    }

    fn serve(&self, mut stream: TcpStream) {
        let face = *self.face.lock().unwrap();
        self.seen.lock().unwrap().entry(face).or_default().connections += 1;
        // Only as long as it takes to see that the face has changed.
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if face == Face::OldVersion {
            stream.set_read_timeout(None).unwrap();
            self.keep(face, &answer_in_tls_1_1(&mut stream));
            return;
        }
        let mut tls = StreamOwned::new(ServerConnection::new(face.config()).unwrap(), stream);
        let heard = |bytes: &[u8]| {
            self.keep(face, bytes);
            self.is(face)
        };
        while let Some(request) = message(&mut tls, heard) {
            let answer = if face == Face::Redirect {
                let elsewhere = self.elsewhere;
                format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n")
                    .into_bytes()
            } else {
                let mut simulator = TcpStream::connect(self.simulator).unwrap();
                simulator.write_all(&request).unwrap();
                let Some(answer) = message(&mut simulator, |_| true) else { return };
                answer
            };
            if tls.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// One message of HTTP. `go_on` gets what came, nothing now and then, and says whether to go on.
fn message(stream: &mut impl Read, go_on: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let (mut read, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => 0,
            Err(_) => return None,
        };
        if !go_on(&buffer[..count]) {
            return None;
        }
        read.extend(&buffer[..count]);
        let text = String::from_utf8_lossy(&read).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(read);
        }
    }
}

/// Takes the client's hello for one of TLS 1.1, with a cipher of that time; returns what it says to that.
fn answer_in_tls_1_1(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut hello).unwrap();
    let hello = [&[0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    stream.write_all(&hello).unwrap();
    let mut said = Vec::new();
    // It may close the connection in a way that is an error here; what it said counts.
    let _ = stream.read_to_end(&mut said);
    said
}

/// A server that is never meant: keeps the first words of each connection.
fn stranger() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let ears = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut words = vec![0; 16 << 10];
            let count = stream.unwrap().read(&mut words).unwrap_or(0);
            ears.lock().unwrap().push(String::from_utf8_lossy(&words[..count]).into_owned());
        }
    });
    (address, heard)
}

#[test]
fn unproven_server_gets_no_byte_and_ecs_gets_all_later() {
    let faces = [Face::WrongHost, Face::Expired, Face::SelfSigned, Face::OldVersion, Face::Redirect];
    let ids = faces.map(|face| format!("i-{face:?}01").to_lowercase());
    let instances = ids.each_ref().map(|id| Instance::running(id, REGION)).into();
    let ecs = Config { instances, ..Config::default() };
    let flags = vec![format!("--ecs-ca-file={DATA}/authority.pem")];
    let world = World::without_controller(Setup { ecs, flags, ..Setup::default() });
    let ((elsewhere, followed), (proxy, proxied)) = (stranger(), stranger());
    let server = Server::start(world.ecs().address(), elsewhere);
    let mut account = world.account();
    account["spec"]["endpoint"]["url"] = json!(format!("https://localhost:{}", server.address.port()));
    world.apply(&account);
    let proxy = format!("http://{proxy}");
    let variables = ["HTTP_PROXY", "http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    let mut environment = variables.map(|name| (name, proxy.as_str())).to_vec();
    let controller = world.spawn_controller(&environment);
    world.wait_for_account("Ready");

    for (face, id) in faces.into_iter().zip(&ids) {
        server.become_(face);
        world.apply_reset(id, json!({"instanceIDs": [id]}));
        world.wait_for_reset(id, &format!("{face:?} is tried twice, and the object says what is wrong"), |object| {
            let told = object["status"].to_string().contains(face.told());
            (told && server.seen_as(face).connections >= 2).then_some(())
        });
        let said = server.seen_as(face).said;
        match face {
            // One of version 1.1 is refused by the alert `protocol_version`, and not for what else may be wrong with it.
            Face::OldVersion => assert!(said.ends_with(&[2, 70]) && said.len().is_multiple_of(7), "{said:?}"),
            Face::Redirect => assert!(String::from_utf8_lossy(&said).contains("Action=")),
            _ => assert!(said.is_empty(), "{face:?} was told {} bytes", said.len()),
        }
        world.assert_untouched(id);
        server.become_(Face::Ecs);
        world.assert_reset_and_restarted_once(&world.wait_for(id, "Ready"), id, PASSWORD);
    }
    assert!(followed.lock().unwrap().is_empty(), "a redirect was followed");
    assert!(proxied.lock().unwrap().is_empty(), "a proxy was used that no flag allows");
    let ecs_heard = String::from_utf8_lossy(&server.seen_as(Face::Ecs).said).into_owned();
    assert_eq!(ecs_heard.matches("Action=ModifyInstanceAttribute").count(), faces.len());

    // With the flag the proxy is asked for a way, and told no more than the name.
    drop(controller);
    environment.push(("ECS_PASSWORD_RESET_ECS_USE_PROXY_VARIABLES", "true"));
    let _controller = world.spawn_controller(&environment);
    let words = eventually("the proxy is asked", || proxied.lock().unwrap().first().cloned());
    assert!(words.starts_with("CONNECT localhost:") && !words.contains("Action"), "{words}");
}

#[test]
fn an_endpoint_at_the_address_of_a_metadata_service_is_refused() {
    let world = World::with([Instance::running("i-metadata1", REGION)]);
    for url in ["http://100.100.100.200", "https://100.100.100.200:443", "http://169.254.169.254"] {
        let mut account = world.account();
        account["spec"]["endpoint"]["url"] = json!(url);
        world.apply(&account);
        eventually(&format!("the account says what is wrong with {url}"), || {
            let account = world.get("ecsaccount", ACCOUNT);
            let ready = condition(&account["status"], "Ready");
            let current = ready["observedGeneration"] == account["metadata"]["generation"];
            let told = ready["message"].as_str().is_some_and(|it| it.contains("link-local or metadata address"));
            (current && told && ready["reason"] == "EndpointRefused").then_some(())
        });
    }
}
