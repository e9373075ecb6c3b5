//! The least of HTTP, for what tests ask on loopback.

use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Asks a server by its URL, and returns the status and the body of its answer. A server that says nothing for two minutes is an error.
pub fn ask(url: &str, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}");
    write!(stream, "{head}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
        _ => Err(Error::other(format!("{method} {path}: {answer:?}"))),
    }
}
