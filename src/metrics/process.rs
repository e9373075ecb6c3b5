//! What the operating system says of this process, under the names of Prometheus' client libraries. It is read while a scrape is
//! answered. What cannot be read, as where there is no `/proc`, is not served: a zero would be a lie.

use std::fmt::Error;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::time::{ClockId, clock_gettime};

/// Reads it again for each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let to = &mut encoder;
        counter(to, "process_cpu_seconds", "CPU time that the process has used, in user and in system mode", cpu())?;
        gauge(to, "process_resident_memory_bytes", "Memory of the process that is in RAM", resident_memory())?;
        gauge(to, "process_open_fds", "File descriptors that the process has open", open_fds())?;
        gauge(to, "process_start_time_seconds", "When the process began, in seconds since 1970", start_time())
    }
}

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: Option<f64>) -> Result<(), Error> {
    let Some(value) = value else { return Ok(()) };
    let metric = ConstCounter::new(value);
    metric.encode(to.encode_descriptor(name, &format!("{help}."), None, MetricType::Counter)?)
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: Option<f64>) -> Result<(), Error> {
    let Some(value) = value else { return Ok(()) };
    let metric = ConstGauge::new(value);
    metric.encode(to.encode_descriptor(name, &format!("{help}."), None, ConstGauge::<f64>::TYPE)?)
}

#[allow(clippy::unnecessary_wraps, clippy::cast_precision_loss)] // an Option like the others; seconds fit
fn cpu() -> Option<f64> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// The second column of `statm`, in pages.
fn resident_memory() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u32 = text.split(' ').nth(1)?.parse().ok()?;
    Some(f64::from(pages) * f64::from(u32::try_from(page_size()).ok()?))
}

/// Without the one by which they are listed.
fn open_fds() -> Option<f64> {
    let listed = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    Some(f64::from(listed.saturating_sub(1)))
}

/// When the machine was booted, and how long after that the process began: column 22 of `stat`. Column 2 is the program's name in
/// parentheses, which may hold anything, so counting begins behind it.
#[allow(clippy::cast_precision_loss)] // seconds and ticks fit
fn start_time() -> Option<f64> {
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let process = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: u64 = process.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(booted as f64 + ticks as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::cast_precision_loss)] // seconds fit
    fn what_the_operating_system_says_is_plausible() {
        let before = cpu().unwrap();
        let mut sum = 0_u64;
        while cpu().unwrap() < before + 0.01 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(cpu().unwrap() >= before + 0.01);
        let memory = resident_memory().unwrap();
        assert!((1e6..1e10).contains(&memory), "{memory}");
        let fds = open_fds().unwrap();
        let _one = fs::File::open("/proc/self/stat").unwrap();
        assert!(fds >= 3.0 && open_fds().unwrap() >= fds, "{fds}");
        let age = clock_gettime(ClockId::Realtime).tv_sec as f64 - start_time().unwrap();
        assert!((-2.0..600.0).contains(&age), "the process is {age} s old");
    }
}
