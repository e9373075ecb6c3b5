//! What only shows at run time: a condition on the object that is to blame says what is wrong and what to do, nothing
//! is called for it, and fixing the cause is enough.

use serde_json::{Value, json};

use crate::common::{
    Config, Instance, NAMESPACE, PASSWORD, REGION, SYSTEM_NAMESPACE, Setup, World, condition, eventually, manifests,
};

/// One thing that is wrong: the parts that the object needs, broken, and what its Ready condition must say.
struct Case {
    name: &'static str,
    namespace: &'static str,
    account: &'static str,
    secret: Secret,
    reason: &'static str,
    says: &'static str,
}

/// What the object's Secret looks like.
enum Secret {
    Missing,
    WithoutKey,
    Holds(Vec<u8>),
}

impl Case {
    /// A case whose password is what is wrong.
    fn password(name: &'static str, password: &[u8], says: &'static str) -> Self {
        Self { secret: Secret::Holds(password.to_vec()), reason: "InvalidPassword", says, ..Self::good(name) }
    }

    fn good(name: &'static str) -> Self {
        let (namespace, account) = (NAMESPACE, "default");
        Self { name, namespace, account, secret: Secret::Holds(PASSWORD.into()), reason: "Succeeded", says: "" }
    }

    fn instance_id(&self) -> String {
        format!("i-{:a<12}", self.name.replace('-', ""))
    }

    fn instance(&self) -> Instance {
        let instance = Instance::running(&self.instance_id(), REGION);
        if self.name.starts_with("windows") { instance.windows() } else { instance }
    }

    fn apply(&self, world: &World) {
        let password = match &self.secret {
            Secret::Missing => None,
            Secret::WithoutKey => Some(secret(self, "other-key", PASSWORD.as_bytes())),
            Secret::Holds(bytes) => Some(secret(self, "password", bytes)),
        };
        if let Some(secret) = password {
            world.apply(&secret);
        }
        let spec = json!({
            "accountRef": {"name": self.account},
            "instanceIDs": [self.instance_id()],
            "passwordSecretRef": {"name": self.name},
        });
        world.apply(&manifests::password_reset(self.namespace, self.name, spec));
    }

    fn ready(&self, world: &World) -> Value {
        let object = world.get_in(self.namespace, "passwordreset", self.name);
        condition(&object["status"], "Ready").clone()
    }

    fn wait_for_reason(&self, world: &World, reason: &str) -> String {
        let what = format!("{} says {reason}", self.name);
        let ready = eventually(&what, || Some(self.ready(world)).filter(|ready| ready["reason"] == reason));
        ready["message"].as_str().unwrap().to_owned()
    }
}

fn secret(case: &Case, key: &str, bytes: &[u8]) -> Value {
    let mut secret = manifests::secret(case.namespace, case.name, &json!({}));
    // `data` and not `stringData`: some of these are not text.
    secret["data"] = json!({ key: base64(bytes) });
    secret
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn cases() -> Vec<Case> {
    vec![
        Case::password("empty", b"", "the password is empty; put 8 to 30 characters into the Secret"),
        Case::password("too-short", b"Abcde1!", "the password must have 8 to 30 characters"),
        Case::password("too-long", b"Abcdefghijklmnopqrstuvwxyz12345", "the password must have 8 to 30 characters"),
        Case::password(
            "few-classes",
            b"abcdefg1",
            "must contain at least three of: upper-case letters, lower-case letters, digits, specials",
        ),
        Case::password(
            "bad-character",
            b"Abcdefg1 x",
            "the password contains a character that ECS does not allow: a space at position 9; allowed are letters, digits and ( ) `",
        ),
        Case::password(
            "byte-order-mark",
            "\u{FEFF}Abcdefg1!".as_bytes(),
            ": a byte order mark at the start; allowed are",
        ),
        Case::password("no-break-space", "Abcdefg1!\u{A0}".as_bytes(), ": a no-break space at the end; allowed are"),
        Case::password("windows-newline", b"Abcdefg1!\r\n", "ends with a carriage return and a newline (CR LF)"),
        Case::password(
            "newline",
            b"Abcdefg1!\n",
            "the password ends with a newline; write the Secret without it, for example with `printf %s` or `echo -n`",
        ),
        Case::password("windows-slash", b"/Abcdefg1", "the password of a Windows instance must not start with '/'"),
        Case {
            secret: Secret::Holds(vec![b'A', b'b', 0xff, 0xfe, b'1', b'!', b'x', b'y']),
            reason: "InvalidPassword",
            says: "the value of key password in Secret prod/not-text is not the text of a password: it is not UTF-8 (older PowerShell writes UTF-16), or far too long; it must be 8 to 30 letters, digits and specials",
            ..Case::good("not-text")
        },
        Case {
            secret: Secret::Missing,
            reason: "SecretNotFound",
            says: "Secret prod/no-secret does not exist",
            ..Case::good("no-secret")
        },
        Case {
            secret: Secret::WithoutKey,
            reason: "SecretKeyNotFound",
            says: "Secret prod/no-key has no key password",
            ..Case::good("no-key")
        },
        Case {
            namespace: "unbound",
            reason: "SecretNotPermitted",
            says: "the controller may not read Secrets in namespace unbound; it tries again within 1 s, and goes on by itself; allow it with: kubectl create rolebinding ecs-password-reset-secret-reader -n unbound --clusterrole=ecs-password-reset-secret-reader --serviceaccount=ecs-password-reset-system:ecs-password-reset",
            ..Case::good("no-binding")
        },
        Case {
            account: "missing",
            reason: "AccountNotFound",
            says: "ECSAccount missing does not exist",
            ..Case::good("no-account")
        },
        Case {
            account: "wrong-key",
            reason: "AccountNotReady",
            says: "ECSAccount wrong-key is not ready (CredentialsRefused); ",
            ..Case::good("wrong-key")
        },
        Case {
            account: "no-credentials",
            reason: "AccountNotReady",
            says: "ECSAccount no-credentials is not ready (CredentialsNotFound); ",
            ..Case::good("no-credentials")
        },
        Case {
            account: "empty-credentials",
            reason: "AccountNotReady",
            says: "ECSAccount empty-credentials is not ready (CredentialsNotFound); ",
            ..Case::good("half-credentials")
        },
        Case {
            account: "for-others",
            reason: "NamespaceNotAllowed",
            says: "ECSAccount for-others does not allow namespace prod; its administrator can add it to allowedNamespaces",
            ..Case::good("not-allowed")
        },
        Case {
            account: "elsewhere",
            reason: "RegionNotAllowed",
            says: "ECSAccount elsewhere does not allow region cn-hangzhou; its administrator can add it to regions",
            ..Case::good("other-region")
        },
    ]
}

/// The accounts of the cases, each with its own thing wrong; fixed, all of them are the world's own.
fn apply_accounts(world: &World, mended: bool) {
    let account = |name: &str| {
        let mut account = world.account();
        account["metadata"]["name"] = json!(name);
        account["spec"]["allowedNamespaces"] = json!({"from": "All"});
        account
    };
    let credentials = |name: &str, data: &Value| {
        world.apply(&manifests::secret(SYSTEM_NAMESPACE, name, data));
    };
    let good = json!({"accessKeyID": "testid", "accessKeySecret": "testsecret"});
    world.apply(&account("default"));
    if mended {
        world.apply(&account("missing"));
        credentials("lost", &good);
    }
    for (name, secret, broken) in [
        ("wrong-key", "wrong-key", json!({"accessKeyID": "testid", "accessKeySecret": "not-the-secret"})),
        ("no-credentials", "lost", Value::Null),
        ("empty-credentials", "half", json!({"accessKeyID": "testid"})),
    ] {
        if !broken.is_null() {
            credentials(secret, if mended { &good } else { &broken });
        }
        let mut account = account(name);
        account["spec"]["credentials"]["secretRef"]["name"] = json!(secret);
        world.apply(&account);
    }
    let mut for_others = account("for-others");
    let mut elsewhere = account("elsewhere");
    if !mended {
        for_others["spec"]["allowedNamespaces"] = json!({"names": ["others"]});
        elsewhere["spec"]["regions"] = json!(["cn-shanghai"]);
    }
    world.apply(&for_others);
    world.apply(&elsewhere);
}

#[test]
fn each_problem_shows_on_its_object_and_fixing_it_is_enough() {
    let (cases, good) = (cases(), Case::good("good"));
    let world = World::with(cases.iter().chain([&good]).map(Case::instance));
    world.kubectl(&["create", "namespace", "unbound"]);
    apply_accounts(&world, false);
    for case in &cases {
        case.apply(&world);
    }
    good.apply(&world);

    // A neighbour of so much trouble is none the worse.
    good.wait_for_reason(&world, "Succeeded");

    let mut messages = Vec::new();
    for case in &cases {
        let message = case.wait_for_reason(&world, case.reason);
        assert!(message.contains(case.says), "{}: {message}", case.name);
        messages.push((case.name, message));
    }
    for case in &cases {
        let status = world.get_in(case.namespace, "passwordreset", case.name)["status"].take();
        assert_error_is_reported_well(case, &status);
        world.assert_untouched(&case.instance_id());
    }
    assert_no_message_shows_a_password(&cases, &messages);

    // Now everything is fixed, and no PasswordReset was touched.
    apply_accounts(&world, true);
    let command = messages.iter().find_map(|(_, message)| message.split_once("allow it with: kubectl ")).unwrap().1;
    world.kubectl(&command.split_whitespace().collect::<Vec<_>>());
    for case in &cases {
        world.apply(&secret(case, "password", PASSWORD.as_bytes()));
    }
    for case in &cases {
        case.wait_for_reason(&world, "Succeeded");
        let object = world.get_in(case.namespace, "passwordreset", case.name);
        assert_eq!(object["metadata"]["generation"], 1, "{}", case.name);
        world.assert_reset_and_restarted_once(&object["status"], &case.instance_id(), PASSWORD);
    }
}

/// An error for a person stalls, one that may pass by itself is retried; never both.
fn assert_error_is_reported_well(case: &Case, status: &Value) {
    let truth = |kind: &str| condition(status, kind)["status"].as_str().unwrap_or("absent").to_owned();
    let for_a_person = ["InvalidPassword", "NamespaceNotAllowed", "RegionNotAllowed"].contains(&case.reason);
    let expected = if for_a_person { ["False", "absent", "True"] } else { ["Unknown", "True", "absent"] };
    let found = ["Ready", "Reconciling", "Stalled"].map(truth);
    assert_eq!(found, expected, "{}: {status:#}", case.name);
    if !for_a_person {
        assert_eq!(condition(status, "Reconciling")["reason"], "ProgressingWithRetry", "{}", case.name);
    }
    assert_eq!(status["observedGeneration"], 1, "{}", case.name);
}

fn assert_no_message_shows_a_password(cases: &[Case], messages: &[(&str, String)]) {
    for case in cases {
        let Secret::Holds(bytes) = &case.secret else { continue };
        let text = String::from_utf8_lossy(bytes);
        let shown = !text.is_empty() && messages.iter().any(|(_, message)| message.contains(text.trim()));
        assert!(!shown, "the password of {} is in a message", case.name);
    }
}

#[test]
fn a_message_says_which_rule_is_broken_and_shows_no_character() {
    // Different in all but what is wrong, each row must read the same: its length, its other characters and which one is wrong
    // are nobody's business.
    let rows: [(&str, [&[u8]; 3]); 3] = [
        ("character", [b"Zyxw\"vuts9", b"Abcd\\efg1", b"1234\"AbcdefghijK"]),
        ("length", [b"Abcde1!", b"A1b", b"Abcdefghijklmnopqrstuvwxyz12345"]),
        ("classes", [b"abcdefg1", b"ABCDEFGH", b"!!!!!!!!"]),
    ];
    let names: [[&'static str; 3]; 3] = [
        ["character-one", "character-two", "character-three"],
        ["length-seven", "length-three", "length-thirty-one"],
        ["classes-lower", "classes-upper", "classes-special"],
    ];
    let cases: Vec<Vec<Case>> = rows
        .iter()
        .zip(names)
        .map(|((_, passwords), names)| {
            names.iter().zip(passwords).map(|(name, password)| Case::password(name, password, "")).collect()
        })
        .collect();
    let world = World::with(cases.iter().flatten().map(Case::instance));
    cases.iter().flatten().for_each(|case| case.apply(&world));
    for row in &cases {
        let mut rules: Vec<String> = Vec::new();
        for case in row {
            let message = case.wait_for_reason(&world, "InvalidPassword");
            // The instance's id apart, which is the object's own.
            rules.push(message.replace(&case.instance_id(), "ID"));
        }
        rules.dedup();
        assert_eq!(rules.len(), 1, "{rules:#?}");
    }
}

#[test]
fn plain_http_is_refused_without_the_flag_and_nothing_is_sent() {
    let instance = Instance::running("i-plainhttp1", REGION);
    let ecs = Config { instances: vec![instance], ..Config::default() };
    let mut world = World::without_controller(Setup { ecs, allow_http_endpoints: false, ..Setup::default() });
    world.start_controller();
    world.apply_reset("web", json!({"instanceIDs": ["i-plainhttp1"]}));

    let ready = world.wait_for_reason("web", "AccountNotReady");
    let says = "ECSAccount default is not ready (EndpointRefused); its administrator must act, and sees why: kubectl describe ecsaccount default";
    assert_eq!(ready["message"], says);
    world.wait_for_account("Stalled");
    assert_eq!(world.journal(|journal| journal.requests().count()), 0, "not even the access key id may be sent");
}
