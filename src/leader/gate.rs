//! The gate in front of every mutating call to ECS: no [`Permit`], no call.
//!
//! Leadership is a value with an end, not a flag that somebody may forget to clear: a `Gate` is asked after the request
//! is signed and just before it is sent, so that waiting for a rate limiter or a slow write never stretches it.
//!
//! One replica runs (the Deployment's strategy is `Recreate`), hence one kind of leadership and no end to it. An election
//! becomes another variant of [`Leadership`], holding a watch on "leader until"; callers stay as they are.
//!
//! The gate is not what makes a second process harmless: a process may be paused between the permit and the send. The
//! record's compare-and-swap and the death of every request at `Timestamp` + validity are.

/// Hands out permits while this process leads.
#[derive(Clone, Debug)]
pub struct Gate {
    leadership: Leadership,
}

#[derive(Clone, Debug)]
enum Leadership {
    Always,
}

impl Gate {
    /// The gate of the only replica: open for as long as the process lives.
    #[must_use]
    pub const fn always() -> Self {
        Self { leadership: Leadership::Always }
    }

    /// A permit for one send, now; `None` when this process does not lead, or no longer: the pass ends without sending,
    /// and its stored intent is taken over like that of a process that died.
    #[must_use]
    pub const fn permit(&self) -> Option<Permit> {
        match self.leadership {
            Leadership::Always => Some(Permit(())),
        }
    }
}

/// The right to send one mutating request at once. Only a [`Gate`] makes it, it cannot be copied, and the function that
/// sends takes it by value: keeping it for later, or sending twice on one, does not compile.
///
/// ```compile_fail,E0382
/// # let gate = ecs_password_reset::leader::Gate::always();
/// let permit = gate.permit().unwrap();
/// permit.spend();
/// permit.spend();
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not spent on a send says nothing about the send that follows"]
pub struct Permit(());

impl Permit {
    /// Uses the permit up: the last statement before the request leaves.
    pub const fn spend(self) {
        let Self(()) = self;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_replica_always_gets_a_permit() {
        let gate = Gate::always();
        for _ in 0..2 {
            gate.permit().unwrap().spend();
        }
    }
}
