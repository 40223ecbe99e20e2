//! Rules about texts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::root;

/// Split a file before it gets longer than this.
const LINES_MAX: usize = 600;

/// Longer files, each with the reason.
const LONG: &[(&str, &str)] = &[(
    "state-config/src/load/tests/texts.rs",
    "one table: a text and what it must give, many times",
)];

#[test]
fn no_file_is_too_long_to_live_in() -> Result<()> {
    for (path, text) in sources("rs")? {
        let excused = LONG.iter().any(|(it, _)| path.ends_with(it));
        let lines = text.lines().count();
        ensure!(excused || lines <= LINES_MAX, "{}: {lines} lines", path.display());
    }
    Ok(())
}

#[test]
fn every_module_begins_with_what_it_is() -> Result<()> {
    for (path, text) in sources("rs")? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_root = matches!(&*name, "lib" | "main");
        ensure!(!is_root || text.starts_with("//!"), "{}: no module doc", path.display());
        ensure!(name != "mod", "{}: call it after its module", path.display());
    }
    Ok(())
}

#[test]
fn a_layer_forwards_every_method() -> Result<()> {
    let folder = root().join("crates/state-layers/src");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let layers = text.matches("impl Store for").count();
        let denied = text.matches("#[deny(clippy::missing_trait_methods)]").count();
        ensure!(layers == denied, "{}: deny clippy::missing_trait_methods", path.display());
    }
    Ok(())
}

#[test]
fn nothing_is_left_for_later_and_no_machine_is_named() -> Result<()> {
    // Assembled here, so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["#[ig", "nore"].concat(),
        ["/ro", "ot/"].concat(),
        ["/wo", "rk/"].concat(),
        ["crates", ".io"].concat(),
        ["pypi", ".org"].concat(),
        ["npmjs", ".org"].concat(),
    ];
    for kind in ["rs", "py", "md", "toml", "yaml"] {
        for (path, text) in sources(kind)? {
            for word in &words {
                ensure!(!text.contains(&**word), "{} contains {word}", path.display());
            }
        }
    }
    Ok(())
}

/// Every file of this kind that belongs to the project.
fn sources(extension: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    collect(root(), extension, &mut found)?;
    ensure!(!found.is_empty(), "there are no .{extension} files");
    Ok(found)
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let generated = name.starts_with('.')
            || matches!(&*name, "target" | "generated" | "node_modules" | "__pycache__");
        if path.is_dir() && !generated {
            collect(&path, extension, found)?;
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push((path.clone(), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
