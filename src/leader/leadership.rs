//! Leadership, as what every mutating call to ECS needs: without a [`LeaderPermit`] there is no call.
//!
//! It is a value with an end, not a flag that a caller may forget to clear: a `Leadership` is asked after the request
//! is signed and just before it is sent, so that waiting for a rate limiter or a slow write never stretches it. The end
//! needs no message to come true: a process that was paused finds it past when it wakes.
//!
//! It is not what makes a second process harmless: a process may be paused between the permit and the send. The
//! record's compare-and-swap and the death of every request at `Timestamp` + validity are.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::until_instant;

/// Hands out permits while this process leads.
#[derive(Clone, Debug)]
pub struct Leadership {
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    Never,
    /// Then; `None`: this process does not lead now.
    At(watch::Receiver<Option<Instant>>),
}

impl Leadership {
    /// An only replica, without election, leads for as long as the process lives.
    pub const fn always() -> Self {
        Self { end: End::Never }
    }

    /// It lasts until the moment last sent, and there is none while that is `None`.
    pub const fn until(end: watch::Receiver<Option<Instant>>) -> Self {
        Self { end: End::At(end) }
    }

    /// A permit for one send, now. `needed` is how long the request may take to leave this machine: no other process may lead
    /// before it has. `None` when this process does not lead for longer than that: the call counts as not sent, and this process
    /// writes that. Where that write fails too, the stored intent is taken over like that of a process that died.
    #[must_use]
    pub fn permit(&self, needed: Duration) -> Option<LeaderPermit> {
        let leads = match &self.end {
            End::Never => true,
            End::At(end) => end.borrow().is_some_and(|end| until_instant(end) > needed),
        };
        leads.then_some(LeaderPermit(()))
    }
}

/// The right to send one mutating request at once. Only a [`Leadership`] makes it, it cannot be copied, and the function that
/// sends takes it by value: keeping it for later, or sending twice on one, does not compile.
///
/// ```compile_fail,E0382
/// # let leadership = ecs_password_reset::leader::Leadership::always();
/// let permit = leadership.permit(std::time::Duration::ZERO).unwrap();
/// permit.spend();
/// permit.spend();
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not spent on a send says nothing about the send that follows"]
pub struct LeaderPermit(());

impl LeaderPermit {
    /// Uses the permit up: the last statement before the request leaves.
    pub const fn spend(self) {
        let Self(()) = self;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const NEEDED: Duration = Duration::from_secs(5);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_only_replica_always_gets_a_permit() {
        let leadership = Leadership::always();
        for _ in 0..2 {
            leadership.permit(NEEDED).unwrap().spend();
        }
    }

    #[tokio::test(start_paused = true)]
    #[allow(clippy::disallowed_methods)] // the origin of this test's moments
    async fn leadership_expires_and_longer_calls_get_no_permit() {
        let start = Instant::now();
        let (leads_until, end) = watch::channel(Some(start + seconds(15)));
        let leadership = Leadership::until(end);
        assert!(leadership.permit(NEEDED).is_some());
        advance(seconds(9)).await;
        assert!(leadership.permit(NEEDED).is_some());
        advance(seconds(1)).await;
        assert!(leadership.permit(NEEDED).is_none(), "the request could leave when another process leads");
        assert!(leadership.permit(Duration::ZERO).is_some());
        advance(seconds(5)).await;
        assert!(leadership.permit(Duration::ZERO).is_none());
        leads_until.send_replace(Some(start + seconds(30)));
        assert!(leadership.permit(NEEDED).is_some(), "it was renewed");
    }

    #[tokio::test(start_paused = true)]
    #[allow(clippy::disallowed_methods)] // the origin of this test's moments
    async fn standby_gets_no_permit() {
        let (leads_until, end) = watch::channel(None);
        let leadership = Leadership::until(end);
        assert!(leadership.permit(Duration::ZERO).is_none());
        leads_until.send_replace(Some(Instant::now() + seconds(15)));
        assert!(leadership.clone().permit(NEEDED).is_some());
        leads_until.send_replace(None);
        assert!(leadership.permit(Duration::ZERO).is_none());
    }
}
