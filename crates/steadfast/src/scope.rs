//! The component files and the application that a command is about.

use std::path::PathBuf;

use anyhow::{Context, bail};
use state_config::Component;

use crate::{
    cli::ScopeArgs,
    components,
    opening::{self, Opening},
    provision, run,
};

impl ScopeArgs {
    /// The application: the one that was named, else that of this folder, as for `run`.
    ///
    /// # Errors
    ///
    /// If the id is none.
    pub(crate) fn app_id(&self) -> anyhow::Result<String> {
        let app_id = self.app_id.clone().unwrap_or_else(run::id_of_folder);
        components::check_app_id(&app_id)?;
        Ok(app_id)
    }

    /// The folders of component files: those that were named, else the same as for `run`.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        match self.resources_path.as_slice() {
            [] => vec![provision::default_folder()],
            named => named.to_vec(),
        }
    }

    /// What it takes to open the store of this name.
    ///
    /// # Errors
    ///
    /// If a file is wrong, or there is no such state store for the application.
    pub(crate) fn opening(&self, store: &str) -> anyhow::Result<Opening> {
        let app_id = self.app_id()?;
        let context = components::context(&app_id, true)?;
        let components = components::load(&context, &self.folders())?.usable;
        let component = named(store, components, &app_id)?;
        let mut openings = opening::openings(&app_id, vec![component], &mut Vec::new())?;
        openings.pop().with_context(|| format!("the state store {store} cannot be used"))
    }
}

/// The component of this name.
pub(crate) fn named(
    store: &str,
    components: Vec<Component>,
    app_id: &str,
) -> anyhow::Result<Component> {
    let names: Vec<_> = components.iter().map(|it| it.name.clone()).collect();
    if let Some(it) = components.into_iter().find(|it| it.name == store) {
        return Ok(it);
    }
    let others = match names.as_slice() {
        [] => "there is none at all".to_owned(),
        names => format!("there is {}", names.join(", ")),
    };
    bail!(
        "there is no state store {store} for the application {app_id}; {others}: see `steadfast components`"
    )
}
