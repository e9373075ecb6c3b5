//! Mutants of a good object, made by walking the `OpenAPI` schema that its CRD declares: each has a value at some field that
//! the schema, a rule or nobody at all has in mind. Generates only; whether one is valid is not known here.

use serde_json::{Map, Value, json};

/// One wrong, or unusual, object.
#[derive(Clone)]
pub struct Mutant {
    /// What was changed, for people.
    pub what: String,
    /// The object.
    pub object: Value,
}

/// A place below a part such as `spec`; a number is an index of a list.
type Path = Vec<String>;

/// Texts that a user may write: near the rules of ids, regions, names, ARNs and URLs, on both sides, and out of the way.
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "-a",
    "a-",
    "a.b",
    "a..b",
    "A",
    "a/b",
    "../../etc/passwd",
    "a b",
    "a\n",
    "\u{0}",
    "\u{7f}",
    "\u{202e}a",
    "é",
    "\u{1F511}",
    "ｉ-bp1a2b3c4d",
    "${HOME}",
    "{{ .Values.x }}",
    "' OR 1=1 --",
    "true",
    "null",
    "0",
    "-1",
    "1e9",
    "1%",
    "100%",
    "0%",
    "101%",
    "25 %",
    "5",
    "i-bp1a2b3c4d",
    "i-short",
    "I-BP1A2B3C4D",
    "i-bp1a2b3c4d\n",
    "i-bp1a2b3c4d,i-bp1a2b3c4e",
    "bp1a2b3c4d5e6f7g8h9i",
    "cn-hangzhou",
    "cn-hangzhou-h",
    "us-west-1a",
    "us-west-1",
    "CN-HANGZHOU",
    "cn_hangzhou",
    "c-hangzhou",
    "cn-hangzhou.evil.example",
    "AY121018033933eae8689",
    "ay121018033933eae8689",
    "AY121018033933EAE8689",
    " i-bp1a2b3c4d",
    "cn-hangzhou-",
    "acs:ram::1234567890123456:role/reset",
    "acs:ram::1234567890123456:role/",
    "acs:ram::x:role/reset",
    "acs:ram::1:role/a b",
    "acs:ram::1:user/a",
    "arn:aws:iam::1:role/a",
    "acs:ram::1234567890123456:oidc-provider/ack",
    "acs:ram::1:oidc-provider/",
    "https://ecs.gateway.internal",
    "https://ecs.gateway.internal:8443",
    "http://ecs.gateway.internal",
    "https://user:word@ecs.gateway.internal",
    "https://ecs.gateway.internal/ecs",
    "https://ecs.gateway.internal?a=b",
    "https://ecs.gateway.internal#a",
    "https://",
    "ftp://ecs.gateway.internal",
    "https://ecs.gateway.internal:999999",
    "https://[::1]",
    "javascript:alert(1)",
    "1234567890123456",
    "12345",
    "1234567890123456 ",
    "IfRunning",
    "ifRunning",
    "Never",
    "All",
    "all",
    "Public",
    "VPC",
    "2026-11-rotation",
    "after the audit",
    "-leading",
    "trailing-",
    "2026-01-01T00:00:00Z",
];

/// Everything that one change of a part of `object`, such as its `spec`, makes of it, by the schema of that part.
pub fn singles(object: &Value, part: &str, schema: &Value) -> Vec<Mutant> {
    let mut places = Vec::new();
    walk(schema, &mut Vec::new(), &mut places);
    let mut mutants = Vec::new();
    for (path, schema) in places {
        for value in values(schema) {
            push(&mut mutants, object, part, &path, Some(value));
        }
        push(&mut mutants, object, part, &path, None);
        if schema["type"] == "object" {
            let unknown = [path.clone(), vec!["unknownField".to_owned()]].concat();
            push(&mut mutants, object, part, &unknown, Some(json!("x")));
        }
    }
    mutants
}

fn push(mutants: &mut Vec<Mutant>, object: &Value, part: &str, path: &Path, value: Option<Value>) {
    let mut changed = object.clone();
    let shown = value.as_ref().map_or("removed".to_owned(), |value| shorten(&value.to_string()));
    if put(&mut changed[part], path, value) && changed != *object {
        mutants.push(Mutant { what: format!("{part}.{}: {shown}", path.join(".")), object: changed });
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Two changes at once: what the second changes in what the first has made.
pub fn pair(first: &Mutant, second: &Mutant, base: &Value) -> Mutant {
    let mut object = first.object.clone();
    merge(&mut object, &second.object, base);
    Mutant { what: format!("{}; {}", first.what, second.what), object }
}

/// Takes over what `other` has otherwise than `base`.
fn merge(object: &mut Value, other: &Value, base: &Value) {
    match (&mut *object, other, base) {
        (Value::Object(object), Value::Object(other), Value::Object(base)) => {
            object.retain(|key, _| other.contains_key(key) || !base.contains_key(key));
            for (key, value) in other {
                merge(object.entry(key).or_insert(Value::Null), value, base.get(key).unwrap_or(&Value::Null));
            }
        }
        _ if other != base => *object = other.clone(),
        _ => {}
    }
}

/// All places of a schema, the root too.
fn walk<'a>(schema: &'a Value, path: &mut Path, places: &mut Vec<(Path, &'a Value)>) {
    places.push((path.clone(), schema));
    let mut step = |name: &str, inner: &'a Value| {
        path.push(name.to_owned());
        walk(inner, path, places);
        path.pop();
    };
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        step(name, inner);
    }
    if schema["items"].is_object() {
        step("0", &schema["items"]);
    }
    if schema["additionalProperties"].is_object() {
        step("password-reset", &schema["additionalProperties"]);
    }
}

/// The values that are put into a place: other types, and what lies at its bounds and beyond.
fn values(schema: &Value) -> Vec<Value> {
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(7),
        json!(1.5),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!([]),
        json!({}),
        json!([[]]),
        json!(["a"]),
        json!({"a": 1}),
        json!([null]),
        json!("text"),
    ];
    for bound in ["minimum", "maximum"] {
        #[allow(clippy::cast_possible_truncation, reason = "bounds of seconds and counts")]
        if let Some(bound) = schema[bound].as_f64().map(|bound| bound as i64) {
            values.extend([bound - 1, bound, bound + 1].map(|value| json!(value)));
            values.push(json!(bound.to_string()));
        }
    }
    let is_text = schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true;
    if is_text {
        values.extend(TEXTS.iter().map(|text| json!(text)));
        values.push(json!("a".repeat(70_000)));
    }
    if let Some(longest) = size(&schema["maxLength"]) {
        values.extend([longest, longest + 1].map(|length| json!("a".repeat(length))));
        values.push(json!("é".repeat(longest)));
    }
    if let Some(most) = size(&schema["maxItems"]) {
        let items = |count: usize| -> Value { (0..count).map(|n| json!(format!("i-bp1{n:08}"))).collect() };
        values.extend([most, most + 1].map(items));
        values.extend(TEXTS.iter().map(|text| json!([text])));
        values.extend([
            json!(["i-bp1a2b3c4d", "i-bp1a2b3c4d"]),
            json!(["cn-hangzhou", 7]),
            json!({"0": "i-bp1a2b3c4d"}),
        ]);
    }
    if let Some(most) = size(&schema["maxProperties"]) {
        let fields = |count: usize| -> Value {
            Value::Object((0..count).map(|n| (format!("tag-{n}"), json!("x"))).collect::<Map<_, _>>())
        };
        values.extend([most, most + 1].map(fields));
    }
    values
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// Puts a value there, making what has to be around it; `None` removes. False: that is not a place of this object.
fn put(at: &mut Value, path: &[String], value: Option<Value>) -> bool {
    let Some((step, rest)) = path.split_first() else {
        *at = value.unwrap_or(Value::Null);
        return true;
    };
    if let (Ok(index), true) = (step.parse::<usize>(), at.is_array()) {
        let Some(item) = at.get_mut(index) else { return false };
        return put(item, rest, value);
    }
    if at.is_null() {
        *at = if step == "0" { json!([null]) } else { json!({}) };
        return put(at, path, value);
    }
    let Some(fields) = at.as_object_mut() else { return false };
    if rest.is_empty() && value.is_none() {
        return fields.remove(step).is_some();
    }
    put(fields.entry(step).or_insert(Value::Null), rest, value)
}
