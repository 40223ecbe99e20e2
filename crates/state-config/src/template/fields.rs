//! Which fields there are. Source: Dapr's CLI, `pkg/runfileconfig` and `pkg/standalone`.

use super::Use;

/// A field of a template.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) home: Home,
    pub(super) form: Form,
    pub(super) used: Use,
}

/// Where a field may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// With an application, or with what all have in common.
    Common,
    /// With an application.
    App,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    Number,
    Switch,
    Choice(&'static [&'static str]),
    List,
    Variables,
}

const DESTINATIONS: Form = Form::Choice(&["console", "file", "fileAndConsole"]);

const KUBERNETES: &str = "it is about Kubernetes, and nothing is deployed from here";
const RUNTIME: &str = "the sidecar is this program itself";

pub(super) const FIELDS: &[Field] = &[
    app("appDirPath", Form::Text, Use::Run),
    app("appID", Form::Text, Use::Run),
    app("command", Form::List, Use::Run),
    app("appPort", Form::Number, Use::Flag("app-port")),
    app("appChannelAddress", Form::Text, Use::Flag("app-channel-address")),
    app("daprHTTPPort", Form::Number, Use::Flag("dapr-http-port")),
    app("daprGRPCPort", Form::Number, Use::Flag("dapr-grpc-port")),
    app("daprInternalGRPCPort", Form::Number, Use::Flag("dapr-internal-grpc-port")),
    app("metricsPort", Form::Number, Use::Flag("metrics-port")),
    app("profilePort", Form::Number, Use::Flag("profile-port")),
    app("unixDomainSocket", Form::Text, Use::Flag("unix-domain-socket")),
    app("containerImage", Form::Text, Use::None(KUBERNETES)),
    app("containerImagePullPolicy", Form::Text, Use::None(KUBERNETES)),
    app("createService", Form::Switch, Use::None(KUBERNETES)),
    common("configFilePath", Form::Text, Use::Run),
    common("appProtocol", Form::Text, Use::Flag("app-protocol")),
    common("apiListenAddresses", Form::Text, Use::Flag("dapr-listen-addresses")),
    common("enableProfiling", Form::Switch, Use::Flag("enable-profiling")),
    common("logLevel", Form::Text, Use::Flag("log-level")),
    common("appMaxConcurrency", Form::Number, Use::Flag("app-max-concurrency")),
    common("placementHostAddress", Form::Text, Use::Flag("placement-host-address")),
    common("schedulerHostAddress", Form::Text, Use::Flag("scheduler-host-address")),
    common("resourcesPath", Form::Text, Use::Run),
    common("resourcesPaths", Form::List, Use::Run),
    common("appSSL", Form::Switch, Use::Flag("app-ssl")),
    common("maxBodySize", Form::Text, Use::Flag("max-body-size")),
    common("readBufferSize", Form::Text, Use::Flag("read-buffer-size")),
    common("enableAppHealthCheck", Form::Switch, Use::Flag("enable-app-health-check")),
    common("appHealthCheckPath", Form::Text, Use::Flag("app-health-check-path")),
    common("appHealthProbeInterval", Form::Number, Use::Flag("app-health-probe-interval")),
    common("appHealthProbeTimeout", Form::Number, Use::Flag("app-health-probe-timeout")),
    common("appHealthThreshold", Form::Number, Use::Flag("app-health-threshold")),
    common("enableApiLogging", Form::Switch, Use::Flag("enable-api-logging")),
    common("runtimePath", Form::Text, Use::None(RUNTIME)),
    common("env", Form::Variables, Use::Run),
    common("appLogDestination", DESTINATIONS, Use::Run),
    common("daprdLogDestination", DESTINATIONS, Use::Run),
];

const fn app(name: &'static str, form: Form, used: Use) -> Field {
    Field { name, home: Home::App, form, used }
}

const fn common(name: &'static str, form: Form, used: Use) -> Field {
    Field { name, home: Home::Common, form, used }
}
