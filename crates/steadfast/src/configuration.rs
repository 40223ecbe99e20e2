//! What the files of `--config` make of a sidecar.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use sidecar_api::{Parts, Served};
use state_config::{
    Configuration, Context,
    configuration::{self, ApiRule, Loaded, Otel, Protocol},
};
use tracing::warn;

use crate::{
    api_log::ApiLogOptions,
    metrics::{MetricsOptions, PathPattern},
    spans::{OtelOptions, TracingOptions},
    telemetry::TelemetryOptions,
};

/// Reads the files.
///
/// # Errors
///
/// If one cannot be read, or says something wrong. All mistakes are reported.
pub(crate) fn load(context: &Context, files: &[PathBuf]) -> anyhow::Result<Configuration> {
    let Loaded { configuration, problems, warnings } = configuration::load(files, context);
    for it in warnings {
        warn!("{it}");
    }
    if problems.is_empty() {
        return Ok(configuration);
    }
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    bail!("error loading configuration:\n{}", problems.join("\n"))
}

/// Which parts of the API it leaves. Rules about other building blocks leave nothing of ours.
pub(crate) fn served(configuration: &Configuration) -> Served {
    let parts = |protocol| {
        let (allowed, denied) = (&configuration.api.allowed, &configuration.api.denied);
        let of_wire = |it: &&ApiRule| it.protocol == protocol;
        let names =
            |rules: &[ApiRule], name| rules.iter().filter(of_wire).any(|it| is_about(it, name));
        let is_open = !allowed.iter().any(|it| of_wire(&it));
        let has = |name| (is_open || names(allowed, name)) && !names(denied, name);
        Parts { state: has("state"), metadata: has("metadata"), shutdown: has("shutdown") }
    };
    Served { http: parts(Protocol::Http), grpc: parts(Protocol::Grpc) }
}

/// What it says of metrics, the log of the API, and traces.
pub(crate) fn telemetry(configuration: &Configuration) -> TelemetryOptions {
    let Configuration { metrics, tracing, api_logging, .. } = configuration;
    let pattern = |it: &String| {
        let pattern = PathPattern::new(it);
        if pattern.is_none() {
            warn!(
                "`spec.metrics.http.pathMatching`: {it} does not begin with /, and matches nothing"
            );
        }
        pattern
    };
    TelemetryOptions {
        metrics: MetricsOptions {
            enabled: metrics.enabled,
            record_error_codes: metrics.record_error_codes,
            latency_buckets: metrics.latency_buckets_ms.iter().map(|it| *it as f64).collect(),
            increased_cardinality: metrics.increased_cardinality,
            path_matching: metrics.path_matching.iter().filter_map(pattern).collect(),
            exclude_verbs: metrics.exclude_verbs,
        },
        api_log: ApiLogOptions {
            enabled: api_logging.enabled,
            obfuscate_urls: api_logging.obfuscate_urls,
            omit_health_checks: api_logging.omit_health_checks,
            ..ApiLogOptions::default()
        },
        tracing: TracingOptions {
            sampling_rate: tracing.sampling_rate,
            stdout: tracing.stdout,
            zipkin: tracing.zipkin.clone(),
            otel: tracing.otel.as_ref().map(otel),
        },
    }
}

fn otel(it: &Otel) -> OtelOptions {
    let usual = OtelOptions::default();
    OtelOptions {
        is_grpc: it.protocol == Protocol::Grpc,
        endpoint: it.endpoint.clone(),
        is_secure: it.is_secure,
        headers: it.headers.clone(),
        timeout: it.timeout_ms.map_or(usual.timeout, Duration::from_millis),
    }
}

/// Whether a rule is about this part of the API. All that is served is of the first version, which has two names.
///
/// Differs from Dapr: it knows `v1.0` over HTTP alone.
fn is_about(rule: &ApiRule, name: &str) -> bool {
    rule.name.eq_ignore_ascii_case(name)
        && ["v1.0", "v1"].iter().any(|it| rule.version.eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests {
    use state_config::configuration::Api;

    use super::*;

    fn rule(name: &str, version: &str, protocol: Protocol) -> ApiRule {
        ApiRule { name: name.to_owned(), version: version.to_owned(), protocol }
    }

    fn of(allowed: &[ApiRule], denied: &[ApiRule]) -> Served {
        let api = Api { allowed: allowed.to_vec(), denied: denied.to_vec() };
        served(&Configuration { api, ..Configuration::default() })
    }

    #[test]
    fn what_is_denied_is_not_served_and_what_is_allowed_is_all_there_is() {
        let all = Parts::default();
        let none = Parts { state: false, metadata: false, shutdown: false };
        assert_eq!(of(&[], &[]), Served::default());
        let denied = of(&[], &[rule("shutdown", "v1.0", Protocol::Http)]);
        assert_eq!(denied, Served { http: Parts { shutdown: false, ..all }, grpc: all });
        let allowed = of(&[rule("state", "v1", Protocol::Grpc)], &[]);
        assert_eq!(allowed, Served { http: all, grpc: Parts { state: true, ..none } });
        let both = [rule("State", "V1.0", Protocol::Http)];
        assert_eq!(of(&both, &both).http, none);
        assert_eq!(of(&[rule("publish", "v1.0", Protocol::Http)], &[]).http, none);
        let alpha = [rule("state", "v1.0-alpha1", Protocol::Http)];
        assert_eq!(of(&alpha, &[]).http, none);
        assert_eq!(of(&[], &alpha).http, all);
    }
}
