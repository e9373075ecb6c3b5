//! The tenants, what they may, and the world they share. It decides nothing about what must be refused.

use std::cell::{Cell, OnceCell};

use serde_json::{Value, json};

use crate::attempt::{Attempt, Layer, refused};
use crate::common::{
    AccessKey, Config, NAMESPACE, Outcome, PASSWORD, SYSTEM_NAMESPACE, Setup, World, eventually, manifests, row,
};
use crate::settle::{instances, settle, wait_for_rights};

/// The namespace of another team, which the account `default` does not serve.
pub const SHOP: &str = "shop";
/// A namespace that `default` serves, whose owner has not let the controller read Secrets.
pub const LOCKED: &str = "locked";
/// The namespace of an agent that deploys, which no account serves.
pub const GITOPS: &str = "gitops";
/// The instance that the one honest reset is about.
pub const INSTANCE: &str = "i-honest00001";
/// The instance that is asked for in attempts; by its tag it is `prod`'s.
pub const PREY: &str = "i-prey0000001";
/// An account for `prod` and `shop`, whose rules tell their machines apart.
pub const SHARED: &str = "shared";
/// An account like `shared` whose identity may not describe instances.
pub const BLIND: &str = "blind";
/// By their tag `prod`'s: Alice may reset them through `shared`. The first is reset before all attempts.
pub const OURS: [&str; 2] = ["i-ours0000001", "i-ours0000002"];
/// By its tag `shop`'s.
pub const THEIRS: &str = "i-theirs00001";
/// Another of `shop`'s, which its owner restarts all the while.
pub const BUSY: &str = "i-theirs00002";
/// Nobody's: there is no such machine.
pub const NOWHERE: &str = "i-nowhere00001";

/// The person that tries.
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
            Self::Agent => vec![(NAMESPACE, "edit"), (SHOP, "edit"), (GITOPS, "edit")],
        }
    }

    /// Roles in the whole cluster.
    pub fn cluster_roles(self) -> &'static [&'static str] {
        match self {
            Self::Alice | Self::Ned | Self::Star | Self::Agent => &["ecs-password-reset-use-default", "use-shared"],
            _ => &[],
        }
    }
}

/// The world with everybody in it, after two honest resets by Alice: `web`, and `ours` through `shared`. `asleep` is
/// suspended, and `theirs` of `shop` is restarting. `refused` and `refused-asleep` of `shop` name the account `default`, which
/// does not serve it.
pub struct Town {
    pub world: World,
    /// The words for a machine that does not exist, while it is waited for and after that.
    pub nowhere: [OnceCell<Value>; 2],
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
        let blind = AccessKey::new("blindid", "blindsecret").deny("DescribeInstances", None);
        let ecs = Config { instances: instances(), ..Config::default() }.with_access_key(blind);
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut world = World::without_controller(Setup { ecs, flags, ..Setup::default() });
        settle(&world);
        prepare(&world);
        wait_for_rights(&world);
        world.start_controller();
        world.wait_for_account("Ready");
        let town = Self { world, nowhere: Default::default(), changes: Cell::new(0) };
        town.live();
        town
    }

    /// Honest resets, so that there is something to tamper with, and proof that all of this works.
    fn live(&self) {
        let shared = |id: &str| json!({"instanceIDs": [id], "accountRef": {"name": SHARED}});
        for (who, namespace, name, spec) in [
            (Who::Alice, NAMESPACE, "web", json!({"instanceIDs": [INSTANCE], "runID": "1"})),
            (Who::Alice, NAMESPACE, "asleep", json!({"instanceIDs": [PREY], "suspend": true})),
            (Who::Alice, NAMESPACE, "ours", shared(OURS[0])),
            (Who::Star, SHOP, "theirs", shared(BUSY)),
            // A machine that does not exist: some attempts let the account serve everybody.
            (Who::Star, SHOP, "refused", json!({"instanceIDs": [NOWHERE]})),
            (Who::Star, SHOP, "refused-asleep", json!({"instanceIDs": [PREY], "suspend": true})),
        ] {
            let object = manifests::password_reset(namespace, name, spec);
            self.as_user(who, &["create", "--filename=-"], &object.to_string()).unwrap();
        }
        for (name, id) in [("web", INSTANCE), ("ours", OURS[0])] {
            let status = self.world.wait_until_done(name);
            self.world.assert_reset_and_restarted_once(&status, id, PASSWORD);
        }
        eventually("the machine of others is restarting", || {
            let theirs = self.world.get_in(SHOP, "passwordreset", "theirs");
            (row(&theirs["status"], BUSY)["state"] == "Restarting").then_some(())
        });
        self.changes.set(self.changes(None));
    }

    /// Runs kubectl as another user.
    pub fn as_user(&self, who: Who, arguments: &[&str], input: &str) -> Result<String, String> {
        self.world.try_kubectl(&[&["--as", who.user()], arguments].concat(), input)
    }

    /// How often ECS was asked to change a machine that is not Alice's own. Where RAM is what refuses, how often it did.
    fn changes(&self, off: Option<Layer>) -> usize {
        let changing = ["ModifyInstanceAttribute", "RebootInstance", "StartInstance", "StopInstance"];
        self.world.journal(|journal| {
            let asked = journal.requests().filter(|it| changing.contains(&it.action.as_str()));
            let others = asked.filter(|it| !it.instance_ids.iter().any(|id| OURS.contains(&id.as_str())));
            others.filter(|it| off != Some(Layer::Consent) || it.outcome == Outcome::Executed).count()
        })
    }

    /// Makes every attempt; with a layer switched off, those that two layers stand in the way of, and that is one of them.
    pub fn refuses(&self, attempts: &[Attempt], off: Option<Layer>) {
        let concerned: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.is_for(off)).collect();
        assert!(!concerned.is_empty(), "no attempt has {off:?} as one of two layers");
        let mut failures = Vec::new();
        let mut fail = |attempt: &Attempt, why: &str| {
            let failure = format!("{} ({}): {why}", attempt.id, attempt.what);
            // At once too: a later attempt may wait in vain because of this one.
            eprintln!("{failure}");
            failures.push(failure);
        };
        for attempt in &concerned {
            if let Err(why) = refused(self, attempt, off) {
                fail(attempt, &why);
            }
            let changes = self.changes(off);
            if changes != self.changes.replace(changes) {
                fail(attempt, "ECS was asked to change something");
            }
        }
        assert!(failures.is_empty(), "{} of {} attempts:\n{}", failures.len(), concerned.len(), failures.join("\n"));
        let own = concerned.iter().filter(|attempt| attempt.own).count();
        assert_eq!(
            OURS.map(|id| self.world.modifies(id)).iter().sum::<usize>(),
            1 + own,
            "what is asked of one's own machines is done"
        );
        println!("{} attempts refused with {off:?} off", concerned.len());
        if off.is_none() {
            self.still_works();
        }
    }

    /// After all of it, Alice's next run is done as if nothing had been.
    fn still_works(&self) {
        // ECS shows one of two starts within one minute: the second restart would wait for the next.
        self.world.advance(60);
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
        self.world.assert_untouched(THEIRS);
    }
}
