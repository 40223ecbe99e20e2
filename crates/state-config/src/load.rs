use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    component::{self, Component},
    context::Context,
    document, file,
    listed::{Label, Listed, Standing},
    manifest::{self, Manifest, Reading, SkipReason, Skipped},
    problem::{Problem, Report, printable},
    properties::Properties,
    resiliency::{self, Resiliency},
    secrets::{self, NotOpened, SecretStores},
};

/// What directories of component files say.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// The state stores in scope, in load order: directories as given, files by name.
    pub components: Vec<Component>,
    /// State stores that `ignoreErrors` lets the start go on without, though there is a problem with
    /// them. In load order.
    pub rejected: Vec<Rejected>,
    /// What is done when they fail.
    pub resiliency: Resiliency,
    /// Components that are of no concern here, and why.
    pub skipped: Vec<Skipped>,
    /// What keeps components from being used. In load order.
    pub problems: Vec<Problem>,
    /// What is probably not meant, but harmless.
    pub warnings: Vec<Problem>,
    /// Every component that there is, for whomever and of whatever kind, in load order.
    pub listed: Vec<Listed>,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
}

/// A state store in scope that cannot be used as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its name.
    pub name: String,
    /// Its `spec.type` as written; empty if it has none.
    pub component_type: String,
    /// Its version in lower case; empty if it has none, or none that can be read.
    pub version: String,
    /// What is wrong with it, with places and remedies: all its problems, in one line.
    pub reason: String,
}

/// One document and what has been found out about it.
struct Page {
    reading: Reading,
    report: Report,
    label: Option<Label>,
}

/// Reads the component files of the directories: `*.yaml` and `*.yml` directly in each, by name.
///
/// Secret stores are opened first, in load order, so that the others may refer to them. A mistake
/// costs the document that it is in, and no other.
pub fn load(directories: &[PathBuf], context: &Context) -> Resources {
    let mut pages = Vec::new();
    for directory in directories {
        read_directory(directory, context, &mut pages);
    }
    refuse_duplicates(&mut pages);
    let mut resources = Resources { resiliency: resiliency(&mut pages), ..Resources::default() };
    let stores = open_secret_stores(&mut pages, context, &mut resources.secret_files);
    for Page { reading, mut report, label } in pages {
        let mut standing = Standing::of(&reading);
        if let Reading::Manifest(it) = &reading
            && !it.is_secret_store()
        {
            let component = component::resolve(it, &stores, context, &mut report);
            resources.components.extend(component);
        }
        report.problems.sort_by_key(|it| (it.line, it.column));
        report.warnings.sort_by_key(|it| (it.line, it.column));
        resources.rejected.extend(rejected(&reading, &report));
        if let Reading::Skipped(it) = reading {
            resources.skipped.push(it);
        }
        if !report.problems.is_empty() {
            standing = Standing::Wrong;
        }
        resources.listed.extend(label.map(|it| it.listed(&report.file, standing)));
        resources.problems.append(&mut report.problems);
        resources.warnings.append(&mut report.warnings);
    }
    resources
}

/// What is left of a component that may fail, and does.
fn rejected(reading: &Reading, report: &Report) -> Option<Rejected> {
    let version = match reading {
        Reading::Manifest(it) if it.is_secret_store() => return None,
        Reading::Manifest(it) => it.version.clone(),
        Reading::Nothing => String::new(),
        Reading::Skipped(_) | Reading::Resiliency(_) => return None,
    };
    let name = report.component.clone().filter(|it| !it.is_empty())?;
    if !report.ignorable || report.problems.is_empty() {
        return None;
    }
    let component_type = report.component_type.clone().unwrap_or_default();
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    let (name, component_type) = (printable(&name), printable(&component_type));
    Some(Rejected {
        name,
        component_type,
        version: printable(&version),
        reason: problems.join("; "),
    })
}

fn read_directory(directory: &Path, context: &Context, pages: &mut Vec<Page>) {
    let files = match files_of(directory) {
        Ok(files) => files,
        Err(e) => {
            let mut report = Report::new(directory);
            let message = format!("the directory cannot be read: {e}");
            report.file_problem(message, "create it, or name another");
            pages.push(Page { reading: Reading::Nothing, report, label: None });
            return;
        }
    };
    for path in files {
        match file::read(&path) {
            Ok(text) => read_file(&path, &text, context, pages),
            Err(it) => {
                let mut report = Report::new(&path);
                report.file_problem(it.message, it.hint);
                pages.push(Page { reading: Reading::Nothing, report, label: None });
            }
        }
    }
}

fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        // Not a test for plain files: Kubernetes mounts symbolic links.
        if (extension == "yaml" || extension == "yml") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, text: &str, context: &Context, pages: &mut Vec<Page>) {
    for document in document::split(text) {
        let mut report = Report::new(path);
        let (reading, label) = match document.parse() {
            Ok(Some(node)) => (manifest::read(&node, context, &mut report), Label::of(&node)),
            Ok(None) => continue,
            Err(fault) => {
                report.problem(fault.place, fault.message, fault.hint);
                (Reading::Nothing, None)
            }
        };
        pages.push(Page { reading, report, label });
    }
}

/// Keeps the first of the components that have the same name.
///
/// Differs from Dapr: which compares before it looks at scopes, so that the order of files decides
/// whether a component of another application counts.
fn refuse_duplicates(pages: &mut [Page]) {
    let mut places = BTreeMap::new();
    for Page { reading, report, .. } in pages {
        let Reading::Manifest(manifest) = reading else {
            continue;
        };
        let place = manifest.place;
        let here = format!("{}:{}", report.file.display(), place.line);
        let Some(first) = places.get(&manifest.name) else {
            places.insert(manifest.name.clone(), here);
            continue;
        };
        let message = format!("there are two components named `{}`", manifest.name);
        // Whichever is meant, the other is a mistake that cannot be ignored.
        report.ignorable = false;
        report.problem(place, message, &format!("rename this one or the one at {first}"));
        *reading = Reading::Nothing;
    }
}

/// Puts the Resiliency resources together.
fn resiliency(pages: &mut [Page]) -> Resiliency {
    let name = |it: &Page| match &it.reading {
        Reading::Manifest(it) => Some(it.name.clone()),
        Reading::Skipped(it) => Some(it.name.clone()),
        Reading::Nothing => it.report.component.clone(),
        Reading::Resiliency(_) => None,
    };
    let components: BTreeSet<_> = pages.iter().filter_map(name).collect();
    let drafts = pages.iter_mut().filter_map(|Page { reading, report, .. }| match reading {
        Reading::Resiliency(draft) => Some((draft, report)),
        Reading::Manifest(_) | Reading::Skipped(_) | Reading::Nothing => None,
    });
    resiliency::merge(drafts, &components)
}

fn open_secret_stores(
    pages: &mut [Page],
    context: &Context,
    files: &mut Vec<PathBuf>,
) -> SecretStores {
    let mut stores = SecretStores::built_in(context);
    for page in &*pages {
        close_for_now(page, &mut stores);
    }
    for Page { reading, report, .. } in pages {
        let Reading::Manifest(manifest) = reading else {
            continue;
        };
        if !manifest.is_secret_store() {
            continue;
        }
        let name = manifest.name.clone();
        let properties = component::properties(manifest, &stores, context, report);
        warn_of_unknown(manifest, &properties, report);
        if !report.problems.is_empty() {
            stores.close(name, "there is a problem with it");
            continue;
        }
        match secrets::open(&manifest.component_type, &properties, context) {
            Ok(store) => {
                files.extend(properties.get("secretsFile").map(PathBuf::from));
                stores.open(name, store);
            }
            Err(NotOpened::Unusable(reason)) => {
                let message = format!("the secret store `{name}` cannot be used: {reason}");
                report.warning(manifest.place, message, "");
                stores.close(name, reason);
            }
            Err(NotOpened::Mistake(message)) => {
                let message = format!("the secret store cannot be opened: {message}");
                report.problem(manifest.place, message, "");
                stores.close(name, "there is a problem with it");
            }
        }
    }
    stores
}

/// Notes why a component cannot be asked for secrets yet, or ever.
fn close_for_now(page: &Page, stores: &mut SecretStores) {
    match &page.reading {
        Reading::Manifest(it) if it.is_secret_store() => {
            stores.close(it.name.clone(), "it is opened later; move it to an earlier file");
        }
        Reading::Skipped(Skipped { name, component_type, reason }) => {
            let reason = match reason {
                SkipReason::NotAStateStore => {
                    format!(
                        "`{component_type}` is not a type of secret store that there is here; \
                         there are {}",
                        secrets::TYPES.join(", ")
                    )
                }
                SkipReason::OutOfScope | SkipReason::OtherNamespace(_) | SkipReason::Denied => {
                    reason.to_string()
                }
            };
            stores.close_unless_open(name, reason);
        }
        Reading::Resiliency(_) => {}
        Reading::Manifest(_) | Reading::Nothing => {
            if let (Some(name), false) = (&page.report.component, page.report.problems.is_empty()) {
                stores.close_unless_open(name, "there is a problem with it");
            }
        }
    }
}

fn warn_of_unknown(manifest: &Manifest, properties: &Properties, report: &mut Report) {
    for unknown in secrets::unknown(&manifest.component_type, properties) {
        let entry = manifest.entries.iter().find(|it| it.name == unknown.name);
        let place = entry.map_or(manifest.place, |it| it.place);
        report.warning(place, unknown.to_string(), "");
    }
}

#[cfg(test)]
mod tests;
