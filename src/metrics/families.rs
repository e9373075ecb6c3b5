//! How a metric is registered, and the buckets of histograms.

use std::fmt::Debug;
use std::hash::Hash;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(super) fn family<S, M>(registry: &mut Registry, name: &str, help: &str) -> Family<S, M>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M: EncodeMetric + TypedMetric + Default + Debug + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// From a cached answer to the slowest that anybody waits for, in seconds.
pub(super) fn durations<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Histogram, fn() -> Histogram>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    histograms(registry, name, help, || {
        Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
    })
}

/// From an instance that is set and restarted at once to an hour, in seconds.
pub(super) fn long<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Histogram, fn() -> Histogram>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    histograms(registry, name, help, long_histogram)
}

fn long_histogram() -> Histogram {
    Histogram::new([5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0])
}

fn histograms<S>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    histogram: fn() -> Histogram,
) -> Family<S, Histogram, fn() -> Histogram>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    let family = Family::new_with_constructor(histogram);
    registry.register(name, help, family.clone());
    family
}

/// A counter without labels.
pub(super) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// A histogram without labels.
pub(super) fn bare(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = long_histogram();
    registry.register(name, help, histogram.clone());
    histogram
}
