//! The rights that the installation gives, by deploy/base.

use std::fmt::Write as _;

use serde_json::Value;

use super::{documents, note, strings};

/// The files that hold roles, and to whom each role goes.
const FILES: [&str; 4] = ["rbac.yaml", "secret_reader.yaml", "user_roles.yaml", "account_use.yaml"];

/// The page.
pub fn page() -> String {
    let all: Vec<Value> = FILES.iter().flat_map(|file| documents(&format!("deploy/base/{file}"))).collect();
    let mut page = note("`deploy/base`");
    page.push_str("# Rights\n\nEvery Role and ClusterRole that the installation makes, and to whom it is bound.\n");
    page.push_str("[Security](../SECURITY.md#giving-rights-to-tenants) says who should hold which.\n");
    for role in all.iter().filter(|it| is(it, "Role") || is(it, "ClusterRole")) {
        let (kind, name) = (role["kind"].as_str().unwrap(), role["metadata"]["name"].as_str().unwrap());
        let place = role["metadata"]["namespace"].as_str().map_or(String::new(), |it| format!(" in `{it}`"));
        let _ = writeln!(page, "\n## {kind} `{name}`{place}\n\n{}\n", bound(&all, role));
        page.push_str("| API group | resource | names | verbs |\n|---|---|---|---|\n");
        for rule in role["rules"].as_array().unwrap() {
            let list =
                |field: &str| strings(&rule[field]).iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            let group = list("apiGroups").replace("``", "core");
            let names = if rule["resourceNames"].is_null() { "all".to_owned() } else { list("resourceNames") };
            let _ = writeln!(page, "| {group} | {} | {names} | {} |", list("resources"), list("verbs"));
        }
    }
    page
}

fn is(object: &Value, kind: &str) -> bool {
    object["kind"] == kind
}

fn bound(all: &[Value], role: &Value) -> String {
    let labels = role["metadata"]["labels"].as_object();
    if let Some(label) = labels.into_iter().flatten().find_map(|(key, _)| key.split_once("aggregate-to-")) {
        return format!("Part of Kubernetes' own ClusterRole `{}`.", label.1);
    }
    let of = |binding: &&Value| {
        binding["roleRef"]["name"] == role["metadata"]["name"]
            && binding["roleRef"]["kind"] == role["kind"]
            && (is(role, "ClusterRole") || binding["metadata"]["namespace"] == role["metadata"]["namespace"])
    };
    match all.iter().find(of) {
        Some(binding) => {
            let subject = &binding["subjects"][0];
            let (kind, name) = (subject["kind"].as_str().unwrap(), subject["name"].as_str().unwrap());
            format!("Bound by a {} to the {kind} `{name}`.", binding["kind"].as_str().unwrap())
        }
        None => "Bound to nobody: an administrator binds it.".to_owned(),
    }
}
