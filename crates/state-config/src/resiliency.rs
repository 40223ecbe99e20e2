//! Documents of `kind: Resiliency`: what is done when a store fails, by component.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::problem::Report;

mod draft;
mod trip;

pub(crate) use draft::{Draft, read};
pub use trip::{Counts, Trip};

/// The policies of all Resiliency resources in scope, put together: of two that have the same name,
/// the one that was read later counts, as in Dapr.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resiliency {
    resources: Vec<String>,
    timeouts: BTreeMap<String, Named<Option<Duration>>>,
    retries: BTreeMap<String, Named<Retry>>,
    breakers: BTreeMap<String, Named<Breaker>>,
    targets: BTreeMap<String, Target>,
}

/// What is done when one component fails. At least one of the three is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The resource that names the component, or else the one that has the first of the defaults.
    pub resource: String,
    /// How long one attempt may take. More than zero.
    pub timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<Retry>,
    /// When to stop trying for a while.
    pub breaker: Option<Breaker>,
}

/// When an operation that failed is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The pauses between attempts.
    pub pauses: Pauses,
    /// How often at most; `None` for any number of times.
    pub max: Option<u32>,
}

/// The pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pauses {
    /// Always as long.
    Constant(Duration),
    /// Half a second, and half as long again each time, give or take a half; for 15 minutes in all.
    Exponential {
        /// The longest, but for what is given or taken.
        max: Duration,
    },
}

/// When a component is left alone for a while, because it fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// Its name among the policies, for logs.
    pub name: String,
    /// How many attempts are let through to see whether the component is well again. At least 1.
    pub max_requests: u32,
    /// After which time the counting begins anew while all is well; `None` for never.
    pub interval: Option<Duration>,
    /// How long the component is left alone.
    pub timeout: Duration,
    /// Under which condition that begins.
    pub trip: Trip,
}

/// A policy and where it comes from.
#[derive(Clone, Debug, PartialEq)]
struct Named<T> {
    resource: String,
    policy: T,
}

/// Which policies a component has been given, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
struct Target {
    resource: String,
    timeout: Option<String>,
    retry: Option<String>,
    breaker: Option<String>,
}

/// The names under which policies hold for every state store that no target names, the most specific
/// first. Source: Dapr's documentation of default policies.
const DEFAULTS: [&str; 4] = [
    "DefaultStatestoreComponentOutbound",
    "DefaultComponentOutbound",
    "DefaultComponent",
    "Default",
];

impl Resiliency {
    /// The names of the resources, in load order.
    pub fn resources(&self) -> &[String] {
        &self.resources
    }

    /// The components that targets name.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str)
    }

    /// What is done when this state store fails; `None` for nothing.
    ///
    /// A component that a target names has the policies that are named there, and no others; any other
    /// has the default ones.
    pub fn policy_for(&self, component: &str) -> Option<Policy> {
        let (timeout, retry, breaker) = match self.targets.get(component) {
            Some(it) => (
                by_name(&self.timeouts, it.timeout.as_deref()),
                by_name(&self.retries, it.retry.as_deref()),
                by_name(&self.breakers, it.breaker.as_deref()),
            ),
            None => (
                by_default(&self.timeouts, "TimeoutPolicy"),
                by_default(&self.retries, "RetryPolicy"),
                by_default(&self.breakers, "CircuitBreakerPolicy"),
            ),
        };
        let target = self.targets.get(component).map(|it| &it.resource);
        let resource = target
            .or(timeout.map(|it| &it.resource))
            .or(retry.map(|it| &it.resource))
            .or(breaker.map(|it| &it.resource))?;
        let policy = Policy {
            resource: resource.clone(),
            timeout: timeout.and_then(|it| it.policy),
            retry: retry.map(|it| it.policy.clone()).filter(|it| it.max != Some(0)),
            breaker: breaker.map(|it| it.policy.clone()),
        };
        let is_empty =
            policy.timeout.is_none() && policy.retry.is_none() && policy.breaker.is_none();
        (!is_empty).then_some(policy)
    }
}

fn by_name<'a, T>(
    policies: &'a BTreeMap<String, Named<T>>,
    name: Option<&str>,
) -> Option<&'a Named<T>> {
    policies.get(name?)
}

fn by_default<'a, T>(policies: &'a BTreeMap<String, Named<T>>, kind: &str) -> Option<&'a Named<T>> {
    DEFAULTS.iter().find_map(|it| policies.get(&format!("{it}{kind}")))
}

/// Puts resources together, in load order, and reports targets that name what none of them has.
/// `components` are the names of all components, also of those in other scopes.
pub(crate) fn merge<'a>(
    drafts: impl IntoIterator<Item = (&'a mut Draft, &'a mut Report)>,
    components: &BTreeSet<String>,
) -> Resiliency {
    let mut merged = Resiliency::default();
    let mut drafts: Vec<_> = drafts.into_iter().collect();
    let mut declared = draft::Declared::default();
    for (draft, _) in &mut drafts {
        merged.resources.push(draft.resource.clone());
        declared.extend(&draft.declared);
        let resource = &draft.resource;
        take(&mut merged.timeouts, &mut draft.timeouts, resource);
        take(&mut merged.retries, &mut draft.retries, resource);
        take(&mut merged.breakers, &mut draft.breakers, resource);
    }
    for (draft, report) in drafts {
        draft.check_targets(&declared, components, report);
        for it in &draft.targets {
            merged.targets.insert(it.component.clone(), it.target(&draft.resource));
        }
    }
    merged
}

fn take<T>(to: &mut BTreeMap<String, Named<T>>, from: &mut Vec<(String, T)>, resource: &str) {
    for (name, policy) in from.drain(..) {
        to.insert(name, Named { resource: resource.to_owned(), policy });
    }
}

#[cfg(test)]
mod tests;
