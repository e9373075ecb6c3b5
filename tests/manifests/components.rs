//! deploy/components, as `kubectl kustomize` builds them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Builds a kustomization that has the Component, or not.
fn build(name: &str, components: &str) -> Vec<Value> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let kustomization = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: prod\nresources: [reset.yaml]\n\
         secretGenerator:\n- name: web-root-password\n  literals: [password=Blue-Kettle-7]\n{components}"
    );
    let reset = "apiVersion: ecs.password-reset.dev/v1alpha1\nkind: PasswordReset\nmetadata: {name: web-root}\n\
                 spec: {regionID: cn-hangzhou, passwordSecretRef: {name: web-root-password}}\n";
    std::fs::write(dir.join("kustomization.yaml"), kustomization).unwrap();
    std::fs::write(dir.join("reset.yaml"), reset).unwrap();
    let kubectl = std::env::var_os("KUBECTL").expect("KUBECTL is not set: run `make test`");
    let output = Command::new(kubectl).arg("kustomize").arg(&dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// The name of the generated Secret, and the one that the reset names.
fn names(objects: &[Value]) -> (&str, &str) {
    let of = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
    let (secret, reset) = (of("Secret"), of("PasswordReset"));
    (secret["metadata"]["name"].as_str().unwrap(), reset["spec"]["passwordSecretRef"]["name"].as_str().unwrap())
}

#[test]
fn reset_names_the_generated_secret_with_the_component() {
    let relative = way_to_the_project(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("component"));
    let objects = build("component", &format!("components: [{relative}/deploy/components/secret-names]\n"));
    let (secret, named) = names(&objects);
    assert!(secret.starts_with("web-root-password-"), "{secret}");
    assert_eq!(named, secret);
}

#[test]
fn reset_misses_the_generated_secret_without_the_component() {
    let objects = build("no-component", "");
    let (secret, named) = names(&objects);
    assert_ne!(named, secret, "kustomize follows the reference by itself: the Component is not needed any more");
}

/// The way from a folder to the project, as kustomize wants it.
fn way_to_the_project(from: &Path) -> String {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = from.components().zip(project.components()).take_while(|(a, b)| a == b).count();
    let up = vec![".."; from.components().count() - shared].join("/");
    let down: Vec<&str> = project.components().skip(shared).map(|it| it.as_os_str().to_str().unwrap()).collect();
    if down.is_empty() { up } else { format!("{up}/{}", down.join("/")) }
}
