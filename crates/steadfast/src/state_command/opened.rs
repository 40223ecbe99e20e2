//! A store that a command works on.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use state::{Key, Store};

use crate::{
    cli::{ScopeArgs, StoreArgs},
    opening::Opening,
};

/// How long a store may take to be put in order at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// An open store, and how its keys are to be understood.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) opening: Opening,
    pub(super) app_id: String,
    /// Whether keys are those that are stored, prefixes included.
    pub(super) raw_keys: bool,
}

impl Opened {
    pub(super) async fn of(args: &StoreArgs) -> Result<Opened> {
        Opened::open(&args.scope, &args.store, args.form.raw_keys).await
    }

    /// Opens the store in the same layers as a sidecar of the application does.
    pub(super) async fn open(scope: &ScopeArgs, name: &str, raw_keys: bool) -> Result<Opened> {
        let opening = scope.opening(name)?;
        let opening = if raw_keys { opening.with_stored_keys() } else { opening };
        let store = opening.open().await;
        let store = store.with_context(|| format!("cannot open the store {name}"))?;
        if opening.is_in_process() && !store.capabilities().durability.process_crash {
            bail!(
                "the store {name} keeps everything in the memory of the sidecar's own process, where no other \
                 can see it: use the API of the sidecar"
            );
        }
        Ok(Opened { store, opening, app_id: scope.app_id()?, raw_keys })
    }

    pub(super) fn name(&self) -> &str {
        &self.opening.component().name
    }

    /// Whether values come back byte for byte.
    pub(super) fn is_exact(&self) -> bool {
        self.store.capabilities().exact_values
    }

    /// Makes a key of a text.
    ///
    /// # Errors
    ///
    /// If it is none, in the words of the API.
    pub(super) fn key(&self, text: &str) -> Result<Key> {
        if self.raw_keys && !text.is_empty() {
            return Ok(Key::stored(text));
        }
        sidecar_api::key(text, self.name()).map_err(|e| {
            let hint = e.extra.hint.as_ref().map_or_else(String::new, |it| format!("; {it}"));
            anyhow::anyhow!("{}{hint}", e.message)
        })
    }

    /// Fails, saying so, if the store cannot list its keys.
    pub(super) fn check_lists(&self) -> Result<()> {
        if self.store.capabilities().list {
            return Ok(());
        }
        let kind = &self.opening.component().component_type;
        bail!(
            "the store {} ({kind}) cannot list its keys as it is configured, so nothing was done; with the keys at \
             hand, use `steadfast state get`",
            self.name()
        )
    }

    /// Puts the store in order, if that does not take long.
    pub(super) async fn close(&self) {
        // Nothing that was acknowledged depends on it.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.store.close()).await;
    }
}
