//! Every reason that a condition, an instance's row or an event can carry, with what follows from it.
//!
//! The field `reason` shows its name; the sentence in `message` is made elsewhere. Its properties say what follows from it: nothing outside
//! this folder compares reasons.

use std::fmt;

/// What follows from a reason, wherever it is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    /// It does not pass by itself: a person has to act.
    NeedsPerson,
    /// A row that failed with it before a claim stays so until something new is asked for: it came by a deadline.
    StandsUntilAsked,
    /// The instance is not there, or not for this object.
    TargetMissing,
    /// The Secret can no longer hold the password that was claimed.
    SecretLost,
    /// It is tried again, and passes without a person.
    PassesByItself,
    /// Instances cannot be read at all.
    HidesInstances,
    /// It counts towards `maxFailures` although the password is set.
    CountsAsFailure,
    /// It lies with the object and not with the instance: a failed row with it is checked again at each reconcile.
    OfObject,
    /// A person may decide on an Unknown with it, although no restart was requested.
    Decidable,
    /// Nothing more begins under the run.
    HaltsRun,
    /// The stored object cannot be used.
    Unusable,
    /// The instance is known not to be there any more: there is nothing to try again.
    Gone,
    /// A person has pulled a brake.
    Brake,
    /// It names what is waited for, so that an object that only waits has it as its own.
    Waits,
    /// What it waits for comes by itself, in a time that can be estimated.
    Estimable,
    /// It says no more than how far the claim is: what is waited for may be said instead.
    Plain,
    /// It was said while the instance was away, which may come back later.
    ReturnsLate,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: [$($property:ident),*];)*) => {
        /// Why something is as it is. Users see the variant's name in the field `reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, in the order of this file.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name, as users see it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            const fn properties(self) -> &'static [Property] {
                match self {
                    $(Self::$name => &[$(Property::$property),*],)*
                }
            }
        }
    };
}

reasons! {
    // Objects that are being worked on.
    /// Nothing has begun yet.
    Pending: [Estimable];
    /// An instance is not there, locked or in transition.
    WaitingForStableState: [];
    /// Passwords are being sent.
    SettingPasswords: [];
    /// Instances are being restarted.
    Restarting: [];
    /// `suspend: true`, of the object or its account, holds back what has not begun and restarts that were not requested.
    Suspended: [Waits, Brake];
    /// It is not `notBefore` yet.
    NotBefore: [Waits, Estimable];
    /// `mode: Plan`: what would be done is shown, and nothing is changed.
    Planned: [];
    /// It was not begun by `notAfter`.
    Expired: [];
    /// The selector matches no instance that may be reset.
    NoTargets: [NeedsPerson];
    /// The selector matches more instances than `maxTargets`.
    TooManyTargets: [NeedsPerson];
    /// No maintenance window is open.
    WaitingForWindow: [Waits, Estimable];
    /// ECS throttles the account's calls, or the controller spaces them out.
    HeldBack: [Waits, Estimable];
    /// Every instance is done.
    Succeeded: [];

    // Errors that may go away by themselves.
    /// Something in the way is retried; the Ready condition says what.
    ProgressingWithRetry: [];
    /// ECS has throttled the account's calls.
    Throttled: [PassesByItself];
    /// ECS or the way to it is out of order.
    ECSUnavailable: [PassesByItself, HidesInstances];
    /// ECS refuses to show the account's instances of the region.
    ReadRefused: [HidesInstances];
    /// The Secret does not exist.
    SecretNotFound: [SecretLost];
    /// The Secret has no such key.
    SecretKeyNotFound: [SecretLost, OfObject];
    /// The controller may not read Secrets in the object's namespace.
    SecretNotPermitted: [];
    /// The API server did not answer with the Secret.
    SecretUnavailable: [];
    /// There is no `ECSAccount` of that name.
    AccountNotFound: [];
    /// The `ECSAccount` is not Ready.
    AccountNotReady: [PassesByItself, HidesInstances];
    /// The `ECSAccount` does not allow the object's namespace.
    NamespaceNotAllowed: [NeedsPerson];
    /// The `ECSAccount` does not allow the region.
    RegionNotAllowed: [NeedsPerson];

    // What a person has to see to.
    /// The password breaks ECS's rules.
    InvalidPassword: [NeedsPerson, SecretLost, OfObject];
    /// The object is stored in a form that this version cannot go by.
    InvalidSpec: [Unusable];
    /// The record of an instance is stored in a form that this version cannot go by.
    RecordUnusable: [Unusable];
    /// ECS refuses the action to the account's identity.
    NotPermitted: [StandsUntilAsked, TargetMissing, NeedsPerson, Waits];
    /// The annotation `resolve-unknown` decides on a claim that has not begun.
    DecidedBeforehand: [Unusable, Waits];
    /// More instances failed than `maxFailures`; the rest is left alone.
    PausedOnFailure: [];
    /// Some instances failed, others are done.
    PartiallyFailed: [];
    /// All instances failed, for different reasons.
    Failed: [];
    /// The Secret's value was changed after a run had set the earlier one: a run has one password.
    SecretChangedDuringRun: [HaltsRun];
    /// The outcome of a request cannot be proven.
    OutcomeUnknown: [];

    // One instance, before its claim.
    /// Every slot of `maxUnavailable` is taken.
    WaitingForSlot: [Waits, Estimable];
    /// Every slot of the account's `maxUnavailable` is taken.
    WaitingForAccountSlot: [Waits];
    /// An instance that was restarted has not been Running for `minReadySeconds` yet.
    WaitingForMinReady: [Waits, Estimable];
    /// Every slot is held by an instance that does not come back by itself, and the others wait for a person.
    SlotHeld: [];
    /// Another `PasswordReset` is at work on the instance.
    InstanceBusy: [Waits];
    /// The last restart was less than the account's `minRestartIntervalSeconds` ago.
    MinRestartInterval: [Waits];
    /// A request whose outcome is not known may still be carried out.
    AnswerOutstanding: [Waits];
    /// The record of the instance cannot take another owner.
    TooManyOwners: [Waits];
    /// ECS does not show the instance.
    InstanceNotFound: [StandsUntilAsked, TargetMissing, Waits];
    /// The account has rules, and the instance does not exist, cannot be seen, or no rule covers it for the object's namespace:
    /// which of them is for the account's owner to know.
    InstanceNotAllowed: [StandsUntilAsked, TargetMissing, Waits];
    /// The instance did not become Running or Stopped in time, or its password could not be sent in that time.
    StableStateTimeout: [StandsUntilAsked];
    /// ECS has locked the instance.
    InstanceLocked: [StandsUntilAsked, Waits];
    /// The instance has expired.
    InstanceExpired: [StandsUntilAsked, Waits];

    // One instance, from its claim on.
    /// The password is being sent.
    SettingPassword: [Plain];
    /// ECS has acknowledged the password.
    PasswordSet: [Plain];
    /// The restart waits for the next minute: ECS tells start times in minutes.
    WaitingForRestart: [Waits];
    /// A start after the password was set has been observed.
    RestartProven: [];
    /// A person has decided that a restart whose outcome was Unknown happened.
    ResolvedByPerson: [];
    /// The instance was Stopped when the password was set.
    SetWhileStopped: [];
    /// `restart.policy` is Never.
    RestartPolicyNever: [];
    /// The instance was stopped before its restart was requested.
    StoppedBeforeRestart: [];
    /// The owner is gone, and its restart was held back, or the maintenance window is closed in which the instance was claimed.
    OwnerGone: [];
    /// A restart ended with the instance Stopped.
    StoppedAfterRestart: [CountsAsFailure];
    /// ECS refused the password.
    PasswordRefused: [];
    /// ECS refused the restart, or it could not begin in time; the password takes effect at the next start.
    RestartRefused: [];
    /// An accepted restart did not finish in time.
    RestartStuck: [ReturnsLate];
    /// Whether the restart was carried out is not known.
    RestartOutcomeUnknown: [];
    /// Whether the password was set is not known.
    PasswordOutcomeUnknown: [];
    /// The controller's memory of the instance is lost or damaged: whether it was reset is not known, and nothing is sent.
    MemoryLost: [Decidable];
    /// ECS does not show the instance any more, although the account may describe it.
    InstanceReleased: [TargetMissing, Gone];
    /// Another `PasswordReset` has since reset the instance.
    Superseded: [];

    // Details of the other conditions.
    /// The account can be used.
    AccountReady: [];
    /// The password can be read and fits ECS's rules.
    PasswordReady: [];
    /// Every instance was found.
    TargetsResolved: [];
    /// Not every instance was found.
    TargetsNotFound: [];
    /// Nothing has been looked at yet.
    NotChecked: [];
    /// The instances that are done have the password that the Secret holds now.
    SecretInSync: [];
    /// The Secret has been changed since instances were reset.
    SecretChanged: [];

    // Accounts.
    /// Credentials cannot be read.
    CredentialsNotFound: [];
    /// ECS does not accept the credentials.
    CredentialsRefused: [NeedsPerson];
    /// The endpoint cannot be used.
    EndpointRefused: [NeedsPerson];
    /// The credentials belong to another Alibaba Cloud account than `expectedAccountID`.
    WrongAccount: [NeedsPerson];
    /// This machine's clock and ECS's differ too much.
    ClockSkew: [NeedsPerson];
    /// An admission policy, or its binding, is not installed as this version ships it.
    PolicyMissing: [NeedsPerson];

    // Events.
    /// A run has begun.
    ResetRunStarted: [];
    /// A maintenance window is shorter than a restart may take.
    WindowTooShort: [];
    /// Resetting the password has re-enabled password logon beside a key pair.
    PasswordLogonEnabled: [];
}

impl Reason {
    /// The reason of a text that was stored; `None`: it is of another version, or written by hand.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|reason| reason.as_str() == text).copied()
    }

    /// What it becomes when the time to wait is over.
    #[must_use]
    pub const fn at_deadline(self) -> Self {
        match self {
            Self::WaitingForStableState => Self::StableStateTimeout,
            other => other,
        }
    }

    /// What it is called in the row of an instance that cannot be read. An empty answer has the other name, and ends the row.
    #[must_use]
    pub const fn while_unread(self) -> Self {
        match self {
            Self::NotPermitted => Self::ReadRefused,
            other => other,
        }
    }

    /// Where it comes among the reasons of rows that hold up the whole object, the first told first; `None`: it holds up its row only.
    pub const fn rank(self) -> Option<u8> {
        match self {
            Self::Throttled => Some(0),
            Self::ReadRefused => Some(1),
            Self::ECSUnavailable => Some(2),
            _ => None,
        }
    }
}

macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident: $property:ident;)*) => {
        impl Reason {
            $($(#[$doc])* pub fn $name(self) -> bool { self.properties().contains(&Property::$property) })*
        }
    };
}

predicates! {
    /// Whether a person has to act: it does not pass by itself.
    needs_person: NeedsPerson;
    /// Whether it is tried again, and passes without a person.
    passes_by_itself: PassesByItself;
    /// Whether a row that failed with it before a claim stays so until something new is asked for.
    stands_until_asked: StandsUntilAsked;
    /// Whether it lies with the object and not with the instance: a failed row with it is checked again at each reconcile.
    is_of_object: OfObject;
    /// Whether it counts towards `maxFailures` although the password is set.
    counts_as_failure: CountsAsFailure;
    /// Whether the instance is not there, or not for this object.
    is_target_missing: TargetMissing;
    /// Whether the instance is known not to be there any more: there is nothing to try again.
    is_gone: Gone;
    /// Whether a person has pulled a brake.
    is_brake: Brake;
    /// Whether instances cannot be read at all.
    hides_instances: HidesInstances;
    /// Whether the Secret can no longer hold the password that was claimed.
    is_secret_lost: SecretLost;
    /// Whether a person may decide on an Unknown with it, although no restart was requested.
    is_decidable: Decidable;
    /// Whether what it waits for comes by itself, in a time that can be estimated.
    is_estimable: Estimable;
    /// Whether nothing more begins under the run.
    halts_run: HaltsRun;
    /// Whether what is stored cannot be used.
    is_unusable: Unusable;
    /// Whether it names what is waited for.
    names_wait: Waits;
    /// Whether it says no more than how far the claim is.
    is_plain: Plain;
    /// Whether it was said while the instance was away, which may come back later.
    returns_late: ReturnsLate;
}

/// Stored objects hold reasons as text.
impl PartialEq<Reason> for str {
    fn eq(&self, reason: &Reason) -> bool {
        self == reason.as_str()
    }
}

impl PartialEq<Reason> for String {
    fn eq(&self, reason: &Reason) -> bool {
        **self == *reason
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
#[path = "reason_tests.rs"]
mod tests;
