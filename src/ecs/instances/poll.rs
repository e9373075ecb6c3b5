//! The poll task of one account and region. All it knows between two polls is in the shared state.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep_until;

use super::{Describe, DescribeError, Described, Scope, Shared, now};
use crate::ecs::wire::INSTANCES_PER_CALL_MAX;
use crate::ecs::{CallError, Instance};

/// How soon an instance that makes ECS refuse a call is asked for again: a call of its own each time.
const REFUSED_INTERVAL: Duration = Duration::from_secs(30);
/// The longest pause after reads that were refused, in usual ones: a minute where those have three seconds.
const LONGEST_PAUSE: u32 = 20;

/// Polls until nobody asks, or nobody listens.
pub(super) async fn run<W, D>(shared: Arc<Shared<W>>, describe: Arc<D>, scope: Scope)
where
    W: Clone + Ord + Hash + Send + Sync + 'static,
    D: Describe,
{
    let poll = Poll { shared, describe, scope };
    let listened = poll.shared.wake.clone();
    tokio::select! {
        biased;
        () = poll.poll_while_asked() => {}
        () = listened.closed() => { poll.shared.lock().polled.remove(&poll.scope); }
    }
}

struct Poll<W, D> {
    shared: Arc<Shared<W>>,
    describe: Arc<D>,
    scope: Scope,
}

impl<W: Clone + Ord + Hash + Send + Sync + 'static, D: Describe> Poll<W, D> {
    async fn poll_while_asked(&self) {
        let mut pause = 1;
        loop {
            let began = now();
            let calls = self.shared.lock().begin_poll(&self.scope, INSTANCES_PER_CALL_MAX);
            let Some(calls) = calls else { return };
            let is_refused = self.poll(calls).await;
            // No next call is answered otherwise before a person has changed something.
            pause = if is_refused { (pause * 2).min(LONGEST_PAUSE) } else { 1 };
            sleep_until(began + self.shared.interval * pause).await;
        }
    }

    /// One round. An error is reported when it comes up, and taken back only by a whole round without any. Returns whether ECS refuses
    /// to be read.
    async fn poll(&self, mut calls: Vec<Vec<String>>) -> bool {
        let (mut good, mut is_refused) = (true, false);
        while let Some(ids) = calls.pop() {
            let Described { sent_at, result } = self.describe.describe(&self.scope, ids.clone()).await;
            match result {
                Ok(instances) => self.publish(&ids, sent_at, instances).await,
                Err(DescribeError::NotBefore(again_at)) => {
                    calls.push(ids);
                    sleep_until(again_at).await;
                }
                Err(DescribeError::Call(CallError::Refused(refusal))) if refusal.blames_an_instance() => {
                    match halves(ids) {
                        Ok((left, right)) => calls.extend([right, left]),
                        Err(alone) => self.publish_refused(&alone, sent_at).await,
                    }
                }
                Err(error @ (DescribeError::Call(_) | DescribeError::NotReady(_) | DescribeError::Endless(_))) => {
                    good = false;
                    is_refused |= error.is_refused();
                    self.set_error(Some(error)).await;
                }
            }
        }
        if good {
            self.set_error(None).await;
        }
        is_refused
    }

    async fn publish(&self, ids: &[String], sent_at: Timestamp, instances: Vec<Instance>) {
        let woken = self.shared.lock().polled.get_mut(&self.scope).map(|polled| {
            polled.refused.retain(|id, _| !ids.contains(id));
            polled.publish(ids, sent_at, instances)
        });
        self.wake(woken.unwrap_or_default()).await;
    }

    /// ECS refuses the call for this instance alone: as absent as one that is not in the answer.
    async fn publish_refused(&self, alone: &[String], sent_at: Timestamp) {
        let woken = self.shared.lock().polled.get_mut(&self.scope).map(|polled| {
            polled.refused.extend(alone.iter().map(|id| (id.clone(), now() + REFUSED_INTERVAL)));
            polled.publish(alone, sent_at, Vec::new())
        });
        self.wake(woken.unwrap_or_default()).await;
    }

    async fn set_error(&self, error: Option<DescribeError>) {
        let woken = self.shared.lock().polled.get_mut(&self.scope).map(|polled| polled.set_error(error));
        self.wake(woken.unwrap_or_default()).await;
    }

    async fn wake(&self, waiters: Vec<W>) {
        for waiter in waiters {
            // Only fails when nobody listens, which ends the task.
            let _ = self.shared.wake.send(waiter).await;
        }
    }
}

/// `Err` is the one that cannot be halved.
fn halves(mut ids: Vec<String>) -> Result<(Vec<String>, Vec<String>), Vec<String>> {
    if ids.len() < 2 {
        return Err(ids);
    }
    let right = ids.split_off(ids.len() / 2);
    Ok((ids, right))
}
