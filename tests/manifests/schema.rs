//! The CRDs: generated, and by the rules that `src/api` follows.

use std::process::Command;

use serde_json::{Value, json};

use super::{objects, project, strings};

/// What users write. `ResetRecord` is the controller's own: nobody's input.
const USER_KINDS: &[&str] = &["PasswordReset", "ECSAccount"];

/// A field of a schema with its path, such as `PasswordReset.spec.restart.policy`; `[]` means the items of a list.
struct Field<'a> {
    path: String,
    schema: &'a Value,
    required: bool,
}

fn crd(kind: &str) -> Value {
    let crds = objects("crds");
    crds.into_iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap_or_else(|| panic!("no CRD of {kind}"))
}

fn version(crd: &Value) -> &Value {
    assert_eq!(crd["spec"]["versions"].as_array().unwrap().len(), 1);
    &crd["spec"]["versions"][0]
}

/// Every field below one part of an object, the part itself first.
fn fields<'a>(crd: &'a Value, part: &str) -> Vec<Field<'a>> {
    let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
    let schema = &version(crd)["schema"]["openAPIV3Schema"]["properties"][part];
    let mut found = Vec::new();
    descend(format!("{kind}.{part}"), schema, true, &mut found);
    assert!(found.len() > 3, "{kind} has no {part} to speak of");
    found
}

fn descend<'a>(path: String, schema: &'a Value, required: bool, found: &mut Vec<Field<'a>>) {
    let names_required = strings(&schema["required"]);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        descend(format!("{path}.{name}"), child, names_required.contains(&name.as_str()), found);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            descend(format!("{path}{mark}"), &schema[key], true, found);
        }
    }
    found.push(Field { path, schema, required });
}

/// Holds a rule against every field of the specs that users write. The rule must flag `broken` first.
fn enforce(rule: fn(&Field) -> bool, what: &str, broken: &Value) {
    let field = Field { path: "broken".to_owned(), schema: broken, required: false };
    assert!(!rule(&field), "the rule does not see what is wrong with {broken}");
    for kind in USER_KINDS {
        for field in fields(&crd(kind), "spec") {
            assert!(rule(&field), "{} {what}: {:#}", field.path, field.schema);
        }
    }
}

/// Every value under `key` at any depth of a document.
fn all_under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(key));
            object.values().for_each(|child| all_under(child, key, found));
        }
        Value::Array(items) => items.iter().for_each(|child| all_under(child, key, found)),
        _ => {}
    }
}

#[test]
fn the_committed_crds_are_what_crdgen_prints() {
    let fresh = tempdir("crdgen");
    let status = Command::new(env!("CARGO_BIN_EXE_crdgen")).arg(&fresh).status().unwrap();
    assert!(status.success());
    let mut names: Vec<_> = std::fs::read_dir(&fresh).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 3);
    for name in names {
        let committed = std::fs::read_to_string(project("crds").join(&name)).unwrap();
        let printed = std::fs::read_to_string(fresh.join(&name)).unwrap();
        let same = committed == printed;
        assert!(same, "crds/{} is not what the Rust types say: run `make manifests`", name.display());
    }
    std::fs::remove_dir_all(fresh).unwrap();
}

fn tempdir(name: &str) -> std::path::PathBuf {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn a_spec_has_no_default_which_would_be_drift() {
    let rule = |field: &Field| field.schema["default"].is_null();
    enforce(rule, "has a default", &json!({"type": "integer", "default": 1}));
}

#[test]
fn nothing_is_nullable_and_no_pattern_speaks_for_cel() {
    for crd in objects("crds") {
        for key in ["nullable", "pattern"] {
            let mut found = Vec::new();
            all_under(&crd["spec"]["versions"], key, &mut found);
            assert!(found.is_empty(), "{} has {key}: {found:?}", crd["metadata"]["name"]);
        }
    }
    let (deep, mut found) = (json!({"items": [{"pattern": "^a$"}]}), Vec::new());
    all_under(&deep, "pattern", &mut found);
    assert_eq!(found.len(), 1, "the search must find what lies deep");
}

#[test]
fn lists_and_maps_of_a_spec_are_bounded_not_empty_and_atomic() {
    let rule = |field: &Field| {
        let schema = field.schema;
        let bounded = |min: &str, max: &str| {
            schema[min].as_u64().is_some_and(|n| n >= 1) && schema[max].as_u64().is_some_and(|n| n <= 256)
        };
        let atomic = |key: &str| schema[key].is_null() || schema[key] == "atomic";
        match schema["type"].as_str() {
            // A CRD's lists are atomic unless they say otherwise.
            Some("array") => bounded("minItems", "maxItems") && atomic("x-kubernetes-list-type"),
            Some("object") if schema["additionalProperties"].is_object() => {
                bounded("minProperties", "maxProperties") && schema["x-kubernetes-map-type"] == "atomic"
            }
            _ => true,
        }
    };
    enforce(rule, "is open", &json!({"type": "array", "maxItems": 10, "items": {"type": "integer"}}));
    enforce(rule, "is open", &json!({"type": "array", "minItems": 1, "items": {"type": "integer"}}));
    enforce(rule, "is open", &json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let set = json!({"type": "array", "minItems": 1, "maxItems": 10, "x-kubernetes-list-type": "set"});
    enforce(rule, "is not atomic", &set);
}

#[test]
fn strings_of_a_spec_have_a_length_or_are_one_of_a_few() {
    let rule = |field: &Field| {
        let schema = field.schema;
        schema["type"] != "string"
            || schema["maxLength"].is_u64()
            || schema["enum"].is_array()
            || schema["format"] == "date-time"
    };
    enforce(rule, "has no bound", &json!({"type": "string"}));
}

#[test]
fn numbers_of_a_spec_have_a_range() {
    let rule = |field: &Field| {
        let schema = field.schema;
        let is_number = schema["type"] == "integer" || schema["type"] == "number";
        !is_number || (schema["minimum"].is_number() && schema["maximum"].is_number())
    };
    enforce(rule, "has no range", &json!({"type": "integer", "minimum": 0}));
}

#[test]
fn every_cel_rule_has_a_message_that_says_what_must_be() {
    let mut count = 0;
    for crd in objects("crds") {
        let mut lists = Vec::new();
        all_under(&crd["spec"]["versions"], "x-kubernetes-validations", &mut lists);
        for rule in lists.into_iter().flat_map(|rules| rules.as_array().unwrap()) {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("must "), "a rule whose message does not say what must be: {rule:#}");
            count += 1;
        }
    }
    assert!(count > 10, "only {count} rules were found");
}

#[test]
fn every_field_is_documented() {
    for crd in objects("crds") {
        for part in ["spec", "status"] {
            for field in fields(&crd, part) {
                // The items of a list are described with the list.
                let is_item = field.path.ends_with("[]");
                let text = field.schema["description"].as_str().unwrap_or_default();
                assert!(is_item || text.len() > 5, "{} has no description", field.path);
            }
        }
    }
}

#[test]
fn every_optional_field_says_what_its_absence_means() {
    // One of two is required by a rule of the object around them, so absence is not a default.
    const ALTERNATIVES: &[&str] = &[
        "ECSAccount.spec.allowedNamespaces.from",
        "ECSAccount.spec.allowedNamespaces.names",
        "ECSAccount.spec.credentials.ecsRAMRole",
        "ECSAccount.spec.credentials.environment",
        "ECSAccount.spec.credentials.rrsa",
        "ECSAccount.spec.credentials.secretRef",
        "ECSAccount.spec.endpoint.network",
        "ECSAccount.spec.endpoint.url",
    ];
    let mut optional = 0;
    for kind in USER_KINDS {
        for Field { path, schema, required } in fields(&crd(kind), "spec") {
            if !required && !ALTERNATIVES.contains(&path.as_str()) {
                let text = schema["description"].as_str().unwrap_or_default();
                assert!(text.contains("Absent = "), "{path} does not say what its absence means: {text}");
                optional += 1;
            }
        }
    }
    assert!(optional > 10, "only {optional} optional fields were found");
}

#[test]
fn every_number_of_seconds_says_so() {
    for kind in USER_KINDS {
        for Field { path, schema, .. } in fields(&crd(kind), "spec") {
            let text = schema["description"].as_str().unwrap_or_default();
            assert!(!path.ends_with("Seconds") || text.contains("in seconds"), "{path} does not name its unit: {text}");
        }
    }
}

#[test]
fn a_fresh_object_is_not_taken_for_done() {
    for kind in USER_KINDS {
        let crd = crd(kind);
        let version = version(&crd);
        assert!(version["subresources"]["status"].is_object(), "{kind} must have a status subresource");
        let default = &version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"];
        let expected = json!({
            "observedGeneration": -1,
            "conditions": [{
                "type": "Ready",
                "status": "Unknown",
                "reason": "Pending",
                "message": "waiting for the controller",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }],
        });
        assert_eq!(*default, expected, "{kind}");
        let mut minimum = Vec::new();
        all_under(
            &version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["observedGeneration"],
            "minimum",
            &mut minimum,
        );
        assert!(minimum.is_empty(), "{kind}: -1 must be a valid observedGeneration");
    }
}

#[test]
fn a_record_is_one_document() {
    let crd = crd("ResetRecord");
    let version = version(&crd);
    // With a status subresource one write could not change claim and progress together.
    assert!(version["subresources"].is_null(), "{}", version["subresources"]);
    let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert!(status["default"].is_null() && status["properties"]["observedGeneration"].is_null());
}

#[test]
fn what_can_be_frozen_only_by_name_is_frozen() {
    let crd = crd("PasswordReset");
    let rules_of = |path: &str| {
        let fields = fields(&crd, "spec");
        let field = fields.iter().find(|field| field.path == path).unwrap();
        field.schema["x-kubernetes-validations"].to_string()
    };
    assert!(rules_of("PasswordReset.spec").contains("`accountRef` is immutable"));
    assert!(rules_of("PasswordReset.spec.regionID").contains("`regionID` is immutable"));
}

#[test]
fn the_api_holds_nothing_that_would_make_it_a_tool_for_others() {
    const FORBIDDEN: &[&str] =
        &["namespace", "endpoint", "url", "password", "forceStop", "force", "ttlSecondsAfterFinished", "phase"];
    for field in fields(&crd("PasswordReset"), "spec") {
        let name = field.path.rsplit('.').next().unwrap();
        assert!(!FORBIDDEN.contains(&name), "{} must not exist", field.path);
    }
}
