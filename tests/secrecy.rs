//! Passwords arrive as they are and leave no trace, on real parts: canaries go in, every place that anybody can read is
//! searched for them, in every form that they have on their way.
//!
//! A search that finds nothing proves little, so each is shown to find: the scanner by leaks that are planted, the whole
//! test by what went over the wire. What it may not do: print a canary, which is why assertions name and never quote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use common::{
    AccessKey, Config, Fault, Instance, NAMESPACE, REGION, Rule, SYSTEM_NAMESPACE, Setup, World, condition, eventually,
    manifests,
};
use serde_json::json;

// === The scanner ===

/// What must not be found. No `Debug`: a failed assertion would print it.
struct Canary {
    what: String,
    text: String,
}

impl Canary {
    fn new(what: &str, text: &str) -> Self {
        Self { what: what.to_owned(), text: text.to_owned() }
    }
}

/// A place that can be read, and what it says.
type Sink = (&'static str, String);

/// Which canaries a text holds, and in which form; never the canaries themselves.
fn leaks(canaries: &[Canary], text: &str) -> BTreeSet<String> {
    let found = |canary: &Canary| {
        let what = canary.what.clone();
        let forms = forms(&canary.text).into_iter().filter(|(_, form)| text.contains(form));
        forms.map(move |(form, _)| format!("{what}, {form}")).collect::<Vec<_>>()
    };
    canaries.iter().flat_map(found).collect()
}

/// A text as it looks where it is quoted, sent, signed or stored.
fn forms(text: &str) -> Vec<(&'static str, String)> {
    let json = serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    // kubectl escapes what HTML would mind.
    let kubectl = json.replace('&', r"\u0026").replace('<', r"\u003c").replace('>', r"\u003e");
    let bytes = format!("{:?}", text.as_bytes());
    let mut forms = vec![
        ("raw", text.to_owned()),
        ("raw in JSON", json),
        ("raw in JSON of kubectl", kubectl),
        ("a list of bytes", bytes.trim_matches(['[', ']']).to_owned()),
    ];
    for hex in [|byte| format!("%{byte:02X}"), |byte| format!("%{byte:02x}")] {
        let once = percent_encoded(text, hex);
        forms.push(("percent-encoded twice", percent_encoded(&once, hex)));
        forms.push(("percent-encoded", once));
    }
    for base64 in (0..3).map(|offset| base64_within(text, offset)) {
        forms.push(("base64", base64.replace('+', "-").replace('/', "_")));
        forms.push(("base64", base64));
    }
    forms
}

fn percent_encoded(text: &str, hex: fn(u8) -> String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { hex(byte) }).collect()
}

/// The characters that stand for nothing but `text` in the base64 of a longer text in which it begins at a byte whose
/// number leaves `offset` when divided by three.
fn base64_within(text: &str, offset: usize) -> String {
    let longer = [&vec![0; offset], text.as_bytes()].concat();
    STANDARD_NO_PAD.encode(&longer)[(offset * 8).div_ceil(6)..longer.len() * 8 / 6].to_owned()
}

/// Proves that no sink holds a canary.
#[track_caller]
fn assert_clean(canaries: &[Canary], sinks: &[Sink]) {
    let found: Vec<_> = sinks.iter().map(|(place, text)| (place, leaks(canaries, text))).collect();
    let found: Vec<_> = found.into_iter().filter(|(_, leaks)| !leaks.is_empty()).collect();
    assert!(found.is_empty(), "leaked: {found:?}");
}

#[test]
fn the_scanner_finds_every_form_planted_in_a_log() {
    let canaries = [Canary::new("the password", "aB3<&%/x"), Canary::new("another", "Pw0??>>~")];
    let log = r#"{"level":"debug","ts":"2026-01-02T03:04:05.678Z","msg":"a pass began","name":"web"}"#;
    assert!(leaks(&canaries, log).is_empty());
    // Written down by hand, or by another program's encoder: what this file encodes proves nothing about itself.
    for (planted, form) in [
        ("aB3<&%/x", "the password, raw"),
        (r"aB3\u003c\u0026%/x", "the password, raw in JSON of kubectl"),
        ("97, 66, 51, 60, 38, 37, 47, 120", "the password, a list of bytes"),
        ("aB3%3C%26%25%2Fx", "the password, percent-encoded"),
        ("aB3%3c%26%25%2fx", "the password, percent-encoded"),
        ("aB3%253C%2526%2525%252Fx", "the password, percent-encoded twice"),
        ("aB3%253c%2526%2525%252fx", "the password, percent-encoded twice"),
        ("YUIzPCYlL3g=", "the password, base64"),
        ("YUIzPCYlL3gh", "the password, base64"),
        ("a2FCMzwmJS94IQ==", "the password, base64"),
        ("azphQjM8JiUveCE=", "the password, base64"),
        ("UHcwPz8-Pn4", "another, base64"),
    ] {
        let leaky = log.replace("a pass began", &format!("a pass began {planted}."));
        assert!(leaks(&canaries, &leaky).contains(form), "{form}");
    }
    let quoted = [Canary::new("the password", "aB3\"\\x")];
    assert!(leaks(&quoted, r#"{"msg":"aB3\"\\x"}"#).contains("the password, raw in JSON"));
}

// === What can be read ===

/// Every place that somebody can read who may not read Secrets.
fn sinks(world: &World) -> Vec<Sink> {
    let proc = |file| match std::fs::read(format!("/proc/{}/{file}", world.controller_pid())) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        // The controller closes it to everybody but root.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => String::new(),
        Err(error) => panic!("/proc/PID/{file}: {error}"),
    };
    let urls: Vec<_> = world.journal(|journal| journal.requests().map(|request| request.url.clone()).collect());
    let sinks = [
        ("the log", world.log()),
        ("objects", objects(world)),
        ("events", world.kubectl(&["get", "events", "--all-namespaces", "--output=json"])),
        ("metrics", world.metrics()),
        ("URLs", urls.join("\n")),
        ("the command line", proc("cmdline")),
    ];
    for (place, text) in &sinks {
        assert!(!text.is_empty(), "{place}: nothing to search");
    }
    [sinks.to_vec(), vec![("the environment", proc("environ"))]].concat()
}

/// All objects of the group, with everything that they hold.
fn objects(world: &World) -> String {
    let kinds = "passwordresets,ecsaccounts,resetrecords";
    world.kubectl(&["get", kinds, "--all-namespaces", "--show-managed-fields", "--output=json"])
}

// === The wire ===

/// Stands between the controller and the simulator and keeps every byte: the signatures are nowhere else.
/// It lives as long as the process.
struct Wire {
    address: SocketAddr,
    asked: Record,
    answered: Record,
}

/// What went one way, by connection.
type Record = Arc<Mutex<BTreeMap<usize, Vec<u8>>>>;

impl Wire {
    fn to(simulator: SocketAddr) -> Self {
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

    /// Heads and bodies of the requests.
    fn requests(&self) -> Vec<(String, String)> {
        let split = |stream: &Vec<u8>| {
            let text = String::from_utf8_lossy(stream).replace("POST ", "\0POST ");
            let requests = text.split('\0').filter_map(|request| request.split_once("\r\n\r\n"));
            requests.map(|(head, body)| (head.to_owned(), body.to_owned())).collect::<Vec<_>>()
        };
        self.asked.lock().unwrap().values().flat_map(split).collect()
    }

    /// Everything that was answered.
    fn answers(&self) -> String {
        self.answered.lock().unwrap().values().map(|stream| String::from_utf8_lossy(stream).into_owned()).collect()
    }

    /// The signatures of all requests that change something.
    fn signatures(&self) -> Vec<Canary> {
        let changing = |body: &String| !body.contains("=DescribeInstances") && !body.contains("=GetCallerIdentity");
        let bodies = self.requests().into_iter().map(|(_, body)| body).filter(changing);
        let signatures = bodies.filter_map(|body| {
            // The base64 of 20 bytes ends with its only `=`.
            let (signature, _) = body.split_once("&Signature=")?.1.split_once("%3D")?;
            Some(Canary::new("a signature", &format!("{}=", signature.replace("%2B", "+").replace("%2F", "/"))))
        });
        signatures.collect()
    }
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

// === The promise ===

#[test]
fn all_thirty_specials_arrive_intact() {
    let passwords = ["Aa1()`~!@#$%^&*-_+", "Bb2=|{}[]:;'<>,.?/"];
    let specials: BTreeSet<_> = passwords.concat().chars().filter(|each| !each.is_alphanumeric()).collect();
    assert_eq!(specials.len(), 30);
    let ids = ["i-running1", "i-running2"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    let names = ["first", "second"];
    for ((name, id), password) in names.into_iter().zip(ids).zip(passwords) {
        world.apply_secret(name, &json!({"password": password}));
        world.apply_reset(name, json!({"instanceIDs": [id], "passwordSecretRef": {"name": name}}));
    }
    for ((name, id), password) in names.into_iter().zip(ids).zip(passwords) {
        world.assert_reset_and_restarted_once(&world.wait_for(name, "Ready"), id, password);
    }
}

#[test]
fn at_trace_nothing_that_can_be_read_holds_password_key_or_signature_even_if_ecs_repeats_them() {
    const ID: &str = "i-running1";
    let canaries = [
        Canary::new("the password", "cAn4ry<&>%/+='Pw=aB3<&%/x"),
        Canary::new("the access key's secret", "cAn4ryKey/x7+Q2mZ9vLk3="),
    ];
    let [password, key] = canaries.each_ref().map(|canary| canary.text.as_str());
    let ecs = Config {
        access_keys: vec![AccessKey::new("testid", key)],
        // A key pair makes for an event.
        instances: vec![Instance::running(ID, REGION).with_key_pair("ops")],
        ..Config::default()
    };
    let mut world = World::without_controller(Setup { ecs, log_filter: "trace", ..Setup::default() });
    let wire = Wire::to(world.ecs().address());
    let mut account = world.account();
    account["spec"]["endpoint"]["url"] = json!(format!("http://{}", wire.address));
    world.apply(&account);
    let credentials = json!({"accessKeyID": "testid", "accessKeySecret": key});
    world.apply(&manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &credentials));
    world.set_password(password);
    world.start_controller();
    world.wait_for_account("Ready");

    let echo = |action| {
        let parameters = [("Action", action), ("Format", "JSON"), ("InstanceId", ID), ("Password", password)];
        let signed = ecs_simulator::string_to_sign("POST", parameters);
        format!("Specified signature does not match our calculation. server string to sign is:{signed}")
    };
    let refuse = |code: &str, message| Fault::Refuse { code: code.to_owned(), http: 400, message };
    let wrong_signature = |action| refuse("SignatureDoesNotMatch", echo(action));
    let from_a_gateway = |http, body| Fault::RawAnswer { http, body, after_effect: false };
    let xml = echo("ModifyInstanceAttribute").replace('&', "&amp;");
    let xml = format!("<Error><Code>SignatureDoesNotMatch</Code><Message>{xml}</Message></Error>");
    let mut seen = BTreeSet::new();
    // What a status says on the way is gone in the end, so each refusal lasts until it was seen.
    for (code, fault) in [
        ("IncorrectInstanceStatus", refuse("IncorrectInstanceStatus", format!("not with Password={password}"))),
        ("SignatureDoesNotMatch", wrong_signature("ModifyInstanceAttribute")),
    ] {
        world.ecs().core().clear_faults();
        world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", fault).times(1_000));
        world.apply_reset("web", json!({"instanceIDs": [ID]}));
        world.wait_for_reset("web", code, |_| {
            let objects = objects(&world);
            let shows = objects.contains(code);
            seen.insert(objects);
            shows.then_some(())
        });
    }
    world.ecs().core().clear_faults();
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", from_a_gateway(400, xml)));
    world.ecs().core().inject(Rule::once("RebootInstance", wrong_signature("RebootInstance")));
    let status = world.wait_for_reset("web", "it is Ready", |object| {
        seen.insert(objects(&world));
        (condition(&object["status"], "Ready")["status"] == "True").then(|| object["status"].clone())
    });
    world.assert_reset_and_restarted_once(&status, ID, password);
    eventually("there is an event", || (!world.events("web").is_empty()).then_some(()));

    let signatures = wire.signatures();
    let canaries: Vec<_> = canaries.into_iter().chain(signatures).collect();
    let heads: String = wire.requests().into_iter().map(|(head, _)| head + "\n").collect();
    let seen: String = seen.into_iter().collect();
    let mut all = sinks(&world);
    all.extend([("heads of requests", heads), ("objects on the way", seen)]);
    assert_clean(&canaries, &all);

    // And it was all there to be leaked, where the same scanner finds it.
    let bodies: String = wire.requests().into_iter().map(|(_, body)| body).collect();
    let (asked, answered) = (leaks(&canaries, &bodies), leaks(&canaries, &wire.answers()));
    assert!(asked.contains("the password, percent-encoded") && asked.contains("a signature, percent-encoded"));
    assert!(answered.contains("the password, raw") && answered.contains("the password, percent-encoded twice"));
    for (place, holds) in [
        ("the log", "SignatureDoesNotMatch"),
        ("the log", "IncorrectInstanceStatus"),
        ("objects on the way", "SignatureDoesNotMatch"),
        ("objects on the way", "IncorrectInstanceStatus"),
        ("objects", ID),
        ("events", ID),
        ("metrics", "ModifyInstanceAttribute"),
        ("heads of requests", "POST / HTTP/1.1"),
        ("the command line", "--log-filter=trace"),
    ] {
        assert!(all.iter().any(|(name, text)| *name == place && text.contains(holds)), "{place} without {holds}");
    }
}

#[test]
fn a_secret_that_is_no_text_is_refused_and_none_of_it_is_shown() {
    let halves =
        [Canary::new("the first half", "cAn4ry<First>Half"), Canary::new("the second half", "s3cond&Can4ry%Half")];
    let bytes = [b"\xff\xfe", halves[0].text.as_bytes(), b"\xc3\x28\0", halves[1].text.as_bytes(), b"\x80"].concat();
    assert_eq!(leaks(&halves, &STANDARD.encode(&bytes)).len(), 2, "the scanner finds it as the API server sends it");
    assert_eq!(leaks(&halves, &String::from_utf8_lossy(&bytes)).len(), 4, "and where it was forced into text");

    let world = World::start(Setup { log_filter: "trace", ..Setup::default() });
    world.ecs().with_core(|core, now| core.add_instance(now, Instance::running("i-running1", REGION)));
    let mut secret = manifests::secret(NAMESPACE, "binary", &json!({}));
    secret["data"] = json!({"password": STANDARD.encode(&bytes)});
    world.apply(&secret);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "passwordSecretRef": {"name": "binary"}}));
    world.wait_for_reason("web", "InvalidPassword");
    let mut all = sinks(&world);

    let mut credentials = manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &json!({}));
    credentials["data"] = json!({"accessKeyID": STANDARD.encode("testid"), "accessKeySecret": STANDARD.encode(&bytes)});
    world.apply(&credentials);
    world.wait_for_account("Reconciling");
    all.extend(sinks(&world));
    assert_clean(&halves, &all);
    world.assert_untouched("i-running1");
}
