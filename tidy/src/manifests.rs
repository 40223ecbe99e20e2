//! Rules about crates.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use toml::Table;

use crate::root;

/// Who may depend on whom, outside of tests. A row names only rows above it, so there are no
/// cycles, and nothing called `state*` can learn that HTTP exists.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("state", &[]),
    ("state-config", &[]),
    // What a Resiliency resource says is what a layer does.
    ("state-layers", &["state", "state-config"]),
    ("state-stores", &["state", "state-config"]),
    ("state-testkit", &["state"]),
    ("state-checker", &[]),
    ("fault-proxy", &[]),
    // For tests, and for programs that test.
    ("real-servers", &[]),
    ("sidecar-proto", &[]),
    ("sidecar-client", &["state", "sidecar-proto"]),
    ("sidecar-api", &["state", "sidecar-proto"]),
    ("sidecar-bench", &["state", "state-config", "state-stores", "real-servers", "sidecar-proto"]),
    ("sidecar-verify", &["state", "state-testkit", "state-checker"]),
    (
        "torture",
        &[
            "state",
            "state-checker",
            "state-config",
            "state-stores",
            "fault-proxy",
            "real-servers",
            "sidecar-client",
            "sidecar-verify",
        ],
    ),
    (
        "steadfast",
        &[
            "state",
            "state-checker",
            "state-config",
            "state-layers",
            "state-stores",
            "state-testkit",
            "fault-proxy",
            "sidecar-api",
            "sidecar-client",
            "sidecar-verify",
        ],
    ),
];

/// What must not reach the vocabulary: I/O, formats, runtimes.
const NOT_IN_STATE: &[&str] = &["hyper", "serde", "serde_json", "tokio", "tracing"];

#[test]
fn crates_import_only_what_they_may() -> Result<()> {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    for (name, manifest) in manifests()? {
        let may = allowed.get(&*name).with_context(|| format!("{name} is not in MAY_IMPORT"))?;
        for it in dependencies(&manifest) {
            let ours = allowed.contains_key(&*it);
            ensure!(!ours || may.contains(&&*it), "{name} must not depend on {it}");
        }
    }
    Ok(())
}

#[test]
fn a_row_names_only_rows_above_it() {
    for (i, (name, may)) in MAY_IMPORT.iter().enumerate() {
        let above: Vec<_> = MAY_IMPORT[..i].iter().map(|(it, _)| *it).collect();
        assert!(may.iter().all(|it| above.contains(it)), "{name}");
    }
}

#[test]
fn the_vocabulary_performs_no_io() -> Result<()> {
    let manifest = &manifests()?["state"];
    let wrong = dependencies(manifest).into_iter().find(|it| NOT_IN_STATE.contains(&&**it));
    ensure!(wrong.is_none(), "state must not depend on {wrong:?}");
    Ok(())
}

#[test]
fn every_crate_is_called_like_its_folder_and_takes_the_lints_of_the_workspace() -> Result<()> {
    for (name, manifest) in manifests()? {
        ensure!(manifest["package"]["name"].as_str() == Some(&*name), "{name}: another name");
        let lints = manifest.get("lints").and_then(|it| it.get("workspace"));
        ensure!(lints.and_then(|it| it.as_bool()) == Some(true), "{name}: lints are its own");
    }
    let workspace: Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let lints = &workspace["workspace"]["lints"]["rust"];
    ensure!(lints["unsafe_code"].as_str() == Some("forbid"), "unsafe code is forbidden");
    Ok(())
}

#[test]
fn every_feature_of_the_stores_can_be_chosen_for_the_program() -> Result<()> {
    let manifests = manifests()?;
    let features = |name: &str| -> Result<Table> {
        Ok(manifests[name]["features"].as_table().context("features")?.clone())
    };
    let (stores, program) = (features("state-stores")?, features("steadfast")?);
    for feature in stores.keys() {
        ensure!(program.contains_key(feature), "steadfast does not forward {feature}");
    }
    Ok(())
}

fn manifests() -> Result<BTreeMap<String, Table>> {
    let mut manifests = BTreeMap::new();
    for entry in fs::read_dir(root().join("crates"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml"))?;
        manifests.insert(name, manifest.parse()?);
    }
    Ok(manifests)
}

fn dependencies(manifest: &Table) -> Vec<String> {
    let table = manifest.get("dependencies").and_then(|it| it.as_table());
    table.into_iter().flat_map(|it| it.keys().cloned()).collect()
}
