//! T2, T4, T7, T8: the Secret that one may not read, the account that is for others, the namespace under another label,
//! and the agent that acts for others.

use serde_json::{Value, json};

use crate::attempt::{Attempt, Layer, No, annotate, attempt, create, patch, respec, run, send};
use crate::common::{NAMESPACE, SECRET, manifests};
use crate::people::{INSTANCE, PREY, SHOP, Who};

const NO_SECRET: No = No::AtTheDoor("must come from a user who may get Secret root-password in namespace prod");
const NO_USE: No = No::AtTheDoor("must come from a user who may use ECSAccount default");
const NO_USE_OF_OTHER: No = No::AtTheDoor("must come from a user who may use ECSAccount other");
const NOT_IN_SHOP: No = No::Condition("NamespaceNotAllowed", "does not allow namespace shop");

pub fn attempts() -> Vec<Attempt> {
    let mut all = work("T2", Who::Ned, NO_SECRET);
    all.extend(work("T4", Who::Eve, NO_USE));
    all.extend([secrets(), accounts(), not_served(), labels(), agent()].into_iter().flatten());
    all
}

/// Every way to make the controller work, by a user who lacks one right.
fn work(threat: &str, who: Who, no: No) -> Vec<Attempt> {
    let t2 = threat == "T2";
    let id = |in_t2: &'static str, in_t4: &'static str| if t2 { in_t2 } else { in_t4 };
    let one = |id, what, step| attempt(id, who, what, step, Layer::Policy, no);
    let web = |spec| manifests::password_reset(NAMESPACE, "web", spec);
    let rerun = json!({"ecs.password-reset.dev/rerun-requested-at": "now"});
    let brake_and_rerun = json!({"metadata": {"annotations": rerun}, "spec": {"suspend": true}});
    vec![
        create(id("T2.1", "T4.1"), who, NAMESPACE, "a new object", json!({}), Layer::Policy, no),
        create(
            id("T2.2", "T4.2"),
            who,
            NAMESPACE,
            "a new object, suspended",
            json!({"suspend": true}),
            Layer::Policy,
            no,
        ),
        one(id("T2.3", "T4.3"), "another run", respec("web", &json!({"runID": "2"}))),
        one(id("T2.4", "T4.4"), "one more instance", respec("web", &json!({"instanceIDs": [INSTANCE, PREY]}))),
        one(id("T2.5", "T4.5"), "the brake let go", respec("asleep", &json!({"suspend": false}))),
        one(id("T2.6", "T4.6"), "the brake taken away", respec("asleep", &json!({"suspend": null}))),
        one(id("T2.7", "T4.7"), "another run under the brake", respec("asleep", &json!({"runID": "2"}))),
        one(id("T2.8", "T4.8"), "a field taken away under the brake", respec("asleep", &json!({"restart": null}))),
        one(id("T2.9", "T4.9"), "the brake, and another run", respec("web", &json!({"suspend": true, "runID": "2"}))),
        one(id("T2.10", "T4.10"), "the brake, and a rerun", patch(NAMESPACE, "passwordreset", "web", &brake_and_rerun)),
        one(id("T2.11", "T4.11"), "a rerun", annotate("rerun-requested-at", "2026-01-01T00:00:00Z")),
        one(id("T2.12", "T4.12"), "a retry", annotate("retry-requested-at", "2026-01-01T00:00:00Z")),
        one(
            id("T2.13", "T4.13"),
            "a decision about an unknown outcome",
            annotate("resolve-unknown", "i-honest00001/1=Happened"),
        ),
        one(
            id("T2.14", "T4.14"),
            "a replacement",
            send(&["replace", "--filename=-"], &web(json!({"instanceIDs": [INSTANCE], "runID": "3"}))),
        ),
        one(
            id("T2.15", "T4.15"),
            "a server-side apply",
            send(
                &["apply", "--server-side", "--force-conflicts", "--filename=-"],
                &web(json!({"instanceIDs": [INSTANCE], "runID": "4"})),
            ),
        ),
    ]
}

/// T2, the rest.
fn secrets() -> Vec<Attempt> {
    let other = json!({"passwordSecretRef": {"name": "prod-db"}});
    let no = No::AtTheDoor("must come from a user who may get Secret prod-db");
    let step = respec("web", &json!({"passwordSecretRef": {"name": "prod-db"}}));
    vec![
        create("T2.16", Who::Ned, NAMESPACE, "a Secret that may not be there", other, Layer::Policy, no),
        attempt("T2.17", Who::Ned, "another Secret in an object of others", step, Layer::Policy, no),
        attempt(
            "T2.18",
            Who::Ned,
            "the Secret itself",
            run(&["get", "secret", SECRET, "--namespace", NAMESPACE]),
            Layer::Rights,
            No::AtTheDoor("is forbidden: User"),
        ),
    ]
}

/// T4, the rest.
fn accounts() -> Vec<Attempt> {
    let other = json!({"accountRef": {"name": "other"}});
    let at = |id, who, namespace, what, spec, no| create(id, who, namespace, what, spec, Layer::Policy, no);
    vec![
        at(
            "T4.16",
            Who::Rob,
            NAMESPACE,
            "`use` by a RoleBinding",
            json!({}),
            No::AtTheDoor("a RoleBinding does not do"),
        ),
        at("T4.17", Who::Alice, NAMESPACE, "the account of another team", other.clone(), NO_USE_OF_OTHER)
            .and(Layer::AllowedNamespaces, No::Condition("NamespaceNotAllowed", "does not allow namespace prod")),
        at("T4.18", Who::Bob, SHOP, "an account, by the owner of a namespace", json!({}), NO_USE)
            .and(Layer::AllowedNamespaces, NOT_IN_SHOP),
        at("T4.19", Who::Star, SHOP, "an account, by `*` in a namespace", other, NO_USE_OF_OTHER)
            .and(Layer::Consent, No::Veiled),
        at(
            "T4.20",
            Who::Alice,
            NAMESPACE,
            "an account that will be there one day",
            json!({"accountRef": {"name": "future"}}),
            No::AtTheDoor("may use ECSAccount future"),
        ),
        create(
            "T4.21",
            Who::Star,
            SHOP,
            "an account that does not serve the namespace",
            json!({}),
            Layer::AllowedNamespaces,
            NOT_IN_SHOP,
        ),
        create(
            "T4.22",
            Who::Alice,
            NAMESPACE,
            "every account",
            json!({"accountRef": {"name": "*"}}),
            Layer::Shape,
            No::AtTheDoor("must be the name of an ECSAccount"),
        ),
        attempt(
            "T4.23",
            Who::Alice,
            "another account for an old object",
            respec("web", &json!({"accountRef": {"name": "other"}})),
            Layer::Shape,
            No::AtTheDoor("must not change"),
        )
        .and(Layer::Policy, NO_USE_OF_OTHER),
        create(
            "T4.24",
            Who::Vera,
            NAMESPACE,
            "a reset by who may only look",
            json!({}),
            Layer::Rights,
            No::AtTheDoor("is forbidden: User"),
        )
        .and(Layer::Policy, NO_USE),
        attempt(
            "T4.25",
            Who::Star,
            "`use` for oneself",
            run(&[
                "create",
                "clusterrolebinding",
                "mine",
                "--clusterrole=ecs-password-reset-use-default",
                "--user=star",
            ]),
            Layer::Rights,
            No::AtTheDoor("is forbidden: User"),
        ),
    ]
}

/// T4, every way to make the controller work on objects of a namespace that the account does not serve, by its owner, who may
/// not use the account either.
fn not_served() -> Vec<Attempt> {
    let edit = |id, what, name: &str, step| {
        attempt(id, Who::Bob, what, step, Layer::Policy, NO_USE)
            .and(Layer::AllowedNamespaces, No::NothingHappens("NamespaceNotAllowed"))
            .told_on(SHOP, name)
    };
    let on = |id, what, name: &str, change: Value| edit(id, what, name, patch(SHOP, "passwordreset", name, &change));
    let asleep = |id, what, spec: Value| on(id, what, "refused-asleep", json!({"spec": spec}));
    let refused = |id, what, spec: Value| on(id, what, "refused", json!({"spec": spec}));
    let annotate = |id, what, annotation: &str, value: &str| {
        let key = format!("ecs.password-reset.dev/{annotation}");
        on(id, what, "refused", json!({"metadata": {"annotations": {key: value}}}))
    };
    let again =
        |run_id: &str| manifests::password_reset(SHOP, "refused", json!({"instanceIDs": [PREY], "runID": run_id}));
    let apply = ["apply", "--server-side", "--force-conflicts", "--filename=-"];
    vec![
        asleep("T4.26", "the brake let go", json!({"suspend": false})),
        asleep("T4.27", "another run once the brake is off", json!({"suspend": null, "runID": "2"})),
        refused("T4.28", "another run", json!({"runID": "2"})),
        refused("T4.29", "another instance", json!({"instanceIDs": [PREY]})),
        annotate("T4.30", "a rerun", "rerun-requested-at", "2026-01-01T00:00:00Z"),
        annotate("T4.31", "a retry", "retry-requested-at", "2026-01-01T00:00:00Z"),
        annotate("T4.32", "a decision about an unknown outcome", "resolve-unknown", "i-nowhere00001/1=Happened"),
        edit("T4.33", "a replacement", "refused", send(&["replace", "--filename=-"], &again("3"))),
        edit("T4.34", "a server-side apply", "refused", send(&apply, &again("4"))),
    ]
}

/// T7.
fn labels() -> Vec<Attempt> {
    let relabel = |label: &str| run(&["label", "--overwrite", "namespace", SHOP, label]);
    let attempt = |id, what, label| {
        create(id, Who::Star, SHOP, what, json!({}), Layer::AllowedNamespaces, NOT_IN_SHOP).after(relabel(label))
    };
    vec![
        attempt("T7.1", "the namespace labelled as another's", "name=prod"),
        attempt("T7.2", "the namespace labelled as served", "ecs.password-reset.dev/account=default"),
        attempt("T7.3", "the namespace labelled as the controller's", "app.kubernetes.io/name=ecs-password-reset"),
    ]
}

/// T8: an agent passes with its own rights, whoever wrote the commit; then the account still knows its namespaces.
fn agent() -> Vec<Attempt> {
    let other = json!({"accountRef": {"name": "other"}});
    vec![
        create("T8.1", Who::Agent, SHOP, "a commit of another team", json!({}), Layer::AllowedNamespaces, NOT_IN_SHOP),
        create(
            "T8.2",
            Who::Agent,
            "gitops",
            "a commit for the agent's namespace",
            json!({}),
            Layer::AllowedNamespaces,
            No::Condition("NamespaceNotAllowed", "gitops"),
        ),
        create(
            "T8.3",
            Who::Agent,
            NAMESPACE,
            "a commit with another's account",
            other.clone(),
            Layer::Policy,
            NO_USE_OF_OTHER,
        )
        .and(Layer::AllowedNamespaces, No::Condition("NamespaceNotAllowed", "prod")),
        create(
            "T8.4",
            Who::Agent,
            SHOP,
            "a commit with an account that is not the agent's",
            other,
            Layer::Policy,
            NO_USE_OF_OTHER,
        )
        .and(Layer::Consent, No::Veiled),
    ]
}
