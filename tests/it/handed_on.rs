//! A control plane of the pool is as if it were new, whatever a test did with it: else the tests after it would prove nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{Config, Instance, NAMESPACE, PASSWORD, REGION, SECRET, SYSTEM_NAMESPACE, Setup, World, manifests};

const ID: &str = "i-running1";
const STRAY: &str = "stray";

/// What the API server answers about every kind of object that it serves, but for versions, which go up.
fn served(world: &World) -> Vec<(String, Value)> {
    let kinds = world.kubectl(&["api-resources", "--verbs=list", "--output=name"]);
    let volatile = ["events", "events.events.k8s.io", "leases.coordination.k8s.io"];
    let kinds = kinds.lines().filter(|kind| !volatile.contains(kind)).collect::<Vec<_>>().join(",");
    let list = world.kubectl(&["get", &kinds, "--all-namespaces", "--output=json"]);
    let mut list: Value = serde_json::from_str(&list).unwrap();
    let Value::Array(items) = list["items"].take() else { panic!("a list") };
    let mut items: Vec<_> = items
        .into_iter()
        .map(|mut item| {
            item["metadata"].as_object_mut().unwrap().remove("resourceVersion");
            (format!("{} {} {}", item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]), item)
        })
        .collect();
    items.sort_by(|a, b| a.0.cmp(&b.0));
    items
}

/// What is put back by writes alone.
fn dirty(world: &World) {
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), ID, PASSWORD);
    world.create_namespace(STRAY);
    world.apply(&manifests::secret(STRAY, "one", &json!({"password": "x"})));
    world.apply(&manifests::secret(NAMESPACE, "two", &json!({"password": "x"})));
    world.set_password("Another-Kettle-8");
    world.annotate("web", "retry-requested-at", Some("today"));
    for command in [
        "label namespace prod team=a",
        "create serviceaccount stray --namespace=prod",
        "create configmap stray --namespace=prod --from-literal=a=b",
        "create role stray --namespace=prod --verb=get --resource=secrets",
        "create clusterrolebinding stray --clusterrole=cluster-admin --user=somebody",
        "delete rolebinding ecs-password-reset-secret-reader --namespace=prod",
        "delete secret ecs-credentials --namespace=ecs-password-reset-system",
    ] {
        world.kubectl(&command.split(' ').collect::<Vec<_>>());
    }
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"namespace": SYSTEM_NAMESPACE, "name": "ecs-password-reset"},
        "spec": {"holderIdentity": "nobody"},
    });
    world.apply(&lease);
    let differences = world.control_plane().place().unwrap().differences();
    for key in [
        "/ecs.password-reset.dev/ecsaccounts/default",
        "/ecs.password-reset.dev/passwordresets/prod/web",
        "/ecs.password-reset.dev/resetrecords/ecs-password-reset-system/cn-hangzhou.i-running1",
        "/secrets/ecs-password-reset-system/ecs-password-reset-fingerprint-key",
        "/secrets/ecs-password-reset-system/ecs-credentials",
        "/secrets/prod/root-password",
        "/secrets/prod/two",
        "/secrets/stray/one",
        "/leases/ecs-password-reset-system/ecs-password-reset",
        "/namespaces/prod",
        "/namespaces/stray",
        "/serviceaccounts/prod/stray",
        "/rolebindings/prod/ecs-password-reset-secret-reader",
        "/clusterrolebindings/stray",
    ] {
        assert!(differences.iter().any(|it| it.strip_prefix("/registry") == Some(key)), "{key} in {differences:#?}");
    }
    assert!(differences.iter().any(|key| key.starts_with("/registry/events/prod/")), "{differences:#?}");
}

/// What the API server compiles, serves or counts.
fn ruin(world: &World) {
    for command in [
        "delete validatingadmissionpolicybinding ecs-password-reset-requests",
        "delete validatingadmissionpolicy ecs-password-reset-results",
        "delete crd passwordresets.ecs.password-reset.dev",
        "delete crd ecsaccounts.ecs.password-reset.dev",
        "label crd resetrecords.ecs.password-reset.dev a=b",
        "delete flowschema service-accounts",
        "create priorityclass stray --value=1",
        "create clusterrole stray --verb=get --resource=secrets",
        "delete clusterrole ecs-password-reset-secret-reader view",
        "delete deployment ecs-password-reset --namespace=ecs-password-reset-system",
        "create quota stray --namespace=kube-public --hard=secrets=10",
        "create service nodeport stray --namespace=kube-public --tcp=80:80",
    ] {
        world.kubectl(&command.split(' ').collect::<Vec<_>>());
    }
    let object = |kind: &str, version: &str, spec: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "stray.example.com"}});
        object.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        world.apply(&object);
    };
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]});
    let webhook = json!({
        "name": "stray.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule],
        "failurePolicy": "Fail", "clientConfig": {"url": "https://127.0.0.1:1/"},
    });
    let admission = "admissionregistration.k8s.io/v1";
    object("ValidatingWebhookConfiguration", admission, json!({"webhooks": [webhook]}));
    object("MutatingWebhookConfiguration", admission, json!({"webhooks": [webhook]}));
}

/// Accounts, one of which is made again by a controller.
fn disown(world: &World) {
    world.kubectl(&["delete", "serviceaccount", "ecs-password-reset", "default", "--namespace", SYSTEM_NAMESPACE]);
}

/// Namespaces that are being emptied, and would be for ever.
fn empty(world: &World) {
    let stay = json!({"metadata": {"finalizers": ["example.com/stay"]}}).to_string();
    world.create_namespace(STRAY);
    world.kubectl(&["patch", "secret", SECRET, "--namespace=prod", "--type=merge", "--patch", &stay]);
    world.kubectl(&["delete", "namespace", NAMESPACE, STRAY, "--wait=false"]);
}

#[test]
fn a_control_plane_that_is_handed_on_is_as_new() {
    let ecs = Config { instances: vec![Instance::running(ID, REGION)], ..Config::default() };
    let mut world = World::without_controller(Setup { ecs, ..Setup::default() });
    let reset = |world: &World, restarts: bool| {
        let said = world.control_plane().place().unwrap().reset().unwrap();
        assert_eq!(said.contains("restarted"), restarts, "{said}");
        (world.control_plane().etcd_contents(), served(world))
    };
    let new = reset(&world, false);
    assert!(!new.0.is_empty() && new.1.iter().any(|(name, _)| name.contains(SECRET)), "{:#?}", new.1);
    for (change, restarts) in [(dirty as fn(&World), false), (ruin, true), (disown, true), (empty, true)] {
        world.apply(&world.account());
        // The token is good for the ServiceAccount as it was, and is so again.
        world.start_controller();
        world.wait_for_account("Ready");
        change(&world);
        world.kill_controller();
        let again = reset(&world, restarts);
        let all: BTreeSet<_> = new.0.keys().chain(again.0.keys()).collect();
        let differ: Vec<_> = all.into_iter().filter(|key| new.0.get(*key) != again.0.get(*key)).collect();
        assert!(differ.is_empty(), "{differ:#?}");
        assert_eq!(new.1, again.1);
        // The policies are in force, too.
        let mut wrong = manifests::password_reset(NAMESPACE, "web", json!({"instanceIDs": [ID]}));
        wrong["metadata"]["annotations"] = json!({"ecs.password-reset.dev/unknown": "key"});
        let refusal = world.try_apply(&wrong).unwrap_err();
        assert!(refusal.contains("ecs-password-reset-requests"), "{refusal}");
    }
}
