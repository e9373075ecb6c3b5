//! The tenants, what they may, and the world they share. It decides nothing about what must be refused.

use std::cell::Cell;

use serde_json::json;

use crate::attempt::{Attempt, Layer, refused};
use crate::common::{Config, Instance, NAMESPACE, PASSWORD, REGION, SYSTEM_NAMESPACE, Setup, World, manifests};
use crate::settle::{settle, wait_for_rights};

/// The namespace of another team, which the account `default` does not serve.
pub const SHOP: &str = "shop";
/// A namespace that `default` serves, whose owner has not let the controller read Secrets.
pub const LOCKED: &str = "locked";
/// The instance that the one honest reset is about.
pub const INSTANCE: &str = "i-honest00001";
/// The instance that is asked for in attempts.
pub const PREY: &str = "i-prey0000001";

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The aggregated role `edit` in `prod` and `locked`, and `use` of `default`: an honest tenant, and a curious one.
    Alice,
    /// As Alice, without `use` of any account.
    Eve,
    /// `use` of `default`, writes resets in `prod`, may get the Secret `other` there but not `root-password`.
    Ned,
    /// As Eve, and `use` of `default` by a RoleBinding.
    Rob,
    /// The aggregated role `view` in `prod`.
    Vera,
    /// The aggregated role `admin` in `shop`, without `use`.
    Bob,
    /// The aggregated role `admin` and `*` on `*` in `shop`, and `use` of `default`.
    Star,
    /// `*` on `*` in `prod` and in the controller's namespace. In the latter that includes a token of the controller, so there
    /// the policy guards against accidents only.
    Sys,
    /// The `ServiceAccount` of an agent that deploys: `edit` in the namespaces of the tenants, and `use` of `default`.
    Agent,
}

impl Who {
    /// Everybody.
    pub const ALL: [Self; 9] =
        [Self::Alice, Self::Eve, Self::Ned, Self::Rob, Self::Vera, Self::Bob, Self::Star, Self::Sys, Self::Agent];

    /// The name that they sign in with.
    pub fn user(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Eve => "eve",
            Self::Ned => "ned",
            Self::Rob => "rob",
            Self::Vera => "vera",
            Self::Bob => "bob",
            Self::Star => "star",
            Self::Sys => "sys",
            Self::Agent => "system:serviceaccount:gitops:agent",
        }
    }

    /// Roles in namespaces.
    pub fn roles(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Alice => vec![(NAMESPACE, "edit"), (LOCKED, "edit")],
            Self::Eve => vec![(NAMESPACE, "edit")],
            Self::Ned => vec![
                (NAMESPACE, "ecs-password-reset-edit"),
                (NAMESPACE, "ecs-password-reset-view"),
                (NAMESPACE, "get-other"),
            ],
            Self::Rob => vec![(NAMESPACE, "edit"), (NAMESPACE, "ecs-password-reset-use-default")],
            Self::Vera => vec![(NAMESPACE, "view")],
            Self::Bob => vec![(SHOP, "admin")],
            Self::Star => vec![(SHOP, "admin"), (SHOP, "star")],
            Self::Sys => vec![(NAMESPACE, "star"), (SYSTEM_NAMESPACE, "star")],
            Self::Agent => vec![(NAMESPACE, "edit"), (SHOP, "edit"), ("gitops", "edit")],
        }
    }

    /// Roles in the whole cluster.
    pub fn cluster_roles(self) -> &'static [&'static str] {
        match self {
            Self::Alice | Self::Ned | Self::Star | Self::Agent => &["ecs-password-reset-use-default"],
            _ => &[],
        }
    }
}

/// The world with everybody in it, after one honest reset: `web`, by Alice. `asleep` is suspended.
pub struct Town {
    pub world: World,
    changes: Cell<usize>,
}

impl Town {
    pub fn new() -> Self {
        Self::with(&[], |_| {})
    }

    /// The policies are deleted, and the controller told to work all the same.
    pub fn without_policies() -> Self {
        Self::with(&["--allow-missing-policy"], |world| {
            for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
                for name in ["ecs-password-reset-requests", "ecs-password-reset-results"] {
                    world.kubectl(&["delete", kind, name]);
                }
            }
        })
    }

    fn with(flags: &[&str], prepare: impl FnOnce(&World)) -> Self {
        let ecs =
            Config { instances: [INSTANCE, PREY].map(|id| Instance::running(id, REGION)).into(), ..Config::default() };
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut world = World::without_controller(Setup { ecs, flags, ..Setup::default() });
        settle(&world);
        prepare(&world);
        wait_for_rights(&world);
        world.start_controller();
        world.wait_for_account("Ready");
        let town = Self { world, changes: Cell::new(0) };
        town.live();
        town
    }

    /// One honest reset, so that there is something to tamper with, and proof that all of this works.
    fn live(&self) {
        for (name, spec) in [
            ("web", json!({"instanceIDs": [INSTANCE], "runID": "1"})),
            ("asleep", json!({"instanceIDs": [PREY], "suspend": true})),
        ] {
            let object = manifests::password_reset(NAMESPACE, name, spec);
            self.as_user(Who::Alice, &["create", "--filename=-"], &object.to_string()).unwrap();
        }
        let status = self.world.wait_until_done("web");
        self.world.assert_reset_and_restarted_once(&status, INSTANCE, PASSWORD);
        self.changes.set(self.asked_for_changes());
    }

    /// Runs kubectl as somebody else.
    pub fn as_user(&self, who: Who, arguments: &[&str], input: &str) -> Result<String, String> {
        self.world.try_kubectl(&[&["--as", who.user()], arguments].concat(), input)
    }

    /// How often ECS was asked to change something.
    pub fn asked_for_changes(&self) -> usize {
        let changing = ["ModifyInstanceAttribute", "RebootInstance", "StartInstance", "StopInstance"];
        self.world.journal(|journal| journal.requests().filter(|it| changing.contains(&it.action.as_str())).count())
    }

    /// Makes every attempt; with a layer switched off, those that two layers stand in the way of, and that is one of them.
    pub fn refuses(&self, attempts: &[Attempt], off: Option<Layer>) {
        let concerned: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.is_for(off)).collect();
        assert!(!concerned.is_empty(), "no attempt has {off:?} as one of two layers");
        let mut failures = Vec::new();
        for attempt in &concerned {
            if let Err(why) = refused(self, attempt, off) {
                failures.push(format!("{} ({}): {why}", attempt.id, attempt.what));
            }
            let changes = self.asked_for_changes();
            if changes != self.changes.replace(changes) {
                failures.push(format!("{} ({}): ECS was asked to change something", attempt.id, attempt.what));
            }
        }
        assert!(failures.is_empty(), "{} of {} attempts:\n{}", failures.len(), concerned.len(), failures.join("\n"));
        self.world.assert_untouched(PREY);
        println!("{} attempts refused with {off:?} off", concerned.len());
        if off.is_none() {
            self.still_works();
        }
    }

    /// After all of it, Alice's next run is done as if nothing had been.
    fn still_works(&self) {
        let patch = json!({"spec": {"runID": "after-all"}}).to_string();
        // Attempts have changed the Secret's value; what is in it now is Alice's business.
        self.as_user(
            Who::Alice,
            &["patch", "passwordreset", "web", "--type=merge", "--patch", &patch, "-n", NAMESPACE],
            "",
        )
        .unwrap();
        self.world.wait_for_run("web", 2);
        assert_eq!(self.world.reboots(INSTANCE), 2);
        self.world.assert_untouched(PREY);
    }
}
