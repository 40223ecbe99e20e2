//! Component files as data. Knows YAML and Dapr's conventions for values; knows no store.
//!
//! Start with [`load`], which turns directories of files into [`Resources`]. A store then reads
//! its own settings struct from [`Component::properties`] with [`Component::settings`].
//!
//! Nothing here stops at the first mistake: each one becomes a [`Problem`] that says where it is
//! and what to write instead, and the caller decides which of them matter. No [`Problem`], no
//! `Debug` and no `Display` of this crate shows a value, since any value may be a password.

mod component;
pub mod configuration;
mod context;
mod document;
mod duration;
mod file;
mod key_prefix;
mod listed;
mod load;
mod manifest;
mod node;
mod problem;
mod properties;
mod resiliency;
mod secrets;
mod spelling;
mod template;

pub use component::{Component, Source};
pub use configuration::Configuration;
pub use context::{Context, Seed};
pub use duration::GoDuration;
pub use key_prefix::{KeyPrefix, KeyPrefixError};
pub use listed::{Listed, Standing};
pub use load::{Rejected, Resources, load};
pub use manifest::{SkipReason, Skipped};
pub use problem::Problem;
pub use properties::{Properties, PropertyError, UnknownProperty};
pub use resiliency::{Breaker, Counts, Pauses, Policy, Resiliency, Retry, Trip};
pub use secrets::{Kubernetes, Secret, SecretRefusal, SecretSource};
pub use template::{Setting, Settings, Template, Use, Value, template_file};
