//! Flags of daprd that few need by hand: what starts it passes them.

use std::{net::IpAddr, time::Duration};

use clap::{Args, ValueEnum};

use super::{Address, Port, address, go_duration, port};

/// Flags that concern a sidecar for state, and that only Dapr's tools give.
#[derive(Debug, Args)]
pub(crate) struct DaprdArgs {
    /// What the sidecar runs in
    #[arg(long, value_enum, default_value = "standalone", ignore_case = true, hide = true)]
    pub(crate) mode: Mode,

    /// A second port, for health and metadata alone, without a token [default: none]
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) dapr_public_port: Option<Port>,

    /// Where the second port listens [default: 127.0.0.1; every address in Kubernetes, whose probes come from outside]
    #[arg(long, value_name = "ADDRESS", value_parser = address_if_any)]
    pub(crate) dapr_public_listen_address: Option<MaybeAddress>,

    /// A port that other sidecars of Dapr would call; it is taken, and nothing is served there
    #[arg(long, value_name = "PORT", value_parser = port, allow_negative_numbers = true, hide = true)]
    pub(crate) dapr_internal_grpc_port: Option<Port>,

    /// Where that port listens
    #[arg(long, value_name = "ADDRESS", value_parser = address_if_any, hide = true)]
    pub(crate) dapr_internal_grpc_listen_address: Option<MaybeAddress>,

    /// Speak TLS with the application; older name of --app-protocol https or grpcs
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    pub(crate) app_ssl: bool,

    /// Ask the application for its health, and show it in the metadata
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) enable_app_health_check: bool,

    /// The path that is asked for the application's health
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub(crate) app_health_check_path: String,

    /// How often it is asked, in seconds [default: 5]
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        allow_negative_numbers = true,
        hide_default_value = true
    )]
    pub(crate) app_health_probe_interval: i32,

    /// How long it may take to answer, in milliseconds [default: 500]
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value = "0",
        allow_negative_numbers = true,
        hide_default_value = true
    )]
    pub(crate) app_health_probe_timeout: i32,

    /// After how many failures it counts as unhealthy [default: 3]
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        allow_negative_numbers = true,
        hide_default_value = true
    )]
    pub(crate) app_health_threshold: i32,

    /// After a signal, go on for so long, or until the application is unhealthy, before shutting down
    #[arg(long, value_name = "DURATION", value_parser = go_duration)]
    pub(crate) dapr_block_shutdown_duration: Option<Duration>,

    /// The largest request body in MB; older form of --max-body-size
    #[arg(long, value_name = "MB", allow_negative_numbers = true, hide = true)]
    pub(crate) dapr_http_max_request_size: Option<i32>,

    /// The largest request head in KB; older form of --read-buffer-size
    #[arg(long, value_name = "KB", allow_negative_numbers = true, hide = true)]
    pub(crate) dapr_http_read_buffer_size: Option<i32>,

    /// Wait until the sidecar on --dapr-http-port is ready for its application, and exit
    #[arg(long, hide = true)]
    pub(crate) wait: bool,

    /// Print what was built, and exit
    #[arg(long, hide = true)]
    pub(crate) build_info: bool,
}

/// What a sidecar runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Standalone,
    Kubernetes,
}

/// An address; `None` for nothing, which stands for the default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaybeAddress(pub(crate) Option<IpAddr>);

/// Older names of sizes count only where the newer ones are not given. Source: Dapr's meaning of the flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OlderSizes {
    pub(crate) body_bytes: Option<usize>,
    pub(crate) head_bytes: Option<usize>,
}

impl DaprdArgs {
    pub(crate) fn older_sizes(&self) -> OlderSizes {
        let bytes = |size: Option<i32>, unit: usize| {
            let size = usize::try_from(size?).ok().filter(|it| *it > 0)?;
            Some(size.saturating_mul(unit))
        };
        OlderSizes {
            body_bytes: bytes(self.dapr_http_max_request_size, 1 << 20),
            head_bytes: bytes(self.dapr_http_read_buffer_size, 1 << 10),
        }
    }
}

fn address_if_any(text: &str) -> Result<MaybeAddress, String> {
    if text.is_empty() {
        return Ok(MaybeAddress(None));
    }
    address(text).map(|Address(it)| MaybeAddress(Some(it)))
}
