//! Passwords arrive as they are and leave no trace, and nor do keys and tokens, on real parts: canaries go in, every place that
//! anybody can read is searched for them, in every form that they have on their way.
//!
//! A search that finds nothing proves little, so each is shown to find: the scanner by leaks that are planted in every place,
//! the whole test by what went over the wire. What it may not do: print a canary, which is why assertions name and never quote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod canaries;
#[path = "../common/mod.rs"]
mod common;
mod dying;
mod places;
mod scanner;
mod wire;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canaries::{all_of_it_was_there_to_be_leaked, canaries};
use common::{
    AccessKey, Config, Controller, Fault, Instance, NAMESPACE, REGION, Rule, SYSTEM_NAMESPACE, Setup, World,
    eventually, manifests,
};
use ecs_simulator::Role;
use places::{Places, assert_clean};
use rustix::process::{Pid, Signal, kill_process};
use scanner::{Canary, Scanner, leaks};
use serde_json::json;
use wire::Wire;

const ROLE: &str = "acs:ram::1234567890123456:role/reset";
const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/cluster";
const KEY: &str = "cAn4ryKey/x7+Q2mZ9vLk3=";
const TOKEN: &str = "cAn4ryToken/CAIS+x==&q8%Wz7";
/// What the pod's environment holds for the account that takes its access key from there.
const EQUIPMENT: [(&str, &str); 3] = [
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "podid"),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "cAn4ryPod/e5+T8wB1&nHj6="),
    ("ALIBABA_CLOUD_SECURITY_TOKEN", "cAn4ryPodToken/CAIS+u==<d4%Kp2"),
];
const ACCOUNTS: [&str; 4] = ["default", "by-token", "by-machine", "by-environment"];
const OIDC_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.cAn4ryOidc_4-7xK2.s1gnature-Of_it";
/// No canary: a name that is given to things which are shown, to see that it is found where they are.
const PLANTED: &str = "planted-kettle-x9q2";

/// The passwords of all objects. Together they hold all thirty specials that ECS takes.
fn passwords() -> Vec<String> {
    // Those first that XML has to escape: password 0 is what ECS repeats.
    let specials: Vec<char> = "&<>'%+=@#()`~!$^*-_|{}[]:;,.?/".chars().collect();
    let some = |from: usize| (0..9usize).map(|at| specials[(from * 7 + at) % specials.len()]).collect::<String>();
    // ECS refuses a password that begins with a slash.
    (0..24).map(|number| format!("cN{number:02}{}{}y", some(number), 7 * number + 3)).collect()
}

fn name(number: usize) -> String {
    if number == 0 { PLANTED.to_owned() } else { format!("web-{number}") }
}

fn id(number: usize) -> String {
    format!("i-canary{number:02}")
}

/// An account for each source of credentials, with the simulator behind the wire.
fn apply_accounts(world: &World, wire: &Wire) {
    let credentials = [
        json!({"secretRef": {"name": "ecs-credentials"}}),
        json!({"rrsa": {"roleARN": ROLE, "oidcProviderARN": PROVIDER}}),
        json!({"ecsRAMRole": {"name": "reset"}}),
        json!({"environment": {}}),
    ];
    for (name, credentials) in ACCOUNTS.into_iter().zip(credentials) {
        let mut account = manifests::account(name, &format!("http://{}", wire.address));
        if credentials["environment"].is_object() {
            account["spec"]["assumeRole"] = json!({"roleARN": ROLE});
        }
        account["spec"]["credentials"] = credentials;
        world.apply(&account);
    }
}

fn apply_reset(world: &World, number: usize) {
    let account = ACCOUNTS[number % ACCOUNTS.len()];
    let spec = json!({
        "instanceIDs": [id(number)],
        "accountRef": {"name": account},
        "passwordSecretRef": {"name": format!("password-{number}")},
    });
    world.apply_reset(&name(number), spec);
}

fn refuse(code: &str, message: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), http: 400, message: message.to_owned() }
}

/// What ECS says when it does not like a signature: what was signed, in full.
fn string_to_sign(action: &str, instance_id: &str, password: &str) -> String {
    let parameters = [("Action", action), ("Format", "JSON"), ("InstanceId", instance_id), ("Password", password)];
    let signed = ecs_simulator::string_to_sign("POST", parameters);
    format!("Specified signature does not match our calculation. server string to sign is:{signed}")
}

/// Faults whose messages repeat what they were sent, until the object shows the code of each.
fn repeat_all_of_it(world: &World, password: &str) {
    let of = |action| string_to_sign(action, &id(0), password);
    for (code, message) in [
        ("IncorrectInstanceStatus", format!("not with Password={password}")),
        ("SignatureDoesNotMatch", of("ModifyInstanceAttribute")),
    ] {
        world.ecs().core().clear_faults();
        world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refuse(code, &message)).times(1_000));
        apply_reset(world, 0);
        // An error of an account's key is for the log, and not for the object.
        eventually(code, || world.log().contains(code).then_some(()));
    }
    world.ecs().core().clear_faults();
    let by_name = password.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;");
    let by_number = password.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;").replace('\'', "&#39;");
    let xml = format!("{} {by_name} {by_number}", of("ModifyInstanceAttribute").replace('&', "&amp;"));
    let xml = format!("<Error><Code>SignatureDoesNotMatch</Code><Message>{xml}</Message></Error>");
    let from_a_gateway = Fault::RawAnswer { http: 400, body: xml, after_effect: false };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", from_a_gateway));
    let wrong = refuse("SignatureDoesNotMatch", &of("RebootInstance"));
    world.ecs().core().inject(Rule::once("RebootInstance", wrong));
}

#[test]
fn no_secret_is_readable_at_trace_even_if_ecs_repeats_it() {
    let passwords = passwords();
    let specials: BTreeSet<_> = passwords.concat().chars().filter(|each| !each.is_alphanumeric()).collect();
    assert_eq!((passwords.len(), specials.len()), (24, 30));
    let [(_, pod_id), (_, pod_key), (_, pod_token)] = EQUIPMENT;
    let role = Role::new(ROLE).trusting_oidc(PROVIDER, OIDC_TOKEN).trusting(pod_id).with_sessions_of(20);
    let instances = (0..24).map(|number| Instance::running(&id(number), REGION).with_key_pair("ops"));
    let ecs = Config {
        access_keys: vec![
            AccessKey::new("testid", KEY).with_token(TOKEN),
            AccessKey::new(pod_id, pod_key).with_token(pod_token),
        ],
        instances: instances.collect(),
        ..Config::default()
    };
    let ecs = ecs.with_instance_role(role);
    let flags = vec![format!("--cluster-name={PLANTED}")];
    let world = World::without_controller(Setup { ecs, log_filter: "trace", flags, audit: true, ..Setup::default() });
    let wire = Wire::to(world.ecs().address());
    apply_accounts(&world, &wire);
    let credentials = json!({"accessKeyID": "testid", "accessKeySecret": KEY, "securityToken": TOKEN});
    world.apply(&manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &credentials));
    for (number, password) in passwords.iter().enumerate() {
        world.apply_secret(&format!("password-{number}"), &json!({"password": password}));
    }
    // Identities are refused once each, in words that hold what was sent.
    let all_said = format!("invalid: {OIDC_TOKEN} {TOKEN} {KEY} {pod_key} {pod_token}");
    for (action, code) in [
        ("AssumeRoleWithOIDC", "AuthenticationFail.OIDCToken.Invalid"),
        ("AssumeRole", "NoPermission"),
        ("GetCallerIdentity", PLANTED),
    ] {
        world.ecs().core().inject(Rule::once(action, refuse(code, &all_said)));
    }
    let file = world.file("token");
    std::fs::write(&file, OIDC_TOKEN).unwrap();
    let address = format!("http://{}", wire.address);
    dying::allow_core_files();
    let variables = [
        ("ECS_PASSWORD_RESET_OIDC_TOKEN_FILE", file.to_str().unwrap()),
        ("ECS_PASSWORD_RESET_ECS_METADATA_ADDRESS", &address),
        ("PLANTED", PLANTED),
    ];
    let controller = world.spawn_controller(&[&variables[..], &EQUIPMENT].concat());
    for account in ACCOUNTS {
        world.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "ecsaccount", account]);
    }

    repeat_all_of_it(&world, &passwords[0]);
    for number in 1..passwords.len() {
        apply_reset(&world, number);
    }
    for (number, password) in passwords.iter().enumerate() {
        world.assert_reset_and_restarted_once(&world.wait_for(&name(number), "Ready"), &id(number), password);
    }
    eventually("there is an event", || (!world.events(PLANTED).is_empty()).then_some(()));
    // A namespace is shown: here it must be found, in the metrics.
    world.create_namespace(PLANTED);
    world.apply(&manifests::password_reset(PLANTED, "other", json!({"instanceIDs": [id(0)], "suspend": true})));
    eventually("the object there was seen, and counted", || {
        (world.get_in(PLANTED, "passwordreset", "other")["status"]["observedGeneration"] == 1).then_some(())
    });
    let halves = no_text_is_refused(&world);

    let canaries = [canaries(&world, &passwords), wire.signatures(), wire.handed_out(), halves].concat();
    plant_in_a_request(&wire);
    let places = Places::of(&world, &controller, &wire);
    assert_clean(&Scanner::of(&canaries), &places);
    let forms: Vec<u8> = canaries.iter().flat_map(Canary::planted).collect();
    assert_eq!(Scanner::of(&canaries).leaks(&forms), Scanner::of(&canaries).names());
    println!("{} canaries are in none of {} places: {}", canaries.len(), places.len(), places.names());

    // A name that is shown is found in every place, so what was searched is the place and not something else.
    let planted = [Canary::new("what was planted", PLANTED)];
    for (place, text) in places.iter() {
        assert!(leaks(&planted, text).contains("what was planted, raw"), "{place}: what was planted is not found");
    }
    all_of_it_was_there_to_be_leaked(&world, &wire, &places, &canaries);
    leaves_no_core_file(controller);
}

/// Bytes that are not text, once as a password and once as a key.
fn no_text_is_refused(world: &World) -> Vec<Canary> {
    let texts = ["cAn4ry<First>Half", "s3cond&Can4ry%Half"];
    let halves = texts.map(|text| Canary::new(format!("the half of {} bytes", text.len()), text)).to_vec();
    let bytes = [b"\xff\xfe", texts[0].as_bytes(), b"\xc3\x28\0", texts[1].as_bytes(), b"\x80"].concat();
    assert_eq!(leaks(&halves, STANDARD.encode(&bytes)).len(), 2, "the scanner finds it as the API server sends it");
    let mut secret = manifests::secret(NAMESPACE, "binary", &json!({}));
    secret["data"] = json!({"password": STANDARD.encode(&bytes)});
    world.apply(&secret);
    world.apply_reset("binary", json!({"instanceIDs": [id(0)], "passwordSecretRef": {"name": "binary"}}));
    world.wait_for_reason("binary", "InvalidPassword");
    let mut credentials = manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &json!({}));
    credentials["data"] = json!({"accessKeyID": STANDARD.encode("testid"), "accessKeySecret": STANDARD.encode(&bytes)});
    world.apply(&credentials);
    world.wait_for_account("Reconciling");
    halves
}

/// A request that nobody signs, with the name that must be found in the simulator's journal and on the wire.
fn plant_in_a_request(wire: &Wire) {
    let mut stream = TcpStream::connect(wire.address).unwrap();
    let head = format!("POST /?{PLANTED} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// Killed by a signal that leaves a core file, where nothing is done about it.
fn leaves_no_core_file(controller: Controller) {
    kill_process(Pid::from_raw(controller.pid().cast_signed()).unwrap(), Signal::ABORT).unwrap();
    let end = controller.wait_for_end();
    assert!(end.signal() == Some(Signal::ABORT.as_raw()) && !end.core_dumped(), "{end}");
}
