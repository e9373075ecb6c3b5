//! T3, T8, T10: machines that the account's `rules` keep from a namespace, asked for by tenants, owners of namespaces and an
//! agent; and what they learn of them. The rules of `shared` bind `prod` to the tag `team: web` and `shop` to `team: shop`.

use serde_json::{Value, json};

use crate::attempt::{Attempt, Layer, No, Step, attempt, create, patch, respec, run, send};
use crate::common::{NAMESPACE, manifests};
use crate::people::{BLIND, BUSY, GITOPS, OURS, PREY, SHARED, SHOP, THEIRS, Who};
use crate::settle::{BARE, FAR, FAR_REGION, HIDDEN, NEAR};

const NO_USE: No = No::AtTheDoor("must come from a user who may use ECSAccount shared");
const NO_SECRET: No = No::AtTheDoor("must come from a user who may get Secret root-password in namespace prod");
const FORBIDDEN: No = No::AtTheDoor("is forbidden: User");
const MUST: No = No::AtTheDoor("must be an ECS instance ID");
const NOT_IN_GITOPS: No = No::Condition("NamespaceNotAllowed", "does not allow namespace gitops");
const NOT_THERE: No = No::Condition("RegionNotAllowed", FAR_REGION);
const VEILED: (Layer, No) = (Layer::Consent, No::Veiled);
const CLOUD: (Layer, No) = (Layer::Cloud, No::Condition("NotPermitted", "Forbidden.RAM"));

pub fn attempts() -> Vec<Attempt> {
    [machines(), edits(), guarded(), agent(), told()].into_iter().flatten().collect()
}

/// An object of the attempt's own that names machines through `shared`, with `more` in its spec. The layers come as they
/// are met.
fn ask(
    id: &'static str,
    who: Who,
    namespace: &'static str,
    what: &'static str,
    machines: &[&str],
    more: &Value,
    layers: &[(Layer, No)],
) -> Attempt {
    let mut spec = json!({"instanceIDs": machines, "accountRef": {"name": SHARED}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let ((layer, no), others) = layers.split_first().expect("a layer");
    let attempt = create(id, who, namespace, what, spec, *layer, *no);
    others.iter().fold(attempt, |attempt, (layer, no)| attempt.and(*layer, *no))
}

/// T3, new objects.
fn machines() -> Vec<Attempt> {
    let none = json!({});
    let alice = |id, what, machines: &[&str]| ask(id, Who::Alice, NAMESPACE, what, machines, &none, &[VEILED]);
    let both = |id, who, namespace, what, machine| ask(id, who, namespace, what, &[machine], &none, &[VEILED, CLOUD]);
    let far = json!({"regionID": FAR_REGION});
    let far =
        |id, what, machine, layers: &[(Layer, No)]| ask(id, Who::Alice, NAMESPACE, what, &[machine], &far, layers);
    vec![
        alice("T3.1", "an id that may be somebody's", &["i-guessed00001"]),
        both("T3.2", Who::Alice, NAMESPACE, "a machine with the tag of another team", THEIRS),
        both("T3.3", Who::Alice, NAMESPACE, "a machine without the tag", BARE),
        both("T3.4", Who::Star, SHOP, "a machine that a rule gives to another namespace", PREY),
        alice(
            "T3.5",
            "tags that nearly fit: by case, key, blank, more, half of them; and another cloud account",
            &NEAR,
        ),
        alice("T3.6", "one's own and a machine of others", &[OURS[1], THEIRS]).with_own(),
        alice("T3.7", "a machine that its owner restarts now", &[BUSY]),
        labelled(),
        both("T3.9", Who::Star, SHOP, "the tag as a label of the namespace", PREY).after(run(&[
            "label",
            "--overwrite",
            "namespace",
            SHOP,
            "team=web",
        ])),
        far("T3.10", "one's own in a region that is not served", FAR[0], &[(Layer::AllowedNamespaces, NOT_THERE)]),
        far("T3.11", "a machine of others there", FAR[1], &[(Layer::AllowedNamespaces, NOT_THERE), VEILED]),
    ]
}

/// Tags are those that ECS shows.
fn labelled() -> Attempt {
    let spec = json!({"instanceIDs": [THEIRS], "accountRef": {"name": SHARED}});
    let mut object = manifests::password_reset(NAMESPACE, "t3-8", spec);
    object["metadata"]["labels"] = json!({"team": "web"});
    object["metadata"]["annotations"] = json!({"team": "web"});
    let create = send(&["create", "--filename=-"], &object);
    attempt("T3.8", Who::Alice, "the tag as a label of the object", create, VEILED.0, VEILED.1)
        .and(CLOUD.0, CLOUD.1)
        .told_on(NAMESPACE, "t3-8")
}

/// The list of `ours`, which was done before, by a user who may edit it.
fn list(machines: &[&str]) -> Step {
    respec("ours", &json!({"instanceIDs": machines}))
}

/// T3, objects that were let through before.
fn edits() -> Vec<Attempt> {
    let on_ours =
        |id, what, step| attempt(id, Who::Alice, what, step, Layer::Consent, No::Veiled).told_on(NAMESPACE, "ours");
    let annotate = |annotation: &str| {
        let key = format!("ecs.password-reset.dev/{annotation}");
        patch(NAMESPACE, "passwordreset", "ours", &json!({"metadata": {"annotations": {key: "now"}}}))
    };
    let asleep = json!({"suspend": true});
    vec![
        on_ours("T3.12", "a machine of others in a list that is done", list(&[OURS[0], THEIRS])),
        on_ours("T3.13", "a retry", annotate("retry-requested-at")),
        on_ours("T3.14", "a machine of others instead of one's own", list(&[THEIRS])),
        on_ours("T3.15", "a rerun", annotate("rerun-requested-at")),
        ask("T3.16", Who::Alice, NAMESPACE, "the brake let go", &[THEIRS], &asleep, &[VEILED, CLOUD])
            .then(respec("t3-16", &json!({"suspend": false}))),
    ]
}

/// T3, where another layer comes before the rules.
fn guarded() -> Vec<Attempt> {
    let none = json!({});
    let ask = |id, who, namespace, what, machine, layer, no| {
        ask(id, who, namespace, what, &[machine], &none, &[(layer, no), VEILED])
    };
    let shape = |id, what, machine| ask(id, Who::Alice, NAMESPACE, what, machine, Layer::Shape, MUST);
    vec![
        ask("T3.17", Who::Eve, NAMESPACE, "by who may not use the account", THEIRS, Layer::Policy, NO_USE),
        ask("T3.18", Who::Ned, NAMESPACE, "by who may not read the Secret", THEIRS, Layer::Policy, NO_SECRET),
        ask("T3.19", Who::Bob, SHOP, "by the owner of a namespace without `use`", PREY, Layer::Policy, NO_USE),
        ask("T3.20", Who::Alice, SHOP, "from another team's namespace", PREY, Layer::Rights, FORBIDDEN),
        shape("T3.21", "every machine", "i-*"),
        shape("T3.22", "two ids in one", "i-ours0000001\",\"i-theirs00001"),
    ]
}

/// T8: an agent may use the account for every tenant. The rules still know whose commit it is for.
fn agent() -> Vec<Attempt> {
    let none = json!({});
    let ask = |id, namespace, what, machines: &[&str], layers: &[(Layer, No)]| {
        ask(id, Who::Agent, namespace, what, machines, &none, layers)
    };
    let not_served = [(Layer::AllowedNamespaces, NOT_IN_GITOPS), VEILED];
    vec![
        ask("T8.5", NAMESPACE, "a commit for `prod` that names a machine of `shop`", &[THEIRS], &[VEILED, CLOUD]),
        ask("T8.6", SHOP, "a commit for `shop` that names a machine of `prod`", &[PREY], &[VEILED, CLOUD]),
        ask("T8.7", GITOPS, "a commit for the agent's own namespace", &[PREY], &not_served),
        ask("T8.8", GITOPS, "the same, with machines of everybody", &[BARE, PREY, THEIRS], &not_served),
        attempt("T8.9", Who::Agent, "a commit that changes a tenant's list", list(&[BARE, THEIRS]), VEILED.0, VEILED.1)
            .told_on(NAMESPACE, "ours"),
    ]
}

/// T10: what is read of a machine of others, by who asks for it and by who looks on.
fn told() -> Vec<Attempt> {
    let alike = |id, who, namespace, what, machine, account| {
        let more = json!({"stableStateTimeoutSeconds": 1, "accountRef": {"name": account}});
        ask(id, who, namespace, what, &[machine], &more, &[(Layer::Consent, No::Alike)])
    };
    let look = run(&["get", "passwordresets,events", "--namespace", NAMESPACE, "--output=yaml"]);
    vec![
        alike("T10.5", Who::Alice, NAMESPACE, "a machine that has much to tell", HIDDEN, SHARED),
        alike("T10.6", Who::Agent, SHOP, "the same, by a commit", HIDDEN, SHARED),
        alike("T10.7", Who::Alice, NAMESPACE, "a machine that its owner restarts now", BUSY, SHARED),
        alike("T10.8", Who::Alice, NAMESPACE, "an account that may not see any", "i-nowhere00002", BLIND),
        attempt("T10.9", Who::Vera, "everything that was told in the namespace", look, Layer::Consent, No::Silence),
    ]
}
