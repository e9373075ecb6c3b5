//! The simulator on a real loopback socket: what only a socket can show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

use std::time::Duration;

use ecs_simulator::{Config, Fault, Instance, Rule, Simulator, StartError, sign, string_to_sign};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ID: &str = "i-a";

async fn simulator() -> Simulator {
    Simulator::start(Config::default().with(Instance::running(ID, "cn-hangzhou"))).await.unwrap()
}

/// Sends raw HTTP and reads until the server closes.
async fn exchange(simulator: &Simulator, method: &str, target: &str, kind: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn admin(simulator: &Simulator, method: &str, path: &str, body: &str) -> String {
    exchange(simulator, method, &format!("/simulator/{path}"), "application/json", body).await
}

fn signed(simulator: &Simulator, action: &str, nonce: &str) -> String {
    let timestamp = simulator.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut parameters = vec![
        ("Action", action),
        ("Version", "2014-05-26"),
        ("Format", "JSON"),
        ("AccessKeyId", "testid"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", nonce),
        ("Timestamp", &timestamp),
        ("InstanceId", ID),
        ("Password", "Abcdef1!"),
    ];
    let signature = sign("testsecret", &string_to_sign("POST", parameters.iter().copied()));
    parameters.push(("Signature", &signature));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

async fn modify(simulator: &Simulator, nonce: &str) -> String {
    let form = signed(simulator, "ModifyInstanceAttribute", nonce);
    exchange(simulator, "POST", "/", "application/x-www-form-urlencoded", &form).await
}

#[tokio::test]
async fn a_lost_answer_closes_the_connection_without_a_byte() {
    let simulator = simulator().await;
    simulator.core().inject(Rule::once("ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect));
    assert_eq!(modify(&simulator, "1").await, "");
    assert_eq!(simulator.core().journal().modifies(ID), 1);
    assert!(modify(&simulator, "2").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_delayed_request_acts_although_its_client_hung_up() {
    let simulator = simulator().await;
    simulator.core().inject(Rule::once("ModifyInstanceAttribute", Fault::Delay { milliseconds: 50 }));
    let form = signed(&simulator, "ModifyInstanceAttribute", "1");
    let length = form.len();
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{form}").as_bytes()).await.unwrap();
    drop(stream);
    let acted = async {
        while simulator.core().journal().modifies(ID) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), acted).await.unwrap();
}

#[tokio::test]
async fn moving_the_clock_moves_date_and_transitions() {
    let simulator = simulator().await;
    let now = simulator.now();
    simulator.with_core(|core, now| core.reboot(now, ID)).unwrap();
    simulator.advance(Duration::from_hours(1));
    assert!(simulator.core().start_time(ID).unwrap() > now);
    let answer = modify(&simulator, "1").await;
    let hour = simulator.now().strftime("%d %b %Y %H:").to_string();
    assert!(answer.contains(&hour), "{answer}");
    assert_eq!(answer.to_lowercase().matches("\r\ndate:").count(), 1);
}

#[tokio::test]
async fn the_admin_api_shows_instances_and_journal_but_no_password() {
    let simulator = simulator().await;
    let form = signed(&simulator, "ModifyInstanceAttribute", "1");
    // As the official SDK sends it: the password in the URL.
    assert!(exchange(&simulator, "POST", &format!("/?{form}"), "", "").await.contains("200 OK"));
    assert!(simulator.core().journal().requests().next().unwrap().url.contains("Abcdef1"));
    let (table, json, journal) = (
        admin(&simulator, "GET", "instances", "").await,
        admin(&simulator, "GET", "instances?format=json", "").await,
        admin(&simulator, "GET", "journal", "").await,
    );
    assert!(table.contains("PENDING") && table.contains("Running"), "{table}");
    assert!(json.contains(r#""passwordPending":true"#), "{json}");
    assert!(journal.contains("passwordSet") && journal.contains("Password&"), "{journal}");
    assert!(![table, json, journal].concat().contains("Abcdef1"));
    let guess = admin(&simulator, "POST", "instances/i-a/password", r#"{"equals": "Abcdef1!"}"#).await;
    assert!(guess.contains(r#""inEffect":false"#) && guess.contains(r#""pending":true"#), "{guess}");
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let refused = Simulator::start_on(Config::default(), "0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
}
