//! What the files of `--config` make of a sidecar.

use std::path::PathBuf;

use anyhow::bail;
use sidecar_api::{Parts, Served};
use state_config::{
    Configuration,
    configuration::{self, ApiRule, Loaded, Protocol},
};
use tracing::warn;

/// Reads the files.
///
/// # Errors
///
/// If one cannot be read, or says something wrong. All mistakes are reported.
pub(crate) fn load(app_id: &str, files: &[PathBuf]) -> anyhow::Result<Configuration> {
    let context = state_config::Context::from_process(app_id);
    let Loaded { configuration, problems, warnings } = configuration::load(files, &context);
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
