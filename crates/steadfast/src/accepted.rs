//! Flags of daprd that mean nothing to a sidecar for state, or nothing yet: they are accepted, so
//! that command lines need not be changed, and said to be ignored.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, parser::ValueSource};

/// The flags of this kind that were given.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Vec<&'static str>);

/// Flags with a value.
const VALUES: &[&str] = &[
    "actors-disseminate-timeout",
    "actors-service",
    "app-binding-options-timeout",
    "app-health-check-path",
    "app-health-probe-interval",
    "app-health-probe-timeout",
    "app-health-threshold",
    "config",
    "control-plane-address",
    "control-plane-namespace",
    "control-plane-trust-domain",
    "dapr-block-shutdown-duration",
    "dapr-http-max-request-size",
    "dapr-http-read-buffer-size",
    "dapr-internal-grpc-listen-address",
    "dapr-internal-grpc-port",
    "dapr-public-listen-address",
    "dapr-public-port",
    "disable-init-endpoints",
    "hot-reload-reconcile-interval",
    "metrics-listen-address",
    "mode",
    "placement-host-address",
    "profile-port",
    "reminders-service",
    "scheduler-host-address",
    "scheduler-job-streams",
    "sentry-address",
    "sentry-request-jwt-audiences",
    "unix-domain-socket",
];

/// Flags that may stand alone.
const SWITCHES: &[&str] = &[
    "app-ssl",
    "disable-builtin-k8s-secret-store",
    "enable-api-logging",
    "enable-app-health-check",
    "enable-metrics",
    "enable-mtls",
    "enable-profiling",
];

impl Accepted {
    /// The names of the flags that were given, without dashes.
    pub(crate) fn given(&self) -> &[&'static str] {
        &self.0
    }
}

impl Args for Accepted {
    fn augment_args(command: Command) -> Command {
        let value = |name: &&'static str| {
            Arg::new(*name)
                .long(*name)
                .hide(true)
                .num_args(1)
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
        };
        let switch = |name: &&'static str| {
            Arg::new(*name)
                .long(*name)
                .hide(true)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .action(ArgAction::Append)
        };
        command.args(VALUES.iter().map(value)).args(SWITCHES.iter().map(switch))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Accepted::augment_args(command)
    }
}

impl clap::FromArgMatches for Accepted {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Accepted, clap::Error> {
        let given =
            |name: &&&'static str| matches.value_source(name) == Some(ValueSource::CommandLine);
        Ok(Accepted(VALUES.iter().chain(SWITCHES).filter(given).copied().collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Accepted::from_arg_matches(matches)?;
        Ok(())
    }
}
