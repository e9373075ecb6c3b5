//! The fields of a kind, by its CRD.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{cell, documents, note, strings};

/// A page for the kind of this plural.
pub fn page(plural: &str) -> String {
    let source = format!("crds/ecs.password-reset.dev_{plural}.yaml");
    let crd = documents(&source).remove(0);
    let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut page = note(&format!("`{source}`"));
    let kind = names["kind"].as_str().unwrap();
    let _ = writeln!(page, "# {kind}\n\n{}\n", paragraph(schema));
    let _ = writeln!(page, "| | |\n|---|---|");
    let _ = writeln!(
        page,
        "| apiVersion | `{}/{}` |",
        crd["spec"]["group"].as_str().unwrap(),
        version["name"].as_str().unwrap()
    );
    let _ = writeln!(page, "| scope | {} |", crd["spec"]["scope"].as_str().unwrap());
    let _ = writeln!(page, "| short name | `{}` |", strings(&names["shortNames"]).join("`, `"));
    let selectable: Vec<&str> = version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["jsonPath"].as_str())
        .map(|it| it.trim_start_matches('.'))
        .collect();
    if !selectable.is_empty() {
        let _ = writeln!(page, "| field selectors | `{}` |", selectable.join("`, `"));
    }
    let _ = writeln!(
        page,
        "\n`kubectl explain {plural}` shows the same. A field that is absent has the value that its text names."
    );
    for part in ["spec", "status"] {
        if let Some(schema) = schema["properties"].get(part) {
            object(&mut page, part, schema);
        }
    }
    page
}

/// A table of an object's fields, then one for each object in it.
fn object(page: &mut String, path: &str, schema: &Value) {
    let empty = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&empty);
    let _ = writeln!(page, "\n## `{path}`\n\n{}\n", paragraph(schema));
    rules(page, schema);
    let _ = writeln!(page, "| field | type | what it is |\n|---|---|---|");
    let required = strings(&schema["required"]);
    let mut inner = Vec::new();
    for (name, field) in fields {
        let must = if required.contains(&name.as_str()) { ", required" } else { "" };
        let text = [paragraph(field), bounds(field), values(field)].concat();
        let _ = writeln!(page, "| `{name}` | {}{must} | {} |", kind(field), cell(&text));
        if field["properties"].is_object() {
            inner.push((format!("{path}.{name}"), field));
        } else if field["items"]["properties"].is_object() {
            inner.push((format!("{path}.{name}[]"), &field["items"]));
        }
    }
    for (path, schema) in inner {
        // Kubernetes' own type, the same everywhere.
        if !path.ends_with(".conditions[]") {
            object(page, &path, schema);
        }
    }
}

fn paragraph(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().trim().to_owned()
}

/// Rules over a whole object.
fn rules(page: &mut String, schema: &Value) {
    let rules = messages(schema);
    if !rules.is_empty() {
        let _ = writeln!(page, "It {}.\n", rules.join("; it "));
    }
}

fn messages(schema: &Value) -> Vec<&str> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str()).map(str::trim).collect()
}

fn kind(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map of {}", kind(&field["additionalProperties"]))
        }
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    }
}

/// What the schema refuses, where its text does not say so.
fn bounds(field: &Value) -> String {
    let mut said = String::new();
    let scalar = field["properties"].is_null();
    if scalar && !messages(field).is_empty() {
        let _ = write!(said, " It {}.", messages(field).join("; it "));
    }
    if let Some(length) = field["maxLength"].as_u64() {
        let _ = write!(said, " At most {length} characters.");
    }
    said
}

fn values(field: &Value) -> String {
    let values = strings(&field["enum"]);
    if values.is_empty() { String::new() } else { format!(" One of `{}`.", values.join("`, `")) }
}
