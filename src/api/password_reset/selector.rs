//! Which instances a `PasswordReset` names: by id, or by what ECS shows of them. Types only.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::ecs_account::TagValue;

// The schema of one entry, with a rule of its own: then the API server names the entry that is wrong, by its index.
// Ids from before 2014 begin with `AY`. No two ids that this takes differ in case alone: see `ResetRecord::name_of`.
#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.matches('^(i-|AY)[a-z0-9]{8,30}$')",
    "message": "must be an ECS instance ID such as 'i-bp1a2b3c4d5e6f7g8h9i', with nothing around it",
}]))]
pub(super) struct InstanceID(
    #[schemars(length(max = 64))]
    #[expect(dead_code)]
    String,
);

/// Which instances to reset. All of what is given must match.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.tags) || has(self.names) || has(self.resourceGroupID)")
        .message("must hold at least one of `tags`, `names` and `resourceGroupID`")
)]
pub struct Selector {
    /// The tags that an instance must have, all of them with these values, 1 to 20, for example `{app: web}`. Whoever may tag
    /// instances decides what this selects. Absent = any tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 20, "x-kubernetes-map-type" = "atomic"))]
    pub tags: Option<BTreeMap<String, TagValue>>,

    /// The names that an instance may have, 1 to 10, of which one must match; `*` stands for any characters. Absent = any
    /// name. Example: `["web-*"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10), with = "Vec<NamePattern>")]
    pub names: Option<Vec<String>>,

    /// The resource group of the instances, for example `rg-acfmwp7rgotwwaa`. ECS cannot be asked for the default group.
    /// Absent = any group.
    #[serde(rename = "resourceGroupID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^rg-[a-z0-9]+$')").message("must be the id of a resource group such as 'rg-acfmwp7rgotwwaa'"))]
    pub resource_group_id: Option<String>,

    /// Instances that are left alone whatever matches, 1 to 100 ids. Absent = none.
    #[serde(rename = "excludeInstanceIDs", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), with = "Vec<InstanceID>")]
    pub exclude_instance_ids: Option<Vec<String>>,

    /// How many instances may match, 1 to 100. Where more do, none is touched: a selector that is too wide must not restart a fleet.
    /// Required.
    #[schemars(range(min = 1, max = 100))]
    pub max_targets: u32,
}

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.matches('[^*]')",
    "message": "must hold more than '*': to select every instance, use a tag",
}]))]
struct NamePattern(
    #[schemars(length(min = 1, max = 128))]
    #[expect(dead_code)]
    String,
);
