//! The committed YAML: the CRDs are what the Rust types say and keep the rules of the API, the rights of the
//! controller are the few that it needs, and its pod is restricted. `installed` asks a real API server the same things.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

mod chart;
#[path = "../common/mod.rs"]
mod common;
mod components;
mod helm;
mod installed;
mod pod;
mod rights;
mod schema;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A path of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All objects of the YAML files of a directory, kustomizations left out.
fn objects(directory: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(project(directory)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "yaml") && !path.ends_with("kustomization.yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            objects.extend(documents);
        }
    }
    assert!(!objects.is_empty(), "{directory} holds no objects");
    objects
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_base_installs_every_file_that_lies_in_it() {
    let text = std::fs::read_to_string(project("deploy/base/kustomization.yaml")).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    let installed = strings(&kustomization["resources"]);
    for entry in std::fs::read_dir(project("deploy/base")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "kustomization.yaml" || installed.contains(&name.as_str()),
            "deploy/base/{name} is not installed"
        );
    }
}

#[test]
fn each_metric_is_in_a_panel_of_the_dashboard() {
    let read = |path| std::fs::read_to_string(project(path)).unwrap();
    let (page, dashboard) = (read("docs/reference/metrics.md"), read("deploy/monitoring/dashboard.json"));
    let metrics: Vec<&str> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    assert!(metrics.len() > 10, "docs/reference/metrics.md was not understood");
    let missing: Vec<_> = metrics.into_iter().filter(|metric| !dashboard.contains(metric)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
