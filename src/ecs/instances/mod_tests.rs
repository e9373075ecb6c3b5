//! A scripted ECS under tokio's paused clock.

use std::collections::BTreeMap;

use tokio::time::advance;

use super::*;
use crate::ecs::{ApiCall, Class, ErrorResponse, Executed, InstanceStatus, OsType};

const INTERVAL: Duration = Duration::from_secs(3);
const TTL: Duration = Duration::from_mins(1);

#[derive(Default)]
struct Script {
    instances: BTreeMap<String, InstanceStatus>,
    /// A call for one of these is refused.
    poisonous: BTreeSet<String>,
    not_ready: Option<&'static str>,
    /// Every call is refused with this.
    refused: Option<ErrorResponse>,
    not_before: Option<Instant>,
    start_time: Option<Timestamp>,
    tags: BTreeMap<String, String>,
    panics: bool,
    calls: Vec<(Instant, Vec<String>)>,
}

#[derive(Clone, Default)]
struct Ecs(Arc<Mutex<Script>>);

impl Ecs {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn set(&self, id: &str, status: InstanceStatus) {
        self.script().instances.insert(id.into(), status);
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.script().calls.iter().map(|(_, ids)| ids.clone()).collect()
    }
}

impl Describe for Ecs {
    async fn describe(&self, _: &Scope, ids: Vec<String>) -> Described {
        assert!(!std::mem::take(&mut self.script().panics), "scripted");
        let mut script = self.script();
        let result = if let Some(again_at) = script.not_before.take() {
            Err(DescribeError::NotBefore(again_at))
        } else if let Some(why) = script.not_ready {
            Err(DescribeError::NotReady(why.to_owned()))
        } else if let Some(refusal) = &script.refused {
            Err(CallError::Refused(refusal.clone()).into())
        } else if ids.iter().any(|id| script.poisonous.contains(id)) {
            Err(CallError::Refused(gone()).into())
        } else {
            let found = |id: &String| {
                let status = script.instances.get(id)?;
                Some(Instance { tags: script.tags.clone(), ..instance(id, status, script.start_time) })
            };
            Ok(ids.iter().filter_map(found).collect())
        };
        script.calls.push((now(), ids));
        Described { sent_at: wall(now()), result }
    }
}

fn gone() -> ErrorResponse {
    ErrorResponse {
        action: ApiCall::DescribeInstances,
        code: "InvalidInstanceIds.NotFound".into(),
        http_status: 404,
        request_id: None,
        unreadable: None,
        names_instance_id: false,
        executed: Executed::No,
        class: Class::Gone,
        retry_after: None,
    }
}

fn instance(id: &str, status: &InstanceStatus, start_time: Option<Timestamp>) -> Instance {
    Instance {
        instance_id: id.into(),
        name: String::new(),
        status: status.clone(),
        zone_id: String::new(),
        os_type: OsType::Linux,
        key_pair_name: None,
        start_time,
        expired_time: None,
        locks: Vec::new(),
        tags: BTreeMap::new(),
    }
}

/// The paused clock as ECS's: whole seconds since the test began.
fn wall(at: Instant) -> Timestamp {
    thread_local!(static BEGAN: Instant = now());
    let elapsed = BEGAN.with(|began| at.saturating_duration_since(*began));
    Timestamp::UNIX_EPOCH + elapsed
}

struct World {
    ecs: Ecs,
    instances: Instances<&'static str>,
    woken: mpsc::Receiver<&'static str>,
    scope: Scope,
}

impl World {
    fn new(ids: &[(&str, InstanceStatus)]) -> Self {
        wall(now());
        let ecs = Ecs::default();
        for (id, status) in ids {
            ecs.set(id, status.clone());
        }
        let (wake, woken) = mpsc::channel(100);
        let scope = Scope { account: "prod".into(), region_id: "eu-central-1".into() };
        Self { instances: Instances::new(ecs.clone(), wake, INTERVAL), ecs, woken, scope }
    }

    fn ask(&self, waiter: &'static str, ids: &[&str], fresh_after: Option<Timestamp>) {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.instances.subscribe(waiter, &self.scope, &ids, fresh_after, TTL);
    }

    /// Lets the tasks do what is due after `duration`; returns who was woken meanwhile.
    async fn pass(&mut self, duration: Duration) -> Vec<&'static str> {
        settle().await;
        advance(duration).await;
        settle().await;
        let mut woken = Vec::new();
        while let Ok(waiter) = self.woken.try_recv() {
            woken.push(waiter);
        }
        woken.sort_unstable();
        woken
    }

    fn latest(&self, id: &str) -> Option<Observation> {
        self.instances.latest(&self.scope, id)
    }

    fn status(&self, id: &str) -> Option<InstanceStatus> {
        self.latest(id)?.instance.map(|instance| instance.status.clone())
    }
}

async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

use InstanceStatus::{Running, Stopped, Stopping};

#[tokio::test(start_paused = true)]
async fn the_first_look_is_taken_at_once_and_wakes() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1", "i-2"], None);
    assert_eq!(world.pass(Duration::ZERO).await, ["a"]);
    assert_eq!(world.status("i-1"), Some(Running));
    assert_eq!(world.latest("i-2").unwrap().instance, None, "not in the answer");
    assert_eq!(world.latest("i-3"), None, "nobody asked");
}

#[tokio::test(start_paused = true)]
async fn only_those_whose_instance_changed_are_woken() {
    let mut world = World::new(&[("i-1", Running), ("i-2", Running)]);
    world.ask("a", &["i-1"], None);
    world.ask("b", &["i-2"], None);
    assert_eq!(world.pass(Duration::ZERO).await, ["a", "b"]);
    assert_eq!(world.pass(INTERVAL).await, [""; 0]);
    world.ecs.set("i-2", Stopping);
    assert_eq!(world.pass(INTERVAL).await, ["b"]);
    assert_eq!(world.ecs.calls(), vec![vec!["i-1", "i-2"]; 3], "one call reads what both ask for");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_tags_wakes() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    assert_eq!(world.pass(INTERVAL).await, [""; 0]);
    world.ecs.script().tags.insert("password-reset".into(), "enabled".into());
    assert_eq!(world.pass(INTERVAL).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn fresh_reading_wakes_once_if_sent_late_enough() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], Some(second(6)));
    assert_eq!(world.pass(Duration::ZERO).await, ["a"], "the first look is a change");
    assert_eq!(world.pass(INTERVAL).await, [""; 0], "sent at 3 s");
    assert_eq!(world.pass(INTERVAL).await, ["a"], "sent at 6 s");
    assert_eq!(world.pass(INTERVAL).await, [""; 0], "told once");
    assert_eq!(world.latest("i-1").unwrap().sent_at, second(9));
}

#[tokio::test(start_paused = true)]
async fn since_is_the_first_read_of_an_unbroken_row() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    world.ecs.set("i-1", Stopped);
    world.pass(INTERVAL).await;
    world.pass(INTERVAL).await;
    let observed = world.latest("i-1").unwrap();
    assert_eq!((observed.since, observed.sent_at), (second(3), second(6)));
    world.ecs.script().instances.clear();
    world.pass(INTERVAL).await;
    assert_eq!(world.latest("i-1").unwrap(), Observation { instance: None, sent_at: second(9), since: second(9) });
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_not_seen_wakes_but_is_the_same_status() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    world.ecs.script().start_time = Some(second(0));
    assert_eq!(world.pass(INTERVAL).await, ["a"]);
    assert_eq!(world.latest("i-1").unwrap().since, second(0));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_panicked_is_started_again_by_the_next_ask() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ecs.script().panics = true;
    world.ask("a", &["i-1"], None);
    assert_eq!(world.pass(INTERVAL).await, [""; 0]);
    world.ask("a", &["i-1"], None);
    assert_eq!(world.pass(Duration::ZERO).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn unpolled_readings_are_forgotten_and_since_has_no_gap() {
    let mut world = World::new(&[("i-1", Running), ("i-2", Running)]);
    world.ask("a", &["i-1"], None);
    world.ask("b", &["i-2"], None);
    world.pass(Duration::ZERO).await;
    world.instances.unsubscribe(&"a");
    world.pass(INTERVAL).await;
    assert_eq!(world.latest("i-1"), None);
    world.ask("a", &["i-1"], None);
    world.pass(INTERVAL).await;
    assert_eq!(world.latest("i-1").unwrap().since, second(6));
    assert_eq!(world.latest("i-2").unwrap().since, second(0));
}

#[tokio::test(start_paused = true)]
async fn a_new_ask_replaces_the_old_one_also_in_another_scope() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    let elsewhere = Scope { account: "prod".into(), region_id: "cn-hangzhou".into() };
    world.instances.subscribe("a", &elsewhere, &["i-1".to_owned()], None, TTL);
    world.pass(INTERVAL).await;
    assert_eq!(world.latest("i-1"), None);
    assert!(world.instances.latest(&elsewhere, "i-1").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_interest_lapses_and_the_task_ends() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    for _ in 0..30 {
        world.pass(INTERVAL).await;
    }
    assert_eq!(world.ecs.calls().len(), 20, "polled from 0 s to 57 s");
    let state = world.instances.shared.lock();
    assert!(state.polled.is_empty() && state.scope_of.is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_instances_are_read_a_hundred_a_call() {
    let mut world = World::new(&[]);
    let ids: Vec<String> = (0..250).map(|number| format!("i-{number:03}")).collect();
    world.instances.subscribe("a", &world.scope, &ids, None, TTL);
    world.pass(Duration::ZERO).await;
    let sizes: BTreeSet<usize> = world.ecs.calls().iter().map(Vec::len).collect();
    assert_eq!((world.ecs.calls().len(), sizes), (3, [50, 100].into()));
}

#[tokio::test(start_paused = true)]
async fn poisonous_instance_is_found_and_read_alone() {
    let ids: Vec<String> = (0..100).map(|number| format!("i-{number:03}")).collect();
    let mut world = World::new(&[]);
    for id in &ids {
        world.ecs.set(id, Running);
    }
    world.ecs.script().poisonous.insert("i-042".into());
    world.instances.subscribe("a", &world.scope, &ids, Some(second(3)), Duration::from_mins(10));
    world.pass(Duration::ZERO).await;
    assert_eq!(world.latest("i-042").unwrap().instance, None);
    assert_eq!((world.status("i-041"), world.status("i-043")), (Some(Running), Some(Running)));
    assert!(world.ecs.calls().len() < 20, "{}", world.ecs.calls().len());
    assert_eq!(world.instances.poll_error(&world.scope), None, "the others can be read");

    world.ecs.script().calls.clear();
    world.pass(INTERVAL).await;
    assert_eq!(world.ecs.calls().iter().map(Vec::len).collect::<Vec<_>>(), [99], "not in every poll");
    world.ecs.script().poisonous.clear();
    for _ in 0..10 {
        world.pass(INTERVAL).await;
    }
    assert_eq!(world.status("i-042"), Some(Running), "it is tried again");
    assert_eq!(world.ecs.calls().last().unwrap().len(), 100, "and then asked for with the others");
}

#[tokio::test(start_paused = true)]
async fn poll_error_wakes_every_waiter_at_begin_and_end() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.ask("b", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    world.ecs.script().not_ready = Some("no credentials");
    assert_eq!(world.pass(INTERVAL).await, ["a", "b"]);
    assert_eq!(world.instances.poll_error(&world.scope), Some(DescribeError::NotReady("no credentials".to_owned())));
    assert_eq!(world.pass(INTERVAL).await, [""; 0]);
    assert_eq!(world.latest("i-1").unwrap().sent_at, second(0), "the old observation is kept");
    world.ecs.script().not_ready = None;
    assert_eq!(world.pass(INTERVAL).await, ["a", "b"]);
    assert_eq!(world.instances.poll_error(&world.scope), None);
    assert_eq!(world.latest("i-1").unwrap().since, second(0), "a failed poll is not a read");
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_refused_for_good_back_off_until_they_are_not() {
    let mut world = World::new(&[("i-1", Running)]);
    let refusal = ErrorResponse { code: "InvalidRegionId.NotFound".into(), class: Class::Invalid, ..gone() };
    world.ecs.script().refused = Some(refusal.clone());
    world.instances.subscribe("a", &world.scope, &["i-1".to_owned()], None, Duration::from_mins(10));
    world.pass(Duration::ZERO).await;
    let began = world.ecs.script().calls[0].0;
    for _ in 0..40 {
        world.pass(INTERVAL).await;
    }
    let asked: Vec<u64> = world.ecs.script().calls.iter().map(|(at, _)| (*at - began).as_secs()).collect();
    assert_eq!(asked, [0, 6, 18, 42, 90], "a minute at most");

    // What ECS does not refuse is asked for as usual, and so is what it refuses for the moment.
    let throttled = ErrorResponse { code: "Throttling.User".into(), class: Class::Throttled, ..refusal };
    world.ecs.script().refused = Some(throttled);
    for _ in 0..11 {
        world.pass(INTERVAL).await;
    }
    world.ecs.script().calls.clear();
    world.pass(INTERVAL).await;
    assert_eq!(world.ecs.calls().len(), 1);
    world.ecs.script().refused = None;
    assert!(!world.pass(INTERVAL).await.is_empty());
    assert_eq!(world.status("i-1"), Some(Running));
}

#[tokio::test(start_paused = true)]
async fn the_limiter_postpones_a_call_and_loses_none() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ecs.script().not_before = Some(now() + Duration::from_secs(1));
    world.ask("a", &["i-1"], None);
    assert_eq!(world.pass(Duration::ZERO).await, [""; 0]);
    assert_eq!(world.pass(Duration::from_secs(1)).await, ["a"]);
    assert_eq!(world.latest("i-1").unwrap().sent_at, second(1));
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_when_nobody_listens() {
    let mut world = World::new(&[("i-1", Running)]);
    world.ask("a", &["i-1"], None);
    world.pass(Duration::ZERO).await;
    world.woken.close();
    settle().await;
    assert!(world.instances.shared.lock().polled.is_empty());
}
