//! Every reason that a condition, an instance's row or an event can carry: one list, so that a reason is never
//! misspelt and `docs/REASONS.md`, which says what to do about each, is held against it.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// All of them, in the order of this file.
        pub const ALL: &[&str] = &[$($text),*];
    };
}

reasons! {
    // Objects that are being worked on.
    /// Nothing has begun yet.
    PENDING = "Pending";
    /// An instance is not there, locked or in transition.
    WAITING_FOR_STABLE_STATE = "WaitingForStableState";
    /// Passwords are being sent.
    SETTING_PASSWORDS = "SettingPasswords";
    /// Instances are being restarted.
    RESTARTING = "Restarting";
    /// `suspend: true` holds back what has not begun.
    SUSPENDED = "Suspended";
    /// Every instance is done.
    SUCCEEDED = "Succeeded";

    // Trouble that may go away by itself.
    /// Something in the way is retried; the Ready condition says what.
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry";
    /// ECS has throttled the account's calls.
    THROTTLED = "Throttled";
    /// ECS or the way to it is out of order.
    ECS_UNAVAILABLE = "ECSUnavailable";
    /// ECS refuses to show the account's instances of the region.
    READ_REFUSED = "ReadRefused";
    /// The Secret does not exist.
    SECRET_NOT_FOUND = "SecretNotFound";
    /// The Secret has no such key.
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound";
    /// The controller may not read Secrets in the object's namespace.
    SECRET_NOT_PERMITTED = "SecretNotPermitted";
    /// The API server did not answer with the Secret.
    SECRET_UNAVAILABLE = "SecretUnavailable";
    /// There is no `ECSAccount` of that name.
    ACCOUNT_NOT_FOUND = "AccountNotFound";
    /// The `ECSAccount` is not Ready.
    ACCOUNT_NOT_READY = "AccountNotReady";
    /// The `ECSAccount` does not allow the object's namespace.
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed";
    /// The `ECSAccount` does not allow the region.
    REGION_NOT_ALLOWED = "RegionNotAllowed";

    // What a person has to see to.
    /// The password breaks ECS's rules.
    INVALID_PASSWORD = "InvalidPassword";
    /// The object, or the record of an instance, is stored in a form that this version cannot go by.
    INVALID_SPEC = "InvalidSpec";
    /// ECS refuses the action to the account's identity.
    NOT_PERMITTED = "NotPermitted";
    /// More instances failed than `maxFailures`; the rest is left alone.
    PAUSED_ON_FAILURE = "PausedOnFailure";
    /// Some instances failed, others are done.
    PARTIALLY_FAILED = "PartiallyFailed";
    /// All instances failed, for different reasons.
    FAILED = "Failed";
    /// The Secret's value was changed after a run had set the earlier one: a run has one password.
    SECRET_CHANGED_DURING_RUN = "SecretChangedDuringRun";
    /// The outcome of a request cannot be proven.
    OUTCOME_UNKNOWN = "OutcomeUnknown";

    // One instance, before its claim.
    /// Every slot of `maxUnavailable` is taken.
    WAITING_FOR_SLOT = "WaitingForSlot";
    /// Every slot is held by an instance that does not come back by itself, and the others wait for a person.
    SLOT_HELD = "SlotHeld";
    /// Another `PasswordReset` is at work on the instance.
    INSTANCE_BUSY = "InstanceBusy";
    /// The last restart was less than the account's `minRestartIntervalSeconds` ago.
    MIN_RESTART_INTERVAL = "MinRestartInterval";
    /// A request whose outcome is not known may still be carried out.
    ANSWER_OUTSTANDING = "AnswerOutstanding";
    /// The record of the instance cannot take another owner.
    TOO_MANY_OWNERS = "TooManyOwners";
    /// ECS does not show the instance.
    INSTANCE_NOT_FOUND = "InstanceNotFound";
    /// The account has rules, and the instance does not exist, cannot be seen, or no rule covers it for the object's namespace:
    /// which of them is for the account's owner to know.
    INSTANCE_NOT_ALLOWED = "InstanceNotAllowed";
    /// The instance did not become Running or Stopped in time, or its password could not be sent in that time.
    STABLE_STATE_TIMEOUT = "StableStateTimeout";
    /// ECS has locked the instance.
    INSTANCE_LOCKED = "InstanceLocked";
    /// The instance has expired.
    INSTANCE_EXPIRED = "InstanceExpired";

    // One instance, from its claim on.
    /// The password is being sent.
    SETTING_PASSWORD = "SettingPassword";
    /// ECS has acknowledged the password.
    PASSWORD_SET = "PasswordSet";
    /// A start after the password was set has been observed.
    RESTART_PROVEN = "RestartProven";
    /// A person has decided that a restart whose outcome was Unknown happened.
    RESOLVED_BY_PERSON = "ResolvedByPerson";
    /// The instance was Stopped when the password was set.
    SET_WHILE_STOPPED = "SetWhileStopped";
    /// `restart.policy` is Never.
    RESTART_POLICY_NEVER = "RestartPolicyNever";
    /// The instance was stopped before its restart was requested.
    STOPPED_BEFORE_RESTART = "StoppedBeforeRestart";
    /// A restart ended with the instance Stopped.
    STOPPED_AFTER_RESTART = "StoppedAfterRestart";
    /// ECS refused the password.
    PASSWORD_REFUSED = "PasswordRefused";
    /// ECS refused the restart, or it could not begin in time; the password takes effect at the next start.
    RESTART_REFUSED = "RestartRefused";
    /// An accepted restart did not finish in time.
    RESTART_STUCK = "RestartStuck";
    /// Whether the restart was carried out is not known.
    RESTART_OUTCOME_UNKNOWN = "RestartOutcomeUnknown";
    /// Whether the password was set is not known.
    PASSWORD_OUTCOME_UNKNOWN = "PasswordOutcomeUnknown";
    /// The controller's memory of the instance is lost or damaged: whether it was reset is not known, and nothing is sent.
    MEMORY_LOST = "MemoryLost";
    /// ECS does not show the instance any more, although the account may describe it.
    INSTANCE_RELEASED = "InstanceReleased";
    /// Another `PasswordReset` has since reset the instance.
    SUPERSEDED = "Superseded";

    // Details of the other conditions.
    /// The account can be used.
    ACCOUNT_READY = "AccountReady";
    /// The password can be read and fits ECS's rules.
    PASSWORD_READY = "PasswordReady";
    /// Every instance was found.
    TARGETS_RESOLVED = "TargetsResolved";
    /// Not every instance was found.
    TARGETS_NOT_FOUND = "TargetsNotFound";
    /// Nothing has been looked at yet.
    NOT_CHECKED = "NotChecked";
    /// The instances that are done have the password that the Secret holds now.
    SECRET_IN_SYNC = "SecretInSync";
    /// The Secret has been changed since instances were reset.
    SECRET_CHANGED = "SecretChanged";

    // Accounts.
    /// Credentials cannot be read.
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound";
    /// ECS does not accept the credentials.
    CREDENTIALS_REFUSED = "CredentialsRefused";
    /// The endpoint cannot be used.
    ENDPOINT_REFUSED = "EndpointRefused";
    /// The credentials belong to another Alibaba Cloud account than `expectedAccountID`.
    WRONG_ACCOUNT = "WrongAccount";
    /// This machine's clock and ECS's differ too much.
    CLOCK_SKEW = "ClockSkew";
    /// An admission policy, or its binding, is not installed as this version ships it.
    POLICY_MISSING = "PolicyMissing";

    // Events.
    /// A run has begun.
    RESET_RUN_STARTED = "ResetRunStarted";
    /// Resetting the password has re-enabled password logon beside a key pair.
    PASSWORD_LOGON_ENABLED = "PasswordLogonEnabled";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn each_reason_is_one_camel_case_word_and_stands_once() {
        for (i, reason) in ALL.iter().enumerate() {
            assert!(reason.starts_with(|c: char| c.is_ascii_uppercase()), "{reason}");
            assert!(reason.chars().all(|c| c.is_ascii_alphanumeric()), "{reason}");
            assert!(!ALL[..i].contains(reason), "{reason} stands twice");
        }
    }

    #[test]
    fn each_reason_is_explained_once_in_the_documentation() {
        let lines = include_str!("../../docs/REASONS.md").lines();
        let rows = lines.filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let mut explained: Vec<&str> = rows.map(|(reason, _)| reason).collect();
        let mut all = ALL.to_vec();
        explained.sort_unstable();
        all.sort_unstable();
        assert_eq!(explained, all);
    }
}
