//! Numbers for whoever runs the machine: how many requests came to which route and how they were answered. No durations,
//! no sizes and no outcome of a use: nothing here depends on data.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: Instant,
    requests: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
    pub(crate) connections: AtomicU64,
    pub(crate) refused_connections: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            requests: Mutex::new(BTreeMap::new()),
            connections: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
        }
    }

    /// Counts an answer, by the route's template: paths and ids never become labels.
    pub(crate) fn answered(&self, method: &'static str, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((method, route, status)).or_insert(0) += 1;
    }

    /// In the text format of Prometheus (0.0.4).
    pub(crate) fn render(&self, in_flight: usize, runs_waiting: usize, ready: bool) -> String {
        let mut out = String::new();
        let mut one = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        one("yunei_up_seconds", "gauge", "Seconds since the server started.", self.started.elapsed().as_secs());
        one("yunei_ready", "gauge", "Whether the domain can be used.", u64::from(ready));
        one("yunei_connections", "gauge", "Connections that are open.", self.connections.load(Ordering::Relaxed));
        one(
            "yunei_connections_refused_total",
            "counter",
            "Connections that were ended before a request: no room, or a handshake that failed.",
            self.refused_connections.load(Ordering::Relaxed),
        );
        one("yunei_requests_in_flight", "gauge", "Requests being answered.", in_flight as u64);
        one("yunei_runs_under_way", "gauge", "Runs that wait or run.", runs_waiting as u64);
        if let Some(bytes) = resident_bytes() {
            one("process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
        }
        out.push_str(
            "# HELP yunei_requests_total Requests by route and status.\n# TYPE yunei_requests_total counter\n",
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((method, route, status), count) in requests.iter() {
            let _ = writeln!(
                out,
                "yunei_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        out
    }
}

/// Resident memory by `/proc/self/status` (proc(5)), where there is one.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
