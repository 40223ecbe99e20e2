//! What is looked up when somebody asks: the state of the sidecar at this moment, and what its process takes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus::{
    IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::{Collector, Desc, GenericCounter},
    proto::MetricFamily,
};
use sidecar_api::{Sidecar, Status};

use crate::spans::Counts;

type Counter = GenericCounter<prometheus::core::AtomicF64>;

/// The sidecar.
#[derive(Clone)]
pub(super) struct Now {
    sidecar: Arc<Sidecar>,
    requests: IntGaugeVec,
    connections: IntGaugeVec,
    ready: IntGaugeVec,
    panics: prometheus::IntCounter,
    tasks: IntGauge,
    build: IntGaugeVec,
    spans: IntCounterVec,
    span_counts: Option<Arc<Counts>>,
}

impl Now {
    pub(super) fn new(sidecar: Arc<Sidecar>, span_counts: Option<Arc<Counts>>) -> Now {
        let own = HashMap::from([("app_id".to_owned(), sidecar.identity.app_id.clone())]);
        let opts = |name: &str, help: &str| Opts::new(name, help).const_labels(own.clone());
        let gauges = |name, help, labels: &[&str]| {
            IntGaugeVec::new(opts(name, help), labels).expect(super::WELL_FORMED)
        };
        let protocol = ["protocol"];
        let panics = prometheus::IntCounter::with_opts(opts(
            "steadfast_panics_total",
            "Requests that met a bug of the sidecar.",
        ));
        let tasks = IntGauge::with_opts(opts(
            "steadfast_tasks",
            "Tasks of the sidecar that have not ended; with no requests, their number stays the same.",
        ));
        Now {
            requests: gauges(
                "steadfast_requests_in_flight",
                "Requests that have come and are not answered.",
                &protocol,
            ),
            connections: gauges(
                "steadfast_connections_open",
                "Connections that applications have to the sidecar.",
                &protocol,
            ),
            ready: gauges(
                "steadfast_component_ready",
                "Whether a component can be used: 1 or 0.",
                &["component"],
            ),
            panics: panics.expect(super::WELL_FORMED),
            tasks: tasks.expect(super::WELL_FORMED),
            spans: IntCounterVec::new(
                opts(
                    "steadfast_spans_total",
                    "Spans that a collector has taken, and those that are lost.",
                ),
                &["outcome"],
            )
            .expect(super::WELL_FORMED),
            span_counts,
            build: gauges("steadfast_build_info", "The version of the sidecar.", &["version"]),
            sidecar,
        }
    }
}

impl Collector for Now {
    fn desc(&self) -> Vec<&Desc> {
        let vectors = [&self.requests, &self.connections, &self.ready, &self.build];
        let mut all: Vec<_> = vectors.into_iter().flat_map(|it| it.desc()).collect();
        all.extend(self.panics.desc());
        all.extend(self.tasks.desc());
        all.extend(self.spans.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (name, counts) in [("http", &self.sidecar.load.http), ("grpc", &self.sidecar.load.grpc)]
        {
            self.requests.with_label_values(&[name]).set(counts.requests.value() as i64);
            self.connections.with_label_values(&[name]).set(counts.connections.value() as i64);
        }
        // A component that is no more is not shown.
        self.ready.reset();
        for it in self.sidecar.service.components() {
            let is_ready = it.status() == Status::Ready;
            self.ready.with_label_values(&[it.name.as_str()]).set(i64::from(is_ready));
        }
        let version = self.sidecar.identity.version.as_str();
        self.build.with_label_values(&[version]).set(1);
        let catch_up = |outcome: &str, now: &AtomicU64| {
            let shown = self.spans.with_label_values(&[outcome]);
            shown.inc_by(now.load(Relaxed).saturating_sub(shown.get()));
        };
        if let Some(counts) = &self.span_counts {
            catch_up("exported", &counts.exported);
            catch_up("dropped", &counts.dropped);
        }
        self.panics.inc_by(self.sidecar.panics().saturating_sub(self.panics.get()));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.set(i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX));
        }
        let vectors = [&self.requests, &self.connections, &self.ready, &self.build];
        let mut all: Vec<_> = vectors.into_iter().flat_map(|it| it.collect()).collect();
        all.extend(self.panics.collect());
        all.extend(self.tasks.collect());
        all.extend(self.spans.collect());
        all
    }
}

/// The process. Names are those of Prometheus' own libraries.
#[derive(Clone)]
pub(super) struct Process {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    threads: IntGauge,
    start_seconds: IntGauge,
}

impl Default for Process {
    fn default() -> Process {
        let gauge = |name, help| IntGauge::new(name, help).expect(super::WELL_FORMED);
        Process {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "CPU time that was used, in seconds.",
            )
            .expect(super::WELL_FORMED),
            resident_bytes: gauge("process_resident_memory_bytes", "Resident memory, in bytes."),
            virtual_bytes: gauge("process_virtual_memory_bytes", "Virtual memory, in bytes."),
            open_files: gauge("process_open_fds", "Open file descriptors."),
            open_files_max: gauge("process_max_fds", "How many there may be."),
            threads: gauge("process_threads", "Threads."),
            start_seconds: gauge(
                "process_start_time_seconds",
                "When the process was started, in seconds since 1970.",
            ),
        }
    }
}

impl Process {
    fn gauges(&self) -> [&IntGauge; 6] {
        [
            &self.resident_bytes,
            &self.virtual_bytes,
            &self.open_files,
            &self.open_files_max,
            &self.threads,
            &self.start_seconds,
        ]
    }

    /// Looks at the kernel's tables. What cannot be read keeps its value.
    #[cfg(target_os = "linux")]
    fn look(&self) {
        use procfs::{CurrentSI, WithCurrentSystemInfo};
        let Ok(process) = procfs::process::Process::myself() else { return };
        if let Ok(stat) = process.stat() {
            let ticks = (stat.utime + stat.stime) as f64;
            let seconds = ticks / procfs::ticks_per_second() as f64;
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.));
            self.resident_bytes.set(stat.rss_bytes().get() as i64);
            self.virtual_bytes.set(stat.vsize as i64);
            self.threads.set(stat.num_threads);
            if let Ok(kernel) = procfs::KernelStats::current() {
                let since_boot = stat.starttime / procfs::ticks_per_second();
                self.start_seconds.set((kernel.btime + since_boot) as i64);
            }
        }
        if let Ok(count) = process.fd_count() {
            self.open_files.set(count as i64);
        }
        if let Ok(limits) = process.limits()
            && let procfs::process::LimitValue::Value(max) = limits.max_open_files.soft_limit
        {
            self.open_files_max.set(i64::try_from(max).unwrap_or(i64::MAX));
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn look(&self) {}
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges().into_iter().flat_map(|it| it.desc());
        gauges.chain(self.cpu_seconds.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.look();
        let gauges = self.gauges().into_iter().flat_map(|it| it.collect());
        gauges.chain(self.cpu_seconds.collect()).collect()
    }
}
