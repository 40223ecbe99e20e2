//! Spans of requests: which are recorded, and the way from there to collectors.
//!
//! A request that is not sampled costs two random numbers. One that is leaves a record in a queue; when that is full because
//! no collector answers, records are dropped and counted. Requests never wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use hyper::Method;
use sidecar_api::{GrpcCall, HttpCall, Span, Target, TraceContext};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

pub(crate) use self::options::{OtelOptions, TracingOptions};
use self::{options::Exporters, sender::Sender};

mod options;
mod otlp;
mod sender;
mod zipkin;

/// Records that wait for a collector. Source: OpenTelemetry, the defaults of its batch processor, as the next one.
const QUEUE_LEN_MAX: usize = 2048;
const BATCH_LEN_MAX: usize = 512;

/// How long records may wait for others.
const PAUSE: Duration = Duration::from_secs(2);

/// How long collectors may take for what is left at the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Records spans.
#[derive(Debug)]
pub(crate) struct Tracer {
    /// A trace is recorded if the lower half of its id, without a bit, is below.
    bound: u64,
    shows_keys: bool,
    queue: mpsc::Sender<Message>,
    counts: Arc<Counts>,
}

/// What has become of records.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) exported: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Span(Box<Record>),
    Flush(oneshot::Sender<()>),
}

/// A span that has ended.
#[derive(Clone, Debug)]
struct Record {
    context: TraceContext,
    parent: Option<u64>,
    name: String,
    start: SystemTime,
    elapsed: Duration,
    attributes: Vec<(&'static str, String)>,
    status_code: i64,
    /// Why the request failed, if it did.
    error: Option<String>,
}

impl Tracer {
    /// `None` if nothing is to be traced. Must be called on a runtime, where the records are sent from.
    pub(crate) fn start(options: TracingOptions, app_id: &str, shows_keys: bool) -> Option<Tracer> {
        let Some((rate, exporters)) = options.resolve(app_id) else {
            info!("Dapr trace sampler initialized: AlwaysOffSampler");
            return None;
        };
        let described = match rate >= 1. {
            true => "AlwaysOnSampler".to_owned(),
            false => format!("TraceIDRatioBased{{{rate}}}"),
        };
        info!("Dapr trace sampler initialized: ParentBased{{root:{described}}}");
        let (queue, records) = mpsc::channel(QUEUE_LEN_MAX);
        let counts = Arc::new(Counts::default());
        tokio::spawn(export(records, exporters, counts.clone()));
        // Source: OpenTelemetry, TraceIdRatioBased.
        let bound = (rate.clamp(0., 1.) * (1_u64 << 63) as f64) as u64;
        Some(Tracer { bound, shows_keys, queue, counts })
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The context of a new span below `parent`, which has the say on whether it is recorded.
    pub(crate) fn span(&self, parent: Option<TraceContext>) -> TraceContext {
        let span_id = fastrand::u64(1..);
        if let Some(parent) = parent {
            return TraceContext { span_id, ..parent };
        }
        let trace_id = fastrand::u128(1..);
        TraceContext { trace_id, span_id, is_sampled: (trace_id as u64 >> 1) < self.bound }
    }

    pub(crate) fn http(&self, call: &HttpCall<'_>) {
        let Some(context) = call.span.own.filter(|it| it.is_sampled) else { return };
        let path = path(call, self.shows_keys);
        let statement = format!("{} {path}", method(call.method));
        let mut attributes = vec![
            ("dapr.api", statement.clone()),
            ("dapr.protocol", "http".to_owned()),
            ("http.request.method", method(call.method).to_owned()),
            ("url.full", path.clone()),
        ];
        if let Target::State { store, .. } = call.target {
            attributes.extend(database());
            attributes.push(("db.name", store.to_owned()));
            attributes.push(("db.statement", statement));
        }
        let code = call.status.as_u16();
        // What failed is in the answer; its text may hold a key.
        let error = (code >= 400).then(|| {
            format!("Code({code}): {}", call.error.or(call.status.canonical_reason()).unwrap_or(""))
        });
        self.record(call.span, context, path, call.elapsed, attributes, code.into(), error);
    }

    pub(crate) fn grpc(&self, call: &GrpcCall<'_>) {
        let Some(context) = call.span.own.filter(|it| it.is_sampled) else { return };
        let name = call.method.name().to_owned();
        let mut attributes = vec![("dapr.api", name.clone()), ("dapr.protocol", "grpc".to_owned())];
        let short = call.method.short_name();
        if ["GetState", "SaveState", "DeleteState"].contains(&short) {
            attributes.extend(database());
            attributes.push(("db.statement", name.clone()));
            attributes.push(("rpc.service", "Dapr".to_owned()));
        }
        let code = call.status as i64;
        let error = (code != 0).then(|| format!("{:?}", call.status));
        self.record(call.span, context, name, call.elapsed, attributes, code, error);
    }

    #[allow(clippy::too_many_arguments, reason = "they are the fields of the record")]
    fn record(
        &self,
        span: Span,
        context: TraceContext,
        name: String,
        elapsed: Duration,
        attributes: Vec<(&'static str, String)>,
        status_code: i64,
        error: Option<String>,
    ) {
        let start = SystemTime::now().checked_sub(elapsed).unwrap_or(SystemTime::UNIX_EPOCH);
        let parent = span.parent.map(|it| it.span_id);
        let record =
            Record { context, parent, name, start, elapsed, attributes, status_code, error };
        if self.queue.try_send(Message::Span(Box::new(record))).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Sends what is left, if that does not take long.
    pub(crate) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let flush = async {
            if self.queue.send(Message::Flush(done)).await.is_ok() {
                // An error means that nobody sends any more.
                let _ = is_done.await;
            }
        };
        if tokio::time::timeout(FLUSH_MAX, flush).await.is_err() {
            warn!("the last spans did not reach a collector");
        }
    }
}

fn database() -> [(&'static str, String); 2] {
    [("db.system", "state".to_owned()), ("db.connection_string", "state".to_owned())]
}

/// The path, with `{key}` in the place of a key.
///
/// Differs from Dapr: it always shows keys.
fn path(call: &HttpCall<'_>, shows_keys: bool) -> String {
    match call.target {
        _ if shows_keys => call.uri.path().to_owned(),
        Target::State { store, has_key: true, .. } => format!("/v1.0/state/{store}/{{key}}"),
        Target::State { .. } => call.uri.path().to_owned(),
        Target::Other { path, .. } => path.to_owned(),
        Target::Unknown => "UNKNOWN".to_owned(),
    }
}

fn method(it: &Method) -> &str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    if known.contains(it) { it.as_str() } else { "UNKNOWN" }
}

/// Sends records until nobody makes any more.
async fn export(mut records: mpsc::Receiver<Message>, to: Exporters, counts: Arc<Counts>) {
    let mut senders: Vec<Sender> = to.senders();
    let mut fails = false;
    let mut messages = Vec::with_capacity(BATCH_LEN_MAX);
    while records.recv_many(&mut messages, BATCH_LEN_MAX).await > 0 {
        let is_flush = |it: &Message| matches!(it, Message::Flush(_));
        if !messages.iter().any(is_flush) && messages.len() < BATCH_LEN_MAX {
            // Others may follow soon.
            let more = async {
                while messages.len() < BATCH_LEN_MAX && !messages.iter().any(is_flush) {
                    let room = BATCH_LEN_MAX - messages.len();
                    if records.recv_many(&mut messages, room).await == 0 {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(PAUSE, more).await;
        }
        let mut flushes = Vec::new();
        let mut batch = Vec::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Span(it) => batch.push(*it),
                Message::Flush(done) => flushes.push(done),
            }
        }
        for sender in senders.iter_mut().filter(|_| !batch.is_empty()) {
            match sender.send(&to.service, &batch).await {
                Ok(()) => {
                    counts.exported.fetch_add(batch.len() as u64, Relaxed);
                    fails = false;
                }
                Err(e) => {
                    counts.dropped.fetch_add(batch.len() as u64, Relaxed);
                    match fails {
                        true => debug!(error = e, "spans are lost"),
                        false => {
                            warn!(error = e, "spans are lost: the collector does not take them")
                        }
                    }
                    fails = true;
                }
            }
        }
        // Whoever asked may have gone.
        for done in flushes {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests;
