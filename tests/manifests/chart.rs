//! The chart, as helm renders it without a cluster: with its default values it is `deploy/base`, no value widens the rights or
//! opens the pod, and what would do harm is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{objects, pod, project};

const NAMESPACE: &str = "ecs-password-reset-system";

/// Sets of values beside the defaults, each as `--set` takes them.
const VARIANTS: &[&str] = &[
    "image.repository=registry.example.com/x/ecs-password-reset",
    "leaderElect=false,replicaCount=1",
    "replicaCount=null",
    "crds.enabled=false",
    "crds.keep=false",
    "serviceAccount.annotations.a=b,commonLabels.a=b,podLabels.a=b,podAnnotations.a=b",
    "ecsCA.configMap=ca,proxy.httpsProxy=http://proxy:3128,proxy.noProxy=10.0.0.0/8",
    "clusterName=c,log.filter=info,log.format=text,extraArgs={--concurrency=4},extraEnv[0].name=A,extraEnv[0].value=b",
    "networkPolicy.enabled=true,networkPolicy.metadataService=true,networkPolicy.extraPorts={8443}",
    "podDisruptionBudget.enabled=true",
    "metrics.podMonitor.enabled=true",
    "metrics.serviceMonitor.enabled=true",
    "metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true",
    "aggregateRoles.enabled=false,accountUse.default.enabled=false",
    "priorityClassName=p,imagePullSecrets[0].name=s,tolerations[0].operator=Exists,resources.limits.cpu=2",
];

pub fn helm() -> PathBuf {
    std::env::var_os("HELM").map_or_else(|| panic!("HELM is not set: run `make test`"), PathBuf::from)
}

/// What `helm template` prints, or why it does not.
fn template(values: &str) -> Result<Vec<Value>, String> {
    let mut command = Command::new(helm());
    command.args(["template", "ecs-password-reset"]).arg(project("deploy/chart")).args(["--namespace", NAMESPACE]);
    let output = command.args(["--set", values]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text(&output.stdout)).unwrap();
    Ok(documents.into_iter().filter(|it| !it.is_null()).collect())
}

/// What `kubectl kustomize` prints for a directory.
fn kustomize(directory: &str) -> Vec<Value> {
    let kubectl = std::env::var_os("KUBECTL").expect("KUBECTL is not set: run `make test`");
    let output = Command::new(kubectl).arg("kustomize").arg(project(directory)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// By kind and name; each of them once.
fn by_name(objects: Vec<Value>) -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for object in objects {
        let key = (object["kind"].to_string(), object["metadata"]["name"].to_string());
        assert!(all.insert(key.clone(), object).is_none(), "{key:?} is there twice");
    }
    all
}

/// Without what only Helm puts on an object. The label by which kustomize marks the objects stays.
fn without_marks_of_helm(mut object: Value) -> Value {
    let own = ["app.kubernetes.io/managed-by", "app.kubernetes.io/version", "app.kubernetes.io/instance"];
    for part in ["labels", "annotations"] {
        if let Some(map) = object["metadata"][part].as_object_mut() {
            map.retain(|key, _| !key.starts_with("helm.sh/") && !own.contains(&key.as_str()));
            if map.is_empty() {
                object["metadata"].as_object_mut().unwrap().remove(part);
            }
        } else if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove(part);
        }
    }
    object
}

#[test]
fn chart_with_default_values_equals_the_base() {
    let mut base = by_name(kustomize("deploy/base"));
    // Helm makes no namespace: NOTES.txt says how to label it.
    base.retain(|(kind, _), _| kind != "\"Namespace\"");
    let chart = by_name(template("replicaCount=2").unwrap());
    assert_eq!(chart.keys().collect::<Vec<_>>(), base.keys().collect::<Vec<_>>());
    for (key, object) in chart {
        assert_eq!(without_marks_of_helm(object), without_marks_of_helm(base[&key].clone()), "{key:?}");
    }
}

#[test]
fn chart_network_policy_equals_the_one_for_kustomize() {
    let chart = by_name(template("networkPolicy.enabled=true").unwrap());
    let policy = &chart[&("\"NetworkPolicy\"".to_owned(), "\"ecs-password-reset\"".to_owned())];
    assert_eq!(policy["spec"], objects("deploy/network-policy").remove(0)["spec"]);
}

#[test]
fn chart_monitoring_equals_the_one_for_kustomize() {
    let values = "metrics.podMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true";
    let chart = by_name(template(values).unwrap());
    for (key, object) in by_name(kustomize("deploy/monitoring")) {
        assert_eq!(without_marks_of_helm(chart[&key].clone()), without_marks_of_helm(object), "{key:?}");
    }
    let chart = by_name(template("metrics.serviceMonitor.enabled=true").unwrap());
    for (key, object) in by_name(kustomize("deploy/monitoring/service-monitor")) {
        assert_eq!(without_marks_of_helm(chart[&key].clone()), without_marks_of_helm(object), "{key:?}");
    }
}

#[test]
fn chart_carries_its_sources_byte_for_byte() {
    let read = |path: &str| std::fs::read_to_string(project(path)).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(project("crds")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "kustomization.yaml" {
            let path = format!("deploy/chart/files/crds/{name}");
            assert!(read(&path) == read(&format!("crds/{name}")), "{path} is old: run `make manifests`");
            count += 1;
        }
    }
    assert_eq!(std::fs::read_dir(project("deploy/chart/files/crds")).unwrap().count(), count);
    for (name, source) in [
        ("policies.yaml", "deploy/base"),
        ("prometheus_rule.yaml", "deploy/monitoring"),
        ("dashboard.json", "deploy/monitoring"),
    ] {
        let fresh = read(&format!("deploy/chart/files/{name}")) == read(&format!("{source}/{name}"));
        assert!(fresh, "{name} is old: run `make manifests`");
    }
}

#[test]
fn no_value_widens_rights_or_opens_the_pod() {
    let rights = |objects: &[Value]| {
        let all = objects.iter().filter(|it| it["rules"].is_array() || it["roleRef"].is_object());
        all.map(|it| json!([it["kind"], it["metadata"]["name"], it["rules"], it["roleRef"], it["subjects"]]))
            .collect::<Vec<_>>()
    };
    let default = rights(&template("replicaCount=2").unwrap());
    assert!(default.len() >= 8, "{default:#?}");
    for values in VARIANTS {
        let objects = template(values).unwrap_or_else(|error| panic!("{values}: {error}"));
        for right in rights(&objects) {
            assert!(default.contains(&right), "{values}: {right:#}");
        }
        let deployment = objects.iter().find(|it| it["kind"] == "Deployment").unwrap();
        let template = &deployment["spec"]["template"];
        assert_eq!(pod::lacks(&template["spec"]), Vec::<&str>::new(), "{values}");
        assert_eq!(template["spec"]["securityContext"]["runAsUser"], 65532);
        for (label, value) in deployment["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&template["metadata"]["labels"][label], value, "{values}");
        }
        let keeps_secret = objects.iter().filter(|it| it["kind"] == "Secret").all(|it| it["data"].is_null());
        assert!(keeps_secret, "{values}: the fingerprint key must ship empty");
        assert_eq!(
            objects.iter().filter(|it| it["spec"]["validationActions"] == json!(["Deny"])).count(),
            2,
            "{values}"
        );
    }
}

#[test]
fn crds_are_kept_unless_the_values_say_otherwise() {
    for (values, kept, count) in
        [("replicaCount=2", true, 3), ("crds.keep=false", false, 3), ("crds.enabled=false", false, 0)]
    {
        let objects = template(values).unwrap();
        let crds: Vec<_> = objects.iter().filter(|it| it["kind"] == "CustomResourceDefinition").collect();
        assert_eq!(crds.len(), count, "{values}");
        for crd in crds {
            assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", kept, "{values}");
        }
    }
}

#[test]
fn values_that_are_unknown_or_do_harm_are_refused() {
    for (values, complaint) in [
        ("replicacount=1", "additional properties 'replicacount' not allowed"),
        ("image.tga=1", "additional properties 'tga' not allowed"),
        ("crds.kept=true", "additional properties 'kept' not allowed"),
        ("metrics.podMonitor.on=true", "additional properties 'on' not allowed"),
        ("image.digest=latest", "'/image/digest'"),
        ("log.format=yaml", "'/log/format'"),
        ("leaderElect=false", "replicaCount must be 1"),
        ("leaderElect=false,replicaCount=null", "replicaCount must be 1"),
        ("extraArgs={--leader-elect=false}", "'/extraArgs/0'"),
        ("extraArgs={--namespace=other}", "'/extraArgs/0'"),
        ("extraEnv[0].name=POD_NAMESPACE", "'/extraEnv/0/name'"),
        ("extraEnv[0].name=ECS_PASSWORD_RESET_LEADER_ELECT", "'/extraEnv/0/name'"),
        ("podLabels.app\\.kubernetes\\.io/name=other", "invalid propertyName"),
        ("metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true", "choose one"),
    ] {
        let error = template(values).expect_err(values);
        assert!(error.contains(complaint), "{values}: {error}");
    }
    // A value that a parent chart hands down is not a mistake.
    template("global.registry=r").unwrap();
}

#[test]
fn chart_has_the_version_of_the_controller() {
    let text = std::fs::read_to_string(project("deploy/chart/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&text).unwrap();
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
    // Its image is that of deploy/base, as another test says; `make deploy` has a default of its own.
    let default = concat!("\nIMG ?= ecs-password-reset:", env!("CARGO_PKG_VERSION"), "\n");
    assert!(
        std::fs::read_to_string(project("Makefile")).unwrap().contains(default),
        "the Makefile's IMG is of another version"
    );
}
