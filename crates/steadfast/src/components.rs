//! Which components there are, for whom.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::bail;
use sidecar_api::Component as Slot;
use state::{Error, FailureKind};
use state_config::{
    Component, Configuration, Context, Kubernetes, Rejected, Resiliency, Resources, SkipReason,
};
use tracing::{error, info, warn};

use crate::kubernetes::ApiServer;

/// The state stores of an application.
#[derive(Debug, Default)]
pub(crate) struct Components {
    /// Those to open.
    pub(crate) usable: Vec<Component>,
    /// What is done when they fail.
    pub(crate) resiliency: Resiliency,
    /// Those that the start goes on without. Applications are told why they are not there.
    pub(crate) rejected: Vec<Arc<Slot>>,
}

/// What the surroundings offer to the components of an application.
///
/// # Errors
///
/// If the environment says that this is Kubernetes, but not where its API server is.
pub(crate) fn context(app_id: &str, has_built_in_store: bool) -> anyhow::Result<Context> {
    let in_cluster = |it| Kubernetes { secrets: Arc::new(it), has_built_in_store };
    let kubernetes = ApiServer::of_pod()?.map(in_cluster);
    Ok(Context { kubernetes, ..Context::from_process(app_id) })
}

/// The same, with what the configuration says of components.
pub(crate) fn configured(context: &Context, configuration: &Configuration) -> Context {
    Context {
        denied_types: configuration.denied_components.clone(),
        secret_scopes: configuration.secret_scopes.clone(),
        ..context.clone()
    }
}

/// The state stores of these folders that this application may use.
///
/// # Errors
///
/// If a file is wrong, unless the component says `ignoreErrors`. All mistakes are reported.
pub(crate) fn load(context: &Context, folders: &[PathBuf]) -> anyhow::Result<Components> {
    let Resources { components, resiliency, rejected, skipped, problems, warnings, .. } =
        state_config::load(folders, context);
    for it in skipped {
        let (name, component_type) = (&it.name, &it.component_type);
        match it.reason {
            SkipReason::NotAStateStore => {
                info!("{name} ({component_type}) is not a state store: passed over");
            }
            // Warned of.
            SkipReason::Denied => {}
            reason @ (SkipReason::OutOfScope | SkipReason::OtherNamespace(_)) => {
                info!("{name} ({component_type}) is passed over: {reason}");
            }
        }
    }
    for it in warnings {
        warn!("{it}");
    }
    for it in folders.iter().filter(|it| is_open_to_others(it)) {
        let folder = it.display();
        warn!(
            "other users may write into {folder}, and so choose what this sidecar does: chmod go-w {folder}"
        );
    }
    let (ignored, problems): (Vec<_>, Vec<_>) = problems.into_iter().partition(|it| it.ignorable);
    for it in ignored {
        error!("{it}");
    }
    if !problems.is_empty() {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        bail!("the component files cannot be used:\n{}", problems.join("\n"))
    }
    for name in resiliency.resources() {
        info!("Resiliency configuration loaded: {name}");
    }
    let rejected = rejected.into_iter().map(slot_of).collect();
    Ok(Components { usable: components, resiliency, rejected })
}

/// What applications see of a component that is rejected.
pub(crate) fn slot_of(it: Rejected) -> Arc<Slot> {
    rejected_slot(&it.name, &it.component_type, &it.version, it.reason)
}

/// What applications see of a component that may be absent, and is, for this reason.
pub(crate) fn rejected_slot(
    name: &str,
    component_type: &str,
    version: &str,
    reason: String,
) -> Arc<Slot> {
    let slot = Slot::new(name, component_type, version, true);
    slot.failed(&Error::new(FailureKind::Invalid, reason));
    Arc::new(slot)
}

/// Whether users besides the owner may put files into a folder. Where files cannot be changed at all, as where Kubernetes puts
/// those of a ConfigMap, what the rights say means nothing.
fn is_open_to_others(folder: &Path) -> bool {
    const GROUP_OR_OTHERS: u32 = 0o022;
    let Ok(found) = folder.metadata() else { return false };
    let is_fixed = rustix::fs::statvfs(folder)
        .is_ok_and(|it| it.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    found.permissions().mode() & GROUP_OR_OTHERS != 0 && !is_fixed
}

/// Checks an application's id: it becomes part of every key.
///
/// # Errors
///
/// If it is empty, too long, or has anything but letters, digits, `-` and `_`.
pub(crate) fn check_app_id(app_id: &str) -> anyhow::Result<()> {
    /// Source: the limit of a DNS label, which app ids have to be on Kubernetes.
    const LEN_MAX: usize = 63;
    if app_id.is_empty() {
        bail!("parameter app-id cannot be empty");
    }
    if app_id.contains('.') {
        bail!("parameter app-id cannot contain dots");
    }
    // Differs from Dapr: it takes anything, and `a||b` can read the keys of `a`.
    let good = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    if app_id.len() > LEN_MAX || !app_id.chars().all(good) {
        bail!("app-id {app_id:?} must be at most {LEN_MAX} letters, digits, '-' and '_'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_that_others_may_write_into_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let check = |mode| {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path(), rights).unwrap();
            is_open_to_others(folder.path())
        };
        assert_eq!(
            [0o700, 0o755, 0o775, 0o757, 0o777].map(check),
            [false, false, true, true, true]
        );
        assert!(!is_open_to_others(Path::new("/nowhere")));
    }

    #[test]
    fn an_app_id_is_a_plain_word() {
        for good in ["cart", "order-processor", "App_2", &"a".repeat(63)] {
            assert!(check_app_id(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a||b", "a/b", "a b", "é", "a\nb", &"a".repeat(64)] {
            assert!(check_app_id(bad).is_err(), "{bad:?}");
        }
    }
}
