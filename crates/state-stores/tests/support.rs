//! Opens the stores of this crate for the suites.

use std::{error::Error, sync::Arc};

use state::Store;
use state_testkit::{Fixture, Opening};

type Properties = &'static [(&'static str, &'static str)];

pub(crate) fn open(component: &'static str, properties: Properties) -> Opening {
    Box::pin(async move { Ok(Fixture::new(open_store(component, properties.to_vec()).await?)) })
}

async fn open_store(
    component: &str,
    properties: Vec<(&str, &str)>,
) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    let driver = state_stores::driver(component).ok_or("not in this build")?;
    Ok((driver.open)(properties.into_iter().collect()).await?)
}

/// Two stores on one new file, as two sidecars would have them.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite_file(properties: Properties) -> Opening {
    Box::pin(async move {
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("state.db");
        let path = path.to_str().ok_or("the path is not UTF-8")?;
        let properties = [&[("connectionString", path)], properties].concat();
        let store = open_store("state.sqlite", properties.clone()).await?;
        let second = Some(open_store("state.sqlite", properties).await?);
        Ok(Fixture { store, second, guard: Box::new(folder) })
    })
}
