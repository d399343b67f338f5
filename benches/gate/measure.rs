//! What the kernel says about the programs under test and about the machine.

use std::{collections::BTreeMap, fs, process::Command};

/// Ticks a second in `/proc/PID/stat`; Linux shows user space 100 on every machine.
const TICKS_PER_S: f64 = 100.0;
/// How far the coarse clock may run ahead of the fine one before it is believed instead.
const COARSE_LEAD_S: f64 = 0.05;

/// CPU and memory of a process and everything it started, at one moment.
#[derive(Default)]
pub(crate) struct Reading {
    /// Sum over the living threads, to the nanosecond.
    fine_s: f64,
    /// Of the processes, to 10 ms, and with the threads that have ended.
    coarse_s: f64,
    /// Resident memory; pages that several processes share count once in each.
    pub(crate) rss_mb: f64,
}

impl Reading {
    pub(crate) fn of(pid: u32) -> Self {
        let mut reading = Self::default();
        for pid in tree(pid) {
            let _ = reading.add(pid); // A process may end between the listing and the look.
        }
        reading
    }

    fn add(&mut self, pid: u32) -> Option<()> {
        self.rss_mb += rss_mb(pid)?;
        let (_, user_ticks, system_ticks) = stat(pid)?;
        self.coarse_s += (user_ticks + system_ticks) / TICKS_PER_S;
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let on_cpu_ns: f64 = text.split(' ').next()?.parse().ok()?;
            self.fine_s += on_cpu_ns / 1e9;
        }
        Some(())
    }

    /// CPU seconds used since `earlier`.
    pub(crate) fn cpu_s_since(&self, earlier: &Self) -> f64 {
        let fine = self.fine_s - earlier.fine_s;
        let coarse = self.coarse_s - earlier.coarse_s;
        // Threads that end take their fine clock with them; only then is the coarse one ahead.
        if coarse > fine + COARSE_LEAD_S { coarse } else { fine }
    }
}

/// Resident memory of one process.
pub(crate) fn rss_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

/// The process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Some((parent, ..)) = stat(pid) else { continue };
        children.entry(parent).or_default().push(pid);
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// Parent, user ticks and system ticks of a process.
fn stat(pid: u32) -> Option<(u32, f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold spaces and parentheses; the last one closes it.
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((fields.get(1)?.parse().ok()?, number(11)?, number(12)?))
}

/// The value below which the share `q` of the values lies (sorts them); none of an empty series.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((last as f64 * q).round() as usize).copied()
}

/// The load average of the machine.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// What a reader must know about the run, as `(what, value)`. `loads`: the machine's, now and then.
pub(crate) fn conditions(
    date: Option<&str>,
    rounds: u32,
    quick: bool,
    mut loads: Vec<f64>,
) -> Vec<(&'static str, String)> {
    let now = || jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |text| text.trim_start_matches([' ', '\t', ':']));
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = quantile(&mut loads, 0.5).map_or("unknown".into(), |load| format!("{load:.1}"));
    let windows = if quick { " (short windows: a trial, not a result)" } else { "" };
    vec![
        ("Date", date.map_or_else(now, str::to_owned)),
        (
            "Weighbridge",
            format!(
                "{} {}",
                env!("CARGO_PKG_VERSION"),
                output("git", &["rev-parse", "--short", "HEAD"])
            ),
        ),
        (
            "CPU",
            format!(
                "{model}, {cpus} in this machine; 1 for the program under test, 1 for the load"
            ),
        ),
        ("Kernel", kernel.trim().to_owned()),
        ("Compiler", output("rustc", &["--version"])),
        ("nginx", output("nginx", &["-v"])),
        ("Rounds", format!("{rounds}{windows}")),
        ("Load average (median)", load),
    ]
}

/// The first line a program says; "unknown" when it cannot be asked.
fn output(program: &str, words: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(words).output() else { return "unknown".into() };
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").to_owned()
}
