//! What processes have used, as Linux counts it in `/proc`.

/// Ticks of a CPU in a second, as Linux counts them for `/proc`.
const TICKS: f64 = 100.0;

/// CPU seconds so far.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// The process that is measured.
    pub controller: f64,
    /// kube-apiserver.
    pub api_server: f64,
    /// etcd.
    pub etcd: f64,
    /// This program, of which the simulator is a part.
    pub harness: f64,
}

impl Cpu {
    /// The processes of a controller and of the parts of a control plane.
    pub fn of(controller: u32, control_plane: u32) -> Self {
        let part = |name: &str| children(control_plane).into_iter().filter(|pid| is(*pid, name)).map(cpu).sum();
        Self {
            controller: cpu(controller),
            api_server: part("kube-apiserver"),
            etcd: part("etcd"),
            harness: cpu(std::process::id()),
        }
    }

    /// What was used since.
    pub fn since(self, before: Self) -> Self {
        Self {
            controller: self.controller - before.controller,
            api_server: self.api_server - before.api_server,
            etcd: self.etcd - before.etcd,
            harness: self.harness - before.harness,
        }
    }
}

/// The CPU seconds of one process.
pub fn cpu(pid: u32) -> f64 {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default())
}

/// The CPU seconds of those threads of this process whose name begins so.
pub fn cpu_of_threads(name: &str) -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    stats
        .filter(|stat| stat.split_once('(').is_some_and(|(_, rest)| rest.starts_with(name)))
        .map(|stat| ticks(&stat))
        .sum()
}

/// User and system time of a line of `stat`.
fn ticks(stat: &str) -> f64 {
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (field(11) + field(12)) / TICKS
}

/// Whether a process is this part of the control plane: one binary holds all parts and is started under their names.
fn is(pid: u32, name: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).take(2).any(|word| word.ends_with(name.as_bytes()))
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// The memory that a process has in RAM now, in MiB.
pub fn memory(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

/// The most that it ever had, in MiB.
pub fn peak_memory(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}
