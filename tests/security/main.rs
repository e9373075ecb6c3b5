//! Confused-deputy attempts on a real API server, by people who are really signed in as themselves (impersonated), each
//! with the rights that Kubernetes' own roles give them. The numbers are those of the threats in `docs/SECURITY.md`.
//!
//! The controller may read Secrets and become root on machines. Each attempt tries to borrow that. It must be refused, at
//! the door or by a condition that says why, and ECS must not be asked to change anything. Where two layers stand in the
//! way, each must do so alone. What it may not do: judge by what the controller says it did; the journal tells.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod attempt;
mod authority;
#[path = "../common/mod.rs"]
mod common;
mod consent;
mod granted;
mod ledger;
mod missing;
mod people;
mod rights;
mod settle;
mod shape;
mod tls;
mod veil;

use std::collections::BTreeSet;

use attempt::{Attempt, Layer};
use people::Town;

fn all() -> Vec<Attempt> {
    [shape::attempts(), authority::attempts(), ledger::attempts(), consent::attempts()].into_iter().flatten().collect()
}

#[test]
fn attempts_match_the_documented_count_and_are_unique() {
    let all = all();
    let ids: BTreeSet<&str> = all.iter().map(|attempt| attempt.id).collect();
    assert_eq!(ids.len(), all.len(), "two have the same number");
    assert_eq!(all.len(), 159, "docs/SECURITY.md says how many there are");
    let threats: BTreeSet<&str> = ids.iter().filter_map(|id| id.split('.').next()).collect();
    for threat in ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12"] {
        assert!(threats.contains(threat), "nothing is tried on {threat}");
    }
}

#[test]
fn every_attempt_is_refused_and_changes_no_machine() {
    Town::new().refuses(&all(), None);
}

/// Each row that names two layers, with the admission policies deleted.
#[test]
fn without_the_policies_the_other_layer_refuses() {
    let town = Town::without_policies();
    town.refuses(&all(), Some(Layer::Policy));
}

/// The same with every account open to all namespaces.
#[test]
fn with_open_accounts_the_other_layer_refuses() {
    let town = Town::new();
    town.open_accounts();
    town.refuses(&all(), Some(Layer::AllowedNamespaces));
}

/// The same with every tenant holding every right in its namespaces and on statuses and records; only `use`, and rights on
/// policies and accounts, stay with the admin.
#[test]
fn with_wide_rights_the_other_layer_refuses() {
    let town = Town::new();
    town.widen_rights();
    town.refuses(&all(), Some(Layer::Rights));
}

/// The same with a schema that takes anything.
#[test]
fn with_a_loose_schema_the_other_layer_refuses() {
    let town = Town::new();
    town.loosen_shape();
    town.refuses(&all(), Some(Layer::Shape));
}

/// The same with accounts that have no rules. Where nothing else is in the way, RAM refuses the change.
#[test]
fn without_rules_the_other_layer_refuses() {
    let town = Town::new();
    town.take_rules_away();
    town.refuses(&all(), Some(Layer::Consent));
}
