//! T1, T5, T10, T11, T12: what the shape of the API and rights on accounts refuse, and what errors do not tell.

use serde_json::{Value, json};

use crate::attempt::{Attempt, Layer, No, attempt, create, patch, respec, run, send};
use crate::common::{ACCOUNT, NAMESPACE, PASSWORD, SYSTEM_NAMESPACE, manifests};
use crate::people::{LOCKED, SHOP, Who};

const UNKNOWN: No = No::AtTheDoor("unknown field");
const MUST: No = No::AtTheDoor("must ");
const FORBIDDEN: No = No::AtTheDoor("is forbidden: User");
const NOT_PERMITTED: No = No::Condition("SecretNotPermitted", "kubectl create rolebinding");

pub fn attempts() -> Vec<Attempt> {
    [foreign_secrets(), endpoints(), talkative_errors(), floods(), poison()].into_iter().flatten().collect()
}

/// T1.
fn foreign_secrets() -> Vec<Attempt> {
    let reference = |value: Value| json!({"passwordSecretRef": value});
    // In `locked` the controller has no right to read Secrets either.
    let two = |id, what, spec, no| {
        create(id, Who::Alice, LOCKED, what, spec, Layer::Shape, no).and(Layer::Rights, NOT_PERMITTED)
    };
    let one = |id, what, spec, layer, no| create(id, Who::Alice, NAMESPACE, what, spec, layer, no);
    vec![
        two("T1.1", "a namespace beside the name", reference(json!({"namespace": SHOP})), UNKNOWN),
        two("T1.2", "a namespace within the name", reference(json!({"name": "shop/db"})), MUST),
        two("T1.3", "a path out of the namespace", reference(json!({"name": "../../shop/secrets/db"})), MUST),
        two("T1.4", "the same, encoded", reference(json!({"name": "..%2f..%2fshop%2fsecrets%2fdb"})), MUST),
        two("T1.5", "a query in the name", reference(json!({"name": "db?namespace=shop"})), MUST),
        two("T1.6", "another kind", reference(json!({"kind": "ConfigMap"})), UNKNOWN),
        two("T1.7", "a path in the key", reference(json!({"key": "../db"})), MUST),
        two(
            "T1.8",
            "an account with a namespace",
            json!({"accountRef": {"name": "default", "namespace": SHOP}}),
            UNKNOWN,
        ),
        two("T1.9", "a password within the object", json!({"password": PASSWORD}), UNKNOWN),
        create("T1.10", Who::Alice, LOCKED, "a namespace that allows nothing", json!({}), Layer::Rights, NOT_PERMITTED),
        one(
            "T1.11",
            "the credentials of the controller, by name",
            reference(json!({"name": "ecs-credentials"})),
            Layer::Care,
            No::Condition("SecretNotFound", "ecs-credentials"),
        ),
        one(
            "T1.12",
            "a Secret that only another namespace has",
            reference(json!({"name": "db"})),
            Layer::Care,
            No::Condition("SecretNotFound", "db"),
        ),
        create("T1.13", Who::Alice, SHOP, "an object in another namespace", json!({}), Layer::Rights, FORBIDDEN)
            .and(Layer::AllowedNamespaces, No::Condition("NamespaceNotAllowed", "shop")),
        create(
            "T1.14",
            Who::Alice,
            SYSTEM_NAMESPACE,
            "an object beside the credentials",
            json!({}),
            Layer::Rights,
            FORBIDDEN,
        )
        .and(Layer::AllowedNamespaces, No::Condition("NamespaceNotAllowed", "system")),
        silent_namespace(),
    ]
}

/// With the client's validation off the field is dropped, not followed.
fn silent_namespace() -> Attempt {
    let spec = json!({"instanceIDs": ["i-prey0000001"], "passwordSecretRef": {"name": "db", "namespace": SHOP}});
    let object = manifests::password_reset(NAMESPACE, "t1-15", spec);
    let step = send(&["create", "--validate=ignore", "--filename=-"], &object);
    let no = No::Condition("SecretNotFound", "db");
    let mut attempt = attempt("T1.15", Who::Alice, "a namespace, unvalidated", step, Layer::Shape, no);
    attempt.told_on = (NAMESPACE, "t1-15".to_owned());
    attempt
}

/// T5.
fn endpoints() -> Vec<Attempt> {
    let evil = json!({"spec": {"endpoint": {"url": "http://evil.example.com"}}});
    let account = manifests::account("evil", "http://evil.example.com");
    let on_account =
        |who, id, what| attempt(id, who, what, patch("", "ecsaccount", ACCOUNT, &evil), Layer::Rights, FORBIDDEN);
    // No account serves a region of such a name either.
    let not_served = No::Condition("RegionNotAllowed", "does not allow region");
    let region = |id, what, value: &str| {
        create(id, Who::Alice, NAMESPACE, what, json!({"regionID": value}), Layer::Shape, MUST)
            .and(Layer::AllowedNamespaces, not_served)
    };
    // Whoever may change an account can name another host. More than a host nobody can name.
    let malformed = |id, what, endpoint: Value| {
        let step = patch("", "ecsaccount", ACCOUNT, &json!({"spec": {"endpoint": endpoint}}));
        attempt(id, Who::Star, what, step, Layer::Rights, FORBIDDEN).and(Layer::Shape, MUST)
    };
    let user = "https://ecs-cn-hangzhou.aliyuncs.com@evil.example.com";
    vec![
        attempt(
            "T5.1",
            Who::Alice,
            "an account of one's own",
            send(&["create", "--filename=-"], &account),
            Layer::Rights,
            FORBIDDEN,
        ),
        on_account(Who::Star, "T5.2", "another endpoint, by the owner of a namespace"),
        on_account(Who::Agent, "T5.3", "another endpoint, by a GitOps agent"),
        create(
            "T5.4",
            Who::Alice,
            NAMESPACE,
            "an endpoint in the reset",
            json!({"endpoint": {"url": "http://evil.example.com"}}),
            Layer::Shape,
            UNKNOWN,
        ),
        create(
            "T5.5",
            Who::Alice,
            NAMESPACE,
            "a url in the reset",
            json!({"url": "http://evil.example.com"}),
            Layer::Shape,
            UNKNOWN,
        ),
        region("T5.6", "a host as the region", "evil.example.com"),
        region("T5.7", "a path in the region", "cn-hangzhou/evil"),
        region("T5.8", "a user before a host in the region", "cn-hangzhou@evil"),
        region("T5.9", "a query in the region", "cn-hangzhou?x="),
        create(
            "T5.10",
            Who::Alice,
            NAMESPACE,
            "a region that the account does not serve",
            json!({"regionID": "cn-beijing"}),
            Layer::AllowedNamespaces,
            No::Condition("RegionNotAllowed", "cn-beijing"),
        ),
        attempt(
            "T5.11",
            Who::Star,
            "the account gone",
            run(&["delete", "ecsaccount", ACCOUNT]),
            Layer::Rights,
            FORBIDDEN,
        ),
        malformed("T5.12", "ECS as the user at another host", json!({"url": user})),
        malformed("T5.13", "a path that swallows the rest", json!({"url": "https://evil.example.com/x?y="})),
        malformed("T5.14", "another scheme", json!({"url": "file:///etc/passwd"})),
        malformed(
            "T5.15",
            "STS alone elsewhere, beside ECS",
            json!({"url": null, "network": "VPC", "stsURL": "https://evil.example.com"}),
        ),
    ]
}

/// T10.
fn talkative_errors() -> Vec<Attempt> {
    let read = |id, who, what, arguments: &[&str]| attempt(id, who, what, run(arguments), Layer::Rights, FORBIDDEN);
    let bad = send(&["apply", "--filename=-"], &manifests::secret(NAMESPACE, "bad", &json!({"password": "short"})));
    vec![
        read("T10.1", Who::Vera, "the records, which name machines", &["get", "resetrecords", "-n", SYSTEM_NAMESPACE]),
        read("T10.2", Who::Bob, "the records of all", &["get", "resetrecords", "--all-namespaces"]),
        read("T10.3", Who::Alice, "the accounts", &["get", "ecsaccounts"]),
        create(
            "T10.4",
            Who::Alice,
            NAMESPACE,
            "what is wrong with a password",
            json!({"passwordSecretRef": {"name": "bad"}}),
            Layer::Care,
            No::Condition("InvalidPassword", "8 to 30"),
        )
        .after(bad),
    ]
}

/// T11.
fn floods() -> Vec<Attempt> {
    let ids: Vec<String> = (0..101).map(|number| format!("i-flood{number:06}")).collect();
    let shape =
        |id, what, spec, words| create(id, Who::Alice, NAMESPACE, what, spec, Layer::Shape, No::AtTheDoor(words));
    let huge = json!({"metadata": {"annotations": {"ecs.password-reset.dev/rerun-requested-at": "x".repeat(100_000)}}});
    let huge = patch(NAMESPACE, "passwordreset", "asleep", &huge);
    vec![
        shape("T11.1", "101 instances", json!({"instanceIDs": ids}), "must have at most 100 items"),
        shape(
            "T11.2",
            "all at once, and more",
            json!({"restart": {"maxUnavailable": 101}}),
            "must be an integer from 1 to 100",
        ),
        shape("T11.3", "no pause, ever", json!({"stableStateTimeoutSeconds": -1}), "should be greater than or equal"),
        shape("T11.4", "an endless token", json!({"runID": "x".repeat(129)}), "may not be more than 128"),
        attempt("T11.5", Who::Eve, "an endless annotation", huge, Layer::Policy, No::AtTheDoor("must come from")),
    ]
}

/// T12.
fn poison() -> Vec<Attempt> {
    let shape =
        |id, what, spec, words| create(id, Who::Alice, NAMESPACE, what, spec, Layer::Shape, No::AtTheDoor(words));
    vec![
        shape("T12.1", "a list that is a string", json!({"instanceIDs": "i-prey0000001"}), "instanceIDs"),
        shape("T12.2", "a NUL in a token", json!({"runID": "a\u{0}b"}), "runID"),
        shape(
            "T12.3",
            "a Secret's name that is an object",
            json!({"passwordSecretRef": {"name": {}}}),
            "passwordSecretRef",
        ),
        attempt(
            "T12.4",
            Who::Alice,
            "a spec that is gone",
            respec("web", &Value::Null),
            Layer::Shape,
            No::AtTheDoor("spec"),
        ),
    ]
}
