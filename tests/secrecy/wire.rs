//! Stands between the controller and the simulator and keeps every byte: the signatures are nowhere else. It changes none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::scanner::Canary;

/// The wire. It lives as long as the process.
pub struct Wire {
    pub address: SocketAddr,
    asked: Record,
    answered: Record,
}

/// What went one way, by connection.
type Record = Arc<Mutex<BTreeMap<usize, Vec<u8>>>>;

impl Wire {
    pub fn to(simulator: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire =
            Self { address: listener.local_addr().unwrap(), asked: Record::default(), answered: Record::default() };
        let (asked, answered) = (Arc::clone(&wire.asked), Arc::clone(&wire.answered));
        std::thread::spawn(move || {
            for (connection, client) in listener.incoming().enumerate() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(simulator)) else { continue };
                relay(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&asked), connection);
                relay(server, client, Arc::clone(&answered), connection);
            }
        });
        wire
    }

    /// Heads and bodies of the API's requests; those to the metadata service are no `POST`.
    pub fn requests(&self) -> Vec<(String, String)> {
        let split = |stream: &String| {
            let text = stream.replace("POST ", "\0POST ");
            let requests = text.split('\0').filter_map(|request| request.split_once("\r\n\r\n"));
            let requests = requests.filter(|(head, _)| head.starts_with("POST "));
            requests.map(|(head, body)| (head.to_owned(), body.to_owned())).collect::<Vec<_>>()
        };
        texts(&self.asked).iter().flat_map(split).collect()
    }

    /// Everything that was asked.
    pub fn asked(&self) -> String {
        texts(&self.asked).concat()
    }

    /// Everything that was answered.
    pub fn answers(&self) -> String {
        texts(&self.answered).concat()
    }

    /// The signatures of all requests that change something.
    pub fn signatures(&self) -> Vec<Canary> {
        let changing = |body: &String| body.contains("=ModifyInstanceAttribute") || body.contains("=RebootInstance");
        let bodies = self.requests().into_iter().map(|(_, body)| body).filter(changing);
        let signatures = bodies.filter_map(|body| {
            // The base64 of 20 bytes ends with its only `=`.
            let (signature, _) = body.split_once("&Signature=")?.1.split_once("%3D")?;
            Some(format!("{}=", signature.replace("%2B", "+").replace("%2F", "/")))
        });
        numbered("signature", signatures.collect())
    }

    /// Keys, tokens and the words of the metadata service that were handed out on the way.
    pub fn handed_out(&self) -> Vec<Canary> {
        let answers = self.answers();
        let quoted = |name: &str| values(&answers, &format!("\"{name}\":\""), '"');
        [
            numbered("the secret of session", quoted("AccessKeySecret")),
            numbered("the token of session", quoted("SecurityToken")),
            numbered("the token of the metadata service", headers(&self.asked(), "x-aliyun-ecs-metadata-token")),
        ]
        .concat()
    }
}

/// Each has a name of its own, which shows whether it was found.
fn numbered(what: &str, texts: Vec<String>) -> Vec<Canary> {
    texts.into_iter().enumerate().map(|(number, text)| Canary::new(format!("{what} {number}"), text)).collect()
}

/// The values of a header, as they were sent; whoever sends it may write its name in any case.
fn headers(text: &str, name: &str) -> Vec<String> {
    let headers = text.lines().filter_map(|line| line.split_once(": "));
    let values = headers.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned());
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The text between `before` and `end`, everywhere.
fn values(text: &str, before: &str, end: char) -> Vec<String> {
    let mut values: Vec<_> =
        text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect();
    values.sort();
    values.dedup();
    values
}

fn texts(record: &Record) -> Vec<String> {
    record.lock().unwrap().values().map(|stream| String::from_utf8_lossy(stream).into_owned()).collect()
}

fn relay(mut from: TcpStream, mut to: TcpStream, record: Record, connection: usize) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            record.lock().unwrap().entry(connection).or_default().extend(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // The other end may have closed it already.
        let _ = to.shutdown(Shutdown::Write);
    });
}
