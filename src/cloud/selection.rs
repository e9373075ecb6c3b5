//! Which instances a selector matches: all pages of `DescribeInstances`, or none.

use crate::api::password_reset::Selector;
use crate::cloud::accounts::UsableAccount;
use crate::cloud::calls::{Calls, prepare};
use crate::ecs::{ApiCall, DescribeError, Instance, InstanceFilter, Scope, Transport, describe_matching};

/// How many instances ECS shows at most for a tag or a resource group (the documentation of
/// `DescribeInstances` in alibabacloud-ecs20140526 7.11.8). Whoever gets as many does not know whether there are more.
const SHOWN_MAX: usize = 1_000;
/// Pages have 100. A gateway that returns tokens without end is not followed for ever.
const PAGES_MAX: usize = 20;

/// What ECS shows of a selector.
pub struct Matches {
    /// The instances, each perhaps more than once: ECS takes one name a call.
    pub instances: Vec<Instance>,
    /// Whether there may be more, which ECS does not show.
    pub is_cut_off: bool,
}

/// The instances that match.
///
/// # Errors
/// A page that could not be read: what the others hold counts for nothing then.
pub async fn select<T: Transport>(
    calls: &Calls<T>,
    account: &UsableAccount,
    scope: &Scope,
    selector: &Selector,
    who: &str,
) -> Result<Matches, DescribeError> {
    let names = selector.names.as_deref().unwrap_or_default();
    let names: Vec<Option<&str>> =
        if names.is_empty() { vec![None] } else { names.iter().map(|name| Some(name.as_str())).collect() };
    let is_bounded = selector.tags.is_some() || selector.resource_group_id.is_some();
    let mut found = Matches { instances: Vec::new(), is_cut_off: false };
    for name in names {
        let tags = selector.tags.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_str())).collect();
        let filter = InstanceFilter { tags, name, resource_group_id: selector.resource_group_id.as_deref() };
        let instances = pages(calls, account, scope, &filter, who).await?;
        found.is_cut_off |= is_bounded && instances.len() >= SHOWN_MAX;
        found.instances.extend(instances);
    }
    Ok(found)
}

async fn pages<T: Transport>(
    calls: &Calls<T>,
    account: &UsableAccount,
    scope: &Scope,
    filter: &InstanceFilter<'_>,
    who: &str,
) -> Result<Vec<Instance>, DescribeError> {
    let (endpoint, credentials, destination) =
        prepare(account, scope, calls.now(account)).map_err(|hold| DescribeError::NotReady(hold.message))?;
    let (mut instances, mut next_token) = (Vec::new(), None::<String>);
    for _ in 0..PAGES_MAX {
        let permit = loop {
            match calls.acquire_rate(scope, ApiCall::DescribeInstances, who) {
                Ok(permit) => break permit,
                // Between pages a short wait is made here: what was read so far would be lost.
                Err(at) if next_token.is_some() => tokio::time::sleep_until(at).await,
                Err(at) => return Err(DescribeError::NotBefore(at)),
            }
        };
        let stamp = calls.stamp(account.clock());
        let signed = describe_matching(&endpoint, credentials, filter, next_token.as_deref(), &stamp);
        let page = calls.send(destination, permit, signed).await.result?;
        instances.extend(page.instances);
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(instances);
        }
    }
    Err(DescribeError::Endless(PAGES_MAX))
}
