//! `DescribeInstances`: filters, paging, and the shape of the real answer. What a key may not read is missing from the
//! list, exactly as what does not exist; or the call is refused: which of them is a setting, since the documents have ceased to say.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{dry_run_passed, forbidden};
use crate::access_key::AccessKey;
use crate::answer::{Body, Refusal};
use crate::call::Call;
use crate::instance::{OsType, Status};
use crate::machine::Machine;
use crate::time::to_minute;

const ACTION: &str = "DescribeInstances";
/// How many instances of a tag or a resource group can be reached.
const SHOWN_MAX: usize = 1_000;
/// How many fit a page.
pub(crate) const PAGE_MAX: usize = 100;

/// How the answer is made to lie.
#[derive(Clone, Copy)]
pub(crate) enum View {
    /// As of this moment.
    At(Timestamp),
    /// Nothing is there.
    Nothing,
}

pub(crate) fn describe(
    machines: &BTreeMap<String, Machine>,
    regions: &BTreeSet<String>,
    call: &Call,
    key: &AccessKey,
    view: View,
    unpermitted_are_unlisted: bool,
    page_max: usize,
) -> Result<Body, Refusal> {
    let region = call.get("RegionId").ok_or_else(|| Refusal::missing("RegionId"))?;
    if !regions.contains(region) {
        return Err(Refusal::new("InvalidRegionId.NotFound", 404, "The specified RegionId does not exist."));
    }
    let filter = Filter::read(call)?;
    let may = match &filter.ids {
        None => key.may(ACTION, ""),
        Some(ids) => ids.iter().all(|id| key.may(ACTION, id)),
    };
    if call.is_on("DryRun") {
        return Err(if may { dry_run_passed() } else { forbidden() });
    }
    if !may && !unpermitted_are_unlisted {
        return Err(forbidden());
    }
    let found: Vec<(&Machine, Timestamp)> = match view {
        View::Nothing => Vec::new(),
        View::At(at) => filter
            .candidates(machines)
            .filter(|machine| machine.spec.account_id == key.account_id && machine.spec.region_id == region)
            .filter(|machine| key.may(ACTION, &machine.spec.instance_id))
            .filter(|machine| filter.takes(machine, machine.seen_at(at).status))
            .map(|machine| (machine, at))
            .collect(),
    };
    // ECS goes no further for a tag or a resource group.
    let shown = if filter.tags.is_empty() && filter.resource_group.is_none() { found.len() } else { SHOWN_MAX };
    page(call, found.get(..shown).unwrap_or(&found), page_max)
}

/// What the call asks for; all parts must hold.
struct Filter {
    ids: Option<BTreeSet<String>>,
    name: Option<String>,
    resource_group: Option<String>,
    status: Option<Status>,
    tags: Vec<(String, Option<String>)>,
}

impl Filter {
    fn read(call: &Call) -> Result<Self, Refusal> {
        let ids = match call.get("InstanceIds") {
            None => None,
            Some(list) => {
                let ids: Vec<String> = serde_json::from_str(list).map_err(|_| Refusal::invalid("InstanceIds"))?;
                if ids.len() > 100 {
                    return Err(Refusal::invalid("InstanceIds"));
                }
                Some(ids.into_iter().collect())
            }
        };
        let status = match call.get("Status") {
            None => None,
            Some(text) => Some(
                serde_json::from_value(json!(text))
                    .map_err(|_| Refusal::new("InvalidStatus.NotFound", 404, "The specified Status does not exist."))?,
            ),
        };
        Ok(Self {
            ids,
            name: call.get("InstanceName").map(str::to_owned),
            resource_group: call.get("ResourceGroupId").map(str::to_owned),
            status,
            tags: read_tags(call)?,
        })
    }

    /// Those with the ids asked for, else all; sorted by id either way.
    fn candidates<'a>(&'a self, machines: &'a BTreeMap<String, Machine>) -> Box<dyn Iterator<Item = &'a Machine> + 'a> {
        match &self.ids {
            Some(ids) => Box::new(ids.iter().filter_map(|id| machines.get(id))),
            None => Box::new(machines.values()),
        }
    }

    fn takes(&self, machine: &Machine, status: Status) -> bool {
        let spec = &machine.spec;
        self.name.as_ref().is_none_or(|pattern| matches_pattern(pattern, &spec.instance_name))
            && self.resource_group.as_ref().is_none_or(|group| *group == spec.resource_group_id)
            && self.status.is_none_or(|wanted| wanted == status)
            && self.tags.iter().all(|(key, value)| match spec.tags.get(key) {
                Some(has) => value.as_ref().is_none_or(|value| value == has),
                None => false,
            })
    }
}

fn read_tags(call: &Call) -> Result<Vec<(String, Option<String>)>, Refusal> {
    if call.get("Tag.21.Key").is_some() {
        return Err(Refusal::new("InvalidTagCount", 400, "The specified tags are beyond the valid range."));
    }
    let tags = (1..=20).filter_map(|n| {
        let key = call.get(&format!("Tag.{n}.Key"))?;
        Some((key.to_owned(), call.get(&format!("Tag.{n}.Value")).map(str::to_owned)))
    });
    Ok(tags.collect())
}

/// `*` matches any run of characters.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter_map(|from| rest.get(from..)).any(|rest| matches_pattern(tail, rest))
        }),
    }
}

/// Cuts one page out of what was found. With `PageNumber` or `PageSize` the old way, else by `NextToken`, with `max` at most.
fn page(call: &Call, found: &[(&Machine, Timestamp)], max: usize) -> Result<Body, Refusal> {
    let number = |name: &str| match call.get(name) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| Refusal::invalid(name)),
    };
    let mut body = Body::new();
    body.insert("TotalCount".to_owned(), json!(found.len()));
    let by_number = number("PageNumber")?.is_some() || number("PageSize")?.is_some();
    let (skip, size) = if by_number {
        let (page, size) = (number("PageNumber")?.unwrap_or(1).max(1), number("PageSize")?.unwrap_or(10).clamp(1, 100));
        body.insert("PageNumber".to_owned(), json!(page));
        body.insert("PageSize".to_owned(), json!(size));
        ((page - 1).saturating_mul(size), size)
    } else {
        let size = number("MaxResults")?.unwrap_or(10).clamp(10, PAGE_MAX).min(max);
        let skip = match call.get("NextToken") {
            None => 0,
            Some(token) => {
                let last = read_token(token).ok_or_else(|| Refusal::invalid("NextToken"))?;
                found.iter().take_while(|(machine, _)| machine.spec.instance_id <= last).count()
            }
        };
        (skip, size)
    };
    let shown: Vec<_> = found.iter().skip(skip).take(size).collect();
    let next = match shown.last() {
        Some((last, _)) if !by_number && skip + shown.len() < found.len() => {
            BASE64.encode(format!("after:{}", last.spec.instance_id))
        }
        _ => String::new(),
    };
    body.insert("NextToken".to_owned(), json!(next));
    let instances: Vec<_> = shown.into_iter().map(|(machine, at)| instance(machine, *at)).collect();
    body.insert("Instances".to_owned(), json!({ "Instance": instances }));
    Ok(body)
}

fn read_token(token: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    text.strip_prefix("after:").map(str::to_owned)
}

/// One item of `Instances.Instance[]`.
fn instance(machine: &Machine, at: Timestamp) -> Value {
    let (spec, seen) = (&machine.spec, machine.seen_at(at));
    let time = |time: Option<Timestamp>| time.map(to_minute).unwrap_or_default();
    let (os_type, os_name) = match spec.os_type {
        OsType::Linux => ("linux", "Alibaba Cloud Linux 3.2104 LTS 64位"),
        OsType::Windows => ("windows", "Windows Server 2022 数据中心版 64位中文版"),
    };
    let locks: Vec<_> = spec.locks.iter().map(|reason| json!({"LockReason": reason, "LockMsg": ""})).collect();
    let tags: Vec<_> = spec.tags.iter().map(|(key, value)| json!({"TagKey": key, "TagValue": value})).collect();
    json!({
        "InstanceId": spec.instance_id,
        "InstanceName": if spec.instance_name.is_empty() { &spec.instance_id } else { &spec.instance_name },
        "RegionId": spec.region_id,
        "ZoneId": format!("{}-{}", spec.region_id, spec.zone),
        "Status": seen.status,
        "OSType": os_type,
        "OSName": os_name,
        "KeyPairName": spec.key_pair_name,
        "CreationTime": to_minute(machine.created),
        "StartTime": time(seen.start_time),
        // What ECS answers for pay-as-you-go.
        "ExpiredTime": spec.expired_time.map_or_else(|| "2099-12-31T15:59Z".to_owned(), to_minute),
        "InstanceChargeType": if spec.expired_time.is_some() { "PrePaid" } else { "PostPaid" },
        "StoppedMode": if seen.status == Status::Stopped { "KeepCharging" } else { "Not-applicable" },
        "OperationLocks": { "LockReason": locks },
        "Tags": { "Tag": tags },
        "ResourceGroupId": spec.resource_group_id,
        "ImageOptions": { "LoginAsNonRoot": spec.login_as_non_root },
        "InstanceType": "ecs.g7.large",
        "ImageId": "aliyun_3_x64_20G_alibase_20240819.vhd",
        "InstanceNetworkType": "vpc",
        "SpotStrategy": "NoSpot",
        "Recyclable": false,
        "DeletionProtection": false,
        "MetadataOptions": { "HttpEndpoint": "", "HttpTokens": "" },
    })
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn star_matches_any_run() {
        for (pattern, name, fits) in [
            ("web-*", "web-1", true),
            ("web-*", "webs", false),
            ("*-db", "a-db", true),
            ("a*b*c", "a12b3c", true),
            ("a*b*c", "a12c3b", false),
            ("web", "web-1", false),
            ("*", "", true),
            ("测*", "测试", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), fits, "{pattern} on {name}");
        }
    }
}
