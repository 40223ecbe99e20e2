//! What a sidecar says of itself, as a message.

use sidecar_proto::runtime::v1::{
    ActorRuntime, AppConnectionHealthProperties, AppConnectionProperties, GetMetadataResponse,
    RegisteredComponents, actor_runtime::ActorRuntimeStatus,
};

use crate::{AppHealth, Component, Sidecar, sidecar};

pub(super) fn of(sidecar: &Sidecar) -> GetMetadataResponse {
    let identity = &sidecar.identity;
    let app = &identity.app;
    let at_most = |it: Option<u32>| it.and_then(|it| i32::try_from(it).ok()).unwrap_or_default();
    GetMetadataResponse {
        id: identity.app_id.clone(),
        registered_components: sidecar
            .service
            .components()
            .iter()
            .map(|it| component(it))
            .collect(),
        extended_metadata: sidecar.extended().into_iter().collect(),
        app_connection_properties: Some(AppConnectionProperties {
            port: at_most(app.port.map(u32::from)),
            protocol: app.protocol.clone(),
            channel_address: app.address.clone(),
            max_concurrency: at_most(app.max_concurrency),
            health: app.health.as_ref().map(health),
        }),
        runtime_version: identity.version.clone(),
        actor_runtime: Some(ActorRuntime {
            runtime_status: ActorRuntimeStatus::Disabled.into(),
            placement: sidecar::NO_PLACEMENT.to_owned(),
            ..ActorRuntime::default()
        }),
        ..GetMetadataResponse::default()
    }
}

fn health(it: &AppHealth) -> AppConnectionHealthProperties {
    AppConnectionHealthProperties {
        health_check_path: it.path.clone(),
        health_probe_interval: sidecar::go_duration(it.interval),
        health_probe_timeout: sidecar::go_duration(it.timeout),
        health_threshold: i32::try_from(it.threshold).unwrap_or(i32::MAX),
    }
}

fn component(it: &Component) -> RegisteredComponents {
    let status = it.status();
    let can = it.store().map(|it| it.capabilities());
    RegisteredComponents {
        name: it.name.clone(),
        r#type: it.component_type.clone(),
        version: it.version.clone(),
        capabilities: can.iter().flat_map(|it| sidecar::names(it)).map(str::to_owned).collect(),
        status: status.name().to_owned(),
        error: status.reason().unwrap_or_default().to_owned(),
        promises: can.map(|it| sidecar::promises(it).to_string()).unwrap_or_default(),
    }
}
