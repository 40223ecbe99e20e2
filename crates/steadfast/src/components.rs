//! Which components there are, for whom.

use std::path::PathBuf;

use anyhow::bail;
use state_config::{Resources, SkipReason};
use tracing::{error, info, warn};

/// The state stores of these folders that this application may use, and what is done when they fail.
/// Nothing is left in the result that is to be reported.
///
/// # Errors
///
/// If a file is wrong, unless the component says `ignoreErrors`. All mistakes are reported.
pub(crate) fn load(app_id: &str, folders: &[PathBuf]) -> anyhow::Result<Resources> {
    let context = state_config::Context::from_process(app_id);
    let Resources { components, resiliency, skipped, problems, warnings } =
        state_config::load(folders, &context);
    for it in skipped {
        let (name, component_type) = (&it.name, &it.component_type);
        match it.reason {
            SkipReason::NotAStateStore => {
                info!("{name} ({component_type}) is not a state store: passed over");
            }
            reason => info!("{name} ({component_type}) is passed over: {reason}"),
        }
    }
    for it in warnings {
        warn!("{it}");
    }
    let (ignored, problems): (Vec<_>, Vec<_>) = problems.into_iter().partition(|it| it.ignorable);
    for it in ignored {
        error!("{it}");
    }
    if problems.is_empty() {
        for name in resiliency.resources() {
            info!("Resiliency configuration loaded: {name}");
        }
        return Ok(Resources { components, resiliency, ..Resources::default() });
    }
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    bail!("the component files cannot be used:\n{}", problems.join("\n"))
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
    fn an_app_id_is_a_plain_word() {
        for good in ["cart", "order-processor", "App_2", &"a".repeat(63)] {
            assert!(check_app_id(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a||b", "a/b", "a b", "é", "a\nb", &"a".repeat(64)] {
            assert!(check_app_id(bad).is_err(), "{bad:?}");
        }
    }
}
