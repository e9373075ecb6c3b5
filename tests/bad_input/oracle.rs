//! The valid values, written down once more after the API's documentation and not after the schemas: the judge of the mutants.
//! May not look at a CRD, and shares no code with the types.

use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Whether a `PasswordReset`'s spec says something that can be meant.
pub fn is_valid_password_reset(spec: &Value) -> bool {
    let optional =
        ["accountRef", "onSecretChange", "runID", "suspend", "restart", "maxFailures", "stableStateTimeoutSeconds"];
    let Some(spec) = fields(spec, &["regionID", "instanceIDs", "passwordSecretRef"], &optional) else { return false };
    let all = |field: &str, check: &dyn Fn(&Value) -> bool| spec.get(field).is_none_or(check);
    all("accountRef", &|it| fields(it, &["name"], &[]).is_some_and(|it| text(&it["name"], is_name)))
        && text(&spec["regionID"], is_region)
        && unique(&spec["instanceIDs"])
        && list(&spec["instanceIDs"], 100, |it| text(it, is_instance_id))
        && is_secret_ref(&spec["passwordSecretRef"])
        && all("onSecretChange", &|it| one_of(it, &["Ignore", "Reset"]))
        && all("runID", &|it| text(it, is_run_id))
        && all("suspend", &Value::is_boolean)
        && all("restart", &is_restart)
        && all("maxFailures", &|it| number(it, 0, 100))
        && all("stableStateTimeoutSeconds", &|it| number(it, 1, 86_400))
}

fn is_secret_ref(reference: &Value) -> bool {
    let Some(it) = fields(reference, &["name"], &["key", "keyPolicy"]) else { return false };
    let is_per_instance = it.get("keyPolicy").is_some_and(|it| it == "InstanceID");
    text(&it["name"], is_name)
        && it.get("key").is_none_or(|key| text(key, is_key) && !is_per_instance)
        && it.get("keyPolicy").is_none_or(|it| one_of(it, &["Shared", "InstanceID"]))
}

fn is_restart(restart: &Value) -> bool {
    let optional = ["policy", "maxUnavailable", "minReadySeconds", "timeoutSeconds"];
    fields(restart, &[], &optional).is_some_and(|it| {
        it.get("policy").is_none_or(|it| one_of(it, &["IfRunning", "Never"]))
            && it.get("maxUnavailable").is_none_or(|it| number(it, 1, 100) || text(it, is_percentage))
            && it.get("minReadySeconds").is_none_or(|it| number(it, 0, 86_400))
            && it.get("timeoutSeconds").is_none_or(|it| number(it, 60, 86_400))
    })
}

/// Whether an `ECSAccount`'s spec says something that can be meant.
pub fn is_valid_account(spec: &Value) -> bool {
    let optional = ["assumeRole", "expectedAccountID", "regions", "rules", "suspend", "limits", "endpoint"];
    let Some(spec) = fields(spec, &["credentials", "allowedNamespaces"], &optional) else { return false };
    let all = |field: &str, check: &dyn Fn(&Value) -> bool| spec.get(field).is_none_or(check);
    is_credentials(&spec["credentials"])
        && is_allowed_namespaces(&spec["allowedNamespaces"])
        && all("assumeRole", &is_assume_role)
        && all("expectedAccountID", &|it| text(it, |it| (6..=32).contains(&it.len()) && digits(it)))
        && all("regions", &|it| list(it, 64, |it| text(it, is_region)))
        && all("rules", &|it| list(it, 32, is_rule))
        && all("suspend", &Value::is_boolean)
        && all("limits", &|it| {
            let optional =
                ["requestsPerSecond", "maxUnavailable", "maxUnavailablePerZone", "minRestartIntervalSeconds"];
            fields(it, &[], &optional).is_some_and(|it| {
                it.get("requestsPerSecond").is_none_or(|it| number(it, 1, 100))
                    && it.get("maxUnavailable").is_none_or(|it| number(it, 1, 1_000))
                    && it.get("maxUnavailablePerZone").is_none_or(|it| number(it, 1, 1_000))
                    && it.get("minRestartIntervalSeconds").is_none_or(|it| number(it, 0, 86_400))
            })
        })
        && all("endpoint", &is_endpoint)
}

fn is_credentials(credentials: &Value) -> bool {
    let sources = ["rrsa", "ecsRAMRole", "secretRef", "environment"];
    let Some(it) = fields(credentials, &[], &sources).filter(|it| it.len() == 1) else { return false };
    it.get("rrsa").is_none_or(|it| {
        fields(it, &["roleARN", "oidcProviderARN"], &[])
            .is_some_and(|it| arn(&it["roleARN"], "role") && arn(&it["oidcProviderARN"], "oidc-provider"))
    }) && it.get("ecsRAMRole").is_none_or(|it| {
        let role = |it: &str| {
            it.len() <= 64 && !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || "._-".contains(it))
        };
        fields(it, &[], &["name"]).is_some_and(|it| it.get("name").is_none_or(|it| text(it, role)))
    }) && it.get("secretRef").is_none_or(|it| fields(it, &["name"], &[]).is_some_and(|it| text(&it["name"], is_name)))
        && it.get("environment").is_none_or(|it| fields(it, &[], &[]).is_some())
}

fn is_assume_role(role: &Value) -> bool {
    let id = |it: &str| {
        (2..=1224).contains(&it.len()) && it.chars().all(|it| it.is_ascii_alphanumeric() || "+=,.@:/_-".contains(it))
    };
    fields(role, &["roleARN"], &["externalID", "durationSeconds"]).is_some_and(|it| {
        arn(&it["roleARN"], "role")
            && it.get("externalID").is_none_or(|it| text(it, id))
            && it.get("durationSeconds").is_none_or(|it| number(it, 900, 43_200))
    })
}

fn is_allowed_namespaces(allowed: &Value) -> bool {
    fields(allowed, &[], &["names", "from"]).is_some_and(|it| {
        it.len() == 1
            && it.get("names").is_none_or(|it| list(it, 256, |it| text(it, is_label)))
            && it.get("from").is_none_or(|it| one_of(it, &["All"]))
    })
}

/// STS elsewhere in Alibaba Cloud, where ECS is reached inside a VPC.
fn is_sts_in_a_vpc(endpoint: &serde_json::Map<String, Value>) -> bool {
    let is_of_the_cloud = |url: &str| {
        let host = url.strip_prefix("https://").and_then(|host| host.strip_suffix(".aliyuncs.com"));
        host.is_some_and(|host| {
            !host.is_empty() && host.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c))
        })
    };
    endpoint.get("network") == Some(&json!("VPC"))
        && endpoint.get("stsURL").is_some_and(|url| text(url, is_of_the_cloud))
}

fn is_rule(rule: &Value) -> bool {
    let tags = |it: &Value| {
        let short = |it: &Value| it.as_str().is_some_and(|it| it.chars().count() <= 128);
        it.as_object().is_some_and(|it| (1..=20).contains(&it.len()) && it.values().all(short))
    };
    fields(rule, &[], &["namespaces", "instanceTags"]).is_some_and(|it| {
        !it.is_empty()
            && it.get("namespaces").is_none_or(|it| list(it, 64, |it| text(it, is_label)))
            && it.get("instanceTags").is_none_or(tags)
    })
}

fn is_endpoint(endpoint: &Value) -> bool {
    fields(endpoint, &[], &["network", "url", "stsURL"]).is_some_and(|it| {
        it.contains_key("network") != it.contains_key("url")
            && (it.contains_key("url") || !it.contains_key("stsURL") || is_sts_in_a_vpc(it))
            && it.get("network").is_none_or(|it| one_of(it, &["Public", "VPC"]))
            && ["url", "stsURL"].iter().all(|field| it.get(*field).is_none_or(|it| text(it, is_url)))
    })
}

/// Whether a `ResetRecord` is one: of the instance in its name, and in the form in which the controller writes it. What it says is
/// the controller's own: no bound may stand in the way of writing down what has happened.
pub fn is_valid_record(record: &Value) -> bool {
    let required = [
        "claim",
        "claimTime",
        "owner",
        "accountName",
        "regionID",
        "instanceID",
        "tokens",
        "fingerprint",
        "passwordSecretRef",
        "restartPolicy",
        "maxUnavailable",
        "minReadySeconds",
        "timeoutSeconds",
        "stableStateTimeoutSeconds",
        "stateSeen",
    ];
    let Some(spec) = fields(&record["spec"], &required, &["retry", "windowEnd", "zoneID"]) else { return false };
    let words = |names: &[&str]| names.iter().all(|name| spec.get(*name).is_none_or(Value::is_string));
    let counts = |names: &[&str]| names.iter().all(|name| number(&spec[*name], 0, i64::MAX));
    let is_named = match (spec["regionID"].as_str(), spec["instanceID"].as_str()) {
        (Some(region), Some(instance)) => {
            // A name takes no capitals, and no id begins with the small letters.
            let id = instance.strip_prefix("AY").map_or_else(|| instance.to_owned(), |it| format!("ay{it}"));
            !instance.starts_with("ay") && record["metadata"]["name"] == format!("{region}.{id}")
        }
        _ => false,
    };
    is_named
        && number(&spec["claim"], i64::MIN, i64::MAX)
        && is_time(&spec["claimTime"])
        && is_owner(&spec["owner"])
        && is_words(&spec["tokens"])
        && is_fingerprint(&spec["fingerprint"])
        && of_words(&spec["passwordSecretRef"], &["namespace", "name", "key"])
        && one_of(&spec["restartPolicy"], &["IfRunning", "Never"])
        && words(&["accountName", "stateSeen", "retry", "zoneID"])
        && spec.get("windowEnd").is_none_or(is_time)
        && counts(&["maxUnavailable", "minReadySeconds", "timeoutSeconds", "stableStateTimeoutSeconds"])
        && record.get("status").is_none_or(is_progress)
}

fn is_progress(status: &Value) -> bool {
    let times = [
        "unansweredUntil",
        "passwordAcknowledgedAt",
        "startTimeBefore",
        "acceptedAt",
        "lastRestartTime",
        "availableTime",
        "memoryLostTime",
        "restartHeldSince",
        "restartReleasedAt",
    ];
    let others = ["attempt", "unknownOutcome", "refusal", "leftRunning", "startTimeEvidence", "row", "completed"];
    let phases = [
        "Idle",
        "SettingPassword",
        "PasswordSet",
        "RestartRequested",
        "Restarting",
        "InEffect",
        "EffectiveAtNextStart",
        "Failed",
        "Unknown",
    ];
    let Some(status) = fields(status, &["phase"], &[&times[..], &others].concat()) else { return false };
    let all = |field: &str, check: &dyn Fn(&Value) -> bool| status.get(field).is_none_or(check);
    one_of(&status["phase"], &phases)
        && times.iter().all(|time| all(time, &is_time))
        && all("attempt", &is_attempt)
        && all("unknownOutcome", &Value::is_string)
        && all("refusal", &Value::is_string)
        && all("leftRunning", &Value::is_boolean)
        && all("startTimeEvidence", &|it| one_of(it, &["Moved", "NotMoved", "Inconclusive"]))
        && all("row", &is_row)
        && all("completed", &|it| it.as_array().is_some_and(|it| it.iter().all(is_completed)))
}

fn is_attempt(attempt: &Value) -> bool {
    fields(attempt, &["id", "process", "number", "timestamp"], &["foundUnansweredUntil"]).is_some_and(|it| {
        it["id"].is_string()
            && it["process"].is_string()
            && number(&it["number"], 0, i64::MAX)
            && is_time(&it["timestamp"])
            && it.get("foundUnansweredUntil").is_none_or(is_time)
    })
}

fn is_completed(entry: &Value) -> bool {
    fields(entry, &["owner", "tokens", "fingerprint", "row"], &["retry"]).is_some_and(|it| {
        is_owner(&it["owner"])
            && is_words(&it["tokens"])
            && is_fingerprint(&it["fingerprint"])
            && is_row(&it["row"])
            && it.get("retry").is_none_or(Value::is_string)
    })
}

fn is_row(row: &Value) -> bool {
    let words = ["name", "osType", "keyPairName", "initialStatus", "passwordRequestID", "restartRequestID"];
    let others = ["plannedAction", "stateTime", "passwordSetTime", "attempts", "claim"];
    let states = [
        "Pending",
        "WaitingForStableState",
        "SettingPassword",
        "PasswordSet",
        "Restarting",
        "InEffect",
        "EffectiveAtNextStart",
        "Failed",
        "Unknown",
        "Superseded",
    ];
    let required = ["instanceID", "state", "reason", "message"];
    fields(row, &required, &[&words[..], &others].concat()).is_some_and(|it| {
        let all = |field: &str, check: &dyn Fn(&Value) -> bool| it.get(field).is_none_or(check);
        required.iter().chain(&words).all(|word| all(word, &Value::is_string))
            && one_of(&it["state"], &states)
            && all("plannedAction", &|it| one_of(it, &["ResetAndRestart", "ResetOnly", "Nothing", "Blocked"]))
            && ["stateTime", "passwordSetTime"].iter().all(|time| all(time, &is_time))
            && all("attempts", &|it| number(it, 0, i64::MAX))
            && all("claim", &|it| number(it, i64::MIN, i64::MAX))
    })
}

fn is_owner(owner: &Value) -> bool {
    of_words(owner, &["namespace", "name", "uid"])
}

fn is_fingerprint(fingerprint: &Value) -> bool {
    of_words(fingerprint, &["keyID", "value"])
}

/// An object of just these fields, each a text.
fn of_words(value: &Value, names: &[&str]) -> bool {
    fields(value, names, &[]).is_some_and(|it| it.values().all(Value::is_string))
}

fn is_words(value: &Value) -> bool {
    value.as_array().is_some_and(|it| it.iter().all(Value::is_string))
}

/// A moment such as `2026-01-01T00:00:00Z`. A list passes for one: API servers do not hold one against the type of a text that
/// has a format, whatever the CRD says. Nobody can read the record then.
fn is_time(time: &Value) -> bool {
    let shape = "dddd-dd-ddTdd:dd:ddZ".bytes();
    let fits = |(it, shape): (u8, u8)| if shape == b'd' { it.is_ascii_digit() } else { it == shape };
    time.is_array() || text(time, |it| it.len() == shape.len() && it.bytes().zip(shape.clone()).all(fits))
}

/// An object without the fields that are null: to Kubernetes they are absent.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let present = fields.iter().filter(|(_, value)| !value.is_null());
            present.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The fields of an object that has all that are required and none that nobody knows.
fn fields<'a>(value: &'a Value, required: &[&str], optional: &[&str]) -> Option<&'a Fields> {
    let fields = value.as_object()?;
    let known = |key: &String| required.contains(&key.as_str()) || optional.contains(&key.as_str());
    (fields.keys().all(known) && required.iter().all(|key| fields.contains_key(*key))).then_some(fields)
}

fn text(value: &Value, check: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(check)
}

fn number(value: &Value, least: i64, most: i64) -> bool {
    value.as_i64().is_some_and(|it| (least..=most).contains(&it))
}

fn one_of(value: &Value, texts: &[&str]) -> bool {
    text(value, |it| texts.contains(&it))
}

fn list(value: &Value, most: usize, check: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|it| (1..=most).contains(&it.len()) && it.iter().all(check))
}

fn unique(value: &Value) -> bool {
    value.as_array().is_some_and(|it| it.iter().enumerate().all(|(n, item)| !it[..n].contains(item)))
}

fn lower(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
}

fn digits(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit())
}

fn is_instance_id(text: &str) -> bool {
    let rest = text.strip_prefix("i-").or_else(|| text.strip_prefix("AY"));
    rest.is_some_and(|it| (8..=30).contains(&it.len()) && lower(it))
}

/// A region such as `cn-hangzhou` or `us-west-1`; a zone has one letter more: `cn-hangzhou-h`, `us-west-1a`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [country, .., last] = parts.as_slice() else { return false };
    let letter_at_end = last.ends_with(|it: char| it.is_ascii_lowercase());
    let before = last.chars().rev().nth(1);
    let is_zone = letter_at_end && before.is_none_or(|it| it.is_ascii_digit());
    text.len() <= 64
        && country.len() == 2
        && country.bytes().all(|it| it.is_ascii_lowercase())
        && parts.iter().all(|it| !it.is_empty() && lower(it))
        && !is_zone
}

/// What Kubernetes takes as one label of a name.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && is_part(text)
}

fn is_part(text: &str) -> bool {
    let inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// What Kubernetes takes as a name.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_key(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.chars().all(|it| it.is_ascii_alphanumeric() || "-._".contains(it))
}

fn is_run_id(text: &str) -> bool {
    let edge = |it: char| it.is_ascii_alphanumeric();
    (1..=128).contains(&text.len())
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|it| edge(it) || "._:+-".contains(it))
}

fn is_percentage(text: &str) -> bool {
    let plain =
        |it: &str| digits(it) && !it.starts_with('0') && it.parse::<u32>().is_ok_and(|it| (1..=100).contains(&it));
    text.strip_suffix('%').is_some_and(plain)
}

fn arn(value: &Value, kind: &str) -> bool {
    let word = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || "._@-".contains(it));
    text(value, |it| {
        let rest = it.strip_prefix("acs:ram::").and_then(|it| it.split_once(':'));
        let name = rest.filter(|(account, _)| !account.is_empty() && digits(account));
        it.len() <= 256 && name.and_then(|(_, it)| it.strip_prefix(kind)?.strip_prefix('/')).is_some_and(word)
    })
}

fn is_url(text: &str) -> bool {
    let host = |it: &str| {
        let edge = |it: char| it.is_ascii_alphanumeric();
        it.starts_with(edge) && it.ends_with(edge) && it.chars().all(|it| edge(it) || ".-".contains(it))
    };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.len() <= 256
        && rest.is_some_and(|it| match it.split_once(':') {
            None => host(it),
            Some((name, port)) => host(name) && digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0),
        })
}
