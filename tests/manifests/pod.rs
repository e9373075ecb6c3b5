//! The controller's pod, by the profile *restricted* of the Pod Security Standards and somewhat beyond.

use ecs_password_reset::settings;
use serde_json::{Value, json};

use super::{objects, strings};

fn deployment() -> Value {
    let deployments: Vec<Value> =
        objects("deploy/base").into_iter().filter(|object| object["kind"] == "Deployment").collect();
    assert_eq!(deployments.len(), 1);
    deployments.into_iter().next().unwrap()
}

/// What a pod template lacks.
pub fn lacks(pod: &Value) -> Vec<&'static str> {
    let security = &pod["securityContext"];
    let mut lacks = Vec::new();
    let mut want = |met: bool, what: &'static str| {
        if !met {
            lacks.push(what);
        }
    };
    want(security["runAsNonRoot"] == true, "runAsNonRoot");
    want(security["runAsUser"].as_u64().is_some_and(|user| user > 0), "runAsUser");
    want(security["seccompProfile"]["type"] == "RuntimeDefault", "seccompProfile");
    want(pod["automountServiceAccountToken"] == false, "automountServiceAccountToken: false");
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        want(pod[field].is_null() || pod[field] == false, "no namespace of the host");
    }
    for container in
        pod["containers"].as_array().unwrap().iter().chain(pod["initContainers"].as_array().into_iter().flatten())
    {
        let security = &container["securityContext"];
        want(security["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation: false");
        want(security["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem");
        want(security["capabilities"]["drop"] == json!(["ALL"]), "drop ALL");
        want(security["capabilities"]["add"].is_null(), "no added capability");
        want(security["privileged"].is_null() || security["privileged"] == false, "not privileged");
        want(container["resources"]["limits"]["memory"].is_string(), "a memory limit");
        let ports = container["ports"].as_array().into_iter().flatten();
        want(ports.into_iter().all(|port| port["hostPort"].is_null()), "no host port");
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        want(
            kinds.into_iter().all(|kind| ["projected", "configMap", "emptyDir", "secret"].contains(&kind.as_str())),
            "no volume of the host",
        );
    }
    lacks
}

#[test]
fn the_pod_is_restricted() {
    let pod = deployment()["spec"]["template"]["spec"].take();
    assert_eq!(lacks(&pod), Vec::<&str>::new());

    // Each wish must be missed where it is not met.
    let breaks: &[(&str, Value)] = &[
        ("/securityContext/runAsNonRoot", json!(false)),
        ("/securityContext/runAsUser", json!(0)),
        ("/securityContext/seccompProfile/type", json!("Unconfined")),
        ("/automountServiceAccountToken", json!(true)),
        ("/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
        ("/containers/0/securityContext/capabilities/drop", json!(["NET_RAW"])),
        ("/containers/0/resources/limits", json!({})),
        ("/volumes/0", json!({"name": "x", "hostPath": {"path": "/"}})),
    ];
    for (place, value) in breaks {
        let mut broken = pod.clone();
        *broken.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not there")) = value.clone();
        assert_eq!(lacks(&broken).len(), 1, "{place}");
    }
}

#[test]
fn the_namespace_lets_only_restricted_pods_in() {
    let objects = objects("deploy/base");
    let namespace = objects.iter().find(|object| object["kind"] == "Namespace").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn rollout_keeps_two_replicas_until_successor_is_ready() {
    let spec = deployment()["spec"].take();
    assert_eq!(spec["replicas"], 2);
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    assert_eq!(spec["strategy"], strategy);
    let pod = &spec["template"]["spec"];
    let spread = &pod["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(spread["whenUnsatisfiable"], "ScheduleAnyway", "a cluster of one node must run both");
    assert_eq!(spread["labelSelector"]["matchLabels"], spec["selector"]["matchLabels"]);
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
}

#[test]
fn pod_has_time_to_finish_and_release_the_lease() {
    let pod = deployment()["spec"]["template"]["spec"].take();
    let kubernetes_default = 30;
    let grace_period = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(kubernetes_default);
    let arguments = strings(&pod["containers"][0]["args"]);
    let settings = settings::parse(["ecs-password-reset"].iter().chain(&arguments)).unwrap();
    assert!(settings.leader_elect, "two replicas");
    // Three tries, each of which reads and writes: see `leader::lease`.
    let release = 3 * settings.election.renew_deadline.as_secs();
    assert!(settings.shutdown_timeout.as_secs() + release < grace_period);
}

#[test]
fn the_process_knows_its_pod_and_namespace() {
    let env = deployment()["spec"]["template"]["spec"]["containers"][0]["env"].take();
    for (variable, field) in [("POD_NAMESPACE", "metadata.namespace"), ("POD_NAME", "metadata.name")] {
        let expected = json!({"name": variable, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}});
        assert!(env.as_array().unwrap().contains(&expected), "{env}");
    }
}

#[test]
fn the_pod_has_its_own_short_lived_token() {
    let pod = deployment()["spec"]["template"]["spec"].take();
    assert_eq!(pod["serviceAccountName"], "ecs-password-reset");
    let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert!(token["expirationSeconds"].as_u64().is_some_and(|seconds| seconds <= 3600), "{token}");
}

#[test]
fn network_policy_keeps_the_pod_from_metadata_service() {
    let policy = objects("deploy/network-policy").remove(0);
    let labels = deployment()["spec"]["template"]["metadata"]["labels"].take();
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let to_anywhere = policy["spec"]["egress"].as_array().unwrap().iter().filter_map(|rule| rule["to"].as_array());
    let blocks: Vec<&Value> = to_anywhere.flatten().map(|peer| &peer["ipBlock"]).collect();
    let v4 = blocks.iter().find(|block| block["cidr"] == "0.0.0.0/0").unwrap();
    assert!(strings(&v4["except"]).contains(&"100.100.100.200/32"), "{v4}");
}

#[test]
fn nothing_that_is_shipped_allows_plain_http_or_short_times() {
    let arguments = deployment()["spec"]["template"]["spec"]["containers"][0].take();
    let flags = strings(&arguments["args"]);
    assert!(!flags.iter().any(|flag| flag.contains("allow-http") || flag.contains("allow-short")), "{flags:?}");
    let env = arguments["env"].to_string();
    assert!(!env.contains("ALLOW_HTTP") && !env.contains("ALLOW_SHORT"), "{env}");
}
