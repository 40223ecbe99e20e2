//! Run templates: a `dapr.yaml` that says which applications run together, and how.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    document, file,
    node::{Content, Node},
    problem::{Place, Problem, Report},
    spelling::did_you_mean,
};

mod fields;

use fields::{FIELDS, Field, Form, Home};

/// What a run template says. Paths are as they were written.
#[derive(Debug)]
pub struct Template {
    /// The name of the run; `None` if it has none.
    pub name: Option<String>,
    /// What holds for every application that does not say otherwise.
    pub common: Settings,
    /// The applications, in the order of the file; at least one.
    pub apps: Vec<Settings>,
    /// What is probably not meant, but harmless.
    pub warnings: Vec<Problem>,
}

/// The fields of one application, or those in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it begins.
    pub line: u64,
    fields: Vec<Setting>,
}

/// One field with its value.
#[derive(Clone)]
pub struct Setting {
    /// The name, as it is documented.
    pub name: &'static str,
    /// The line in the file, from 1.
    pub line: u64,
    /// The column in the line, from 1.
    pub column: u64,
    /// What was written.
    pub value: Value,
}

/// What a field may hold. `Debug` hides it: what is in an environment may be a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// One word, number or path, as text.
    Text(String),
    /// Whether something is switched on.
    Switch(bool),
    /// Words or paths, in their order.
    List(Vec<String>),
    /// Variables of the environment.
    Variables(Vec<(String, String)>),
}

/// How a sidecar is told of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// By this flag, without dashes.
    Flag(&'static str),
    /// By whoever starts it: folders, commands, logs, the environment.
    Run,
    /// Not at all: it is for another place than this machine, and why.
    None(&'static str),
}

impl Template {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in the order of the lines.
    pub fn from_file(path: &Path) -> Result<Template, Vec<Problem>> {
        match File::open(path) {
            Ok(it) => Template::from_reader(path, it),
            Err(e) => Err(unreadable(path, format!("the file cannot be opened: {e}"))),
        }
    }

    /// Reads what is called `name` in messages, such as the standard input.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Template::from_file).
    pub fn from_reader(name: &Path, from: impl Read) -> Result<Template, Vec<Problem>> {
        let text = file::text(from).map_err(|it| unreadable(name, it.message))?;
        let mut report = Report::new(name);
        let template = read(&text, &mut report);
        report.problems.sort_by_key(|it| (it.line, it.column));
        match template.filter(|_| report.problems.is_empty()) {
            Some(template) => Ok(Template { warnings: report.warnings, ..template }),
            None => Err(report.problems),
        }
    }
}

impl Settings {
    /// The field of this name, if it was given.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.fields.iter().find(|it| it.name == name)
    }

    /// All fields that were given, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.fields.iter()
    }
}

impl Setting {
    /// What becomes of it.
    pub fn used(&self) -> Use {
        let field = FIELDS.iter().find(|it| it.name == self.name);
        field.map_or(Use::Run, |it| it.used)
    }

    /// The value, if it is one word; empty text counts as none.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(it) if !it.is_empty() => Some(it),
            _ => None,
        }
    }

    /// The words of the value: those of a list, or the one that it is.
    pub fn words(&self) -> &[String] {
        match &self.value {
            Value::Text(it) => std::slice::from_ref(it),
            Value::List(it) => it,
            Value::Switch(_) | Value::Variables(_) => &[],
        }
    }

    /// Something about this field that its reader has found out, in the form of all problems.
    pub fn problem(&self, file: &Path, message: &str, hint: &str) -> Problem {
        let mut report = Report::new(file);
        let place = Place { line: self.line, column: self.column };
        report.problem(place, format!("`{}`: {message}", self.name), hint);
        report.problems.remove(0)
    }
}

impl std::fmt::Debug for Value {
    /// Hides the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value(..)")
    }
}

impl std::fmt::Debug for Setting {
    /// Hides the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("name", &self.name).finish_non_exhaustive()
    }
}

fn unreadable(path: &Path, message: String) -> Vec<Problem> {
    let mut report = Report::new(path);
    report.file_problem(message, "name a dapr.yaml, or a folder with one");
    report.problems
}

/// The fields of the whole file.
const TOP: [&str; 4] = ["version", "name", "common", "apps"];

fn read(text: &str, report: &mut Report) -> Option<Template> {
    let mut nodes = Vec::new();
    for document in document::split(text) {
        match document.parse_strictly() {
            Ok(it) => nodes.extend(it),
            Err(fault) => report.problem(fault.place, fault.message, fault.hint),
        }
    }
    if !report.problems.is_empty() {
        return None;
    }
    let mut nodes = nodes.into_iter();
    let Some(document) = nodes.next() else {
        report.file_problem("the file is empty", "write `version: 1` and `apps:`");
        return None;
    };
    if let Some(second) = nodes.next() {
        let hint = "put each run into a file of its own";
        report.problem(second.place, "a run template is one document, and here is another", hint);
    }
    if !matches!(document.content, Content::Mapping(_)) {
        let message = format!("a run template should be a mapping, not {}", document.kind());
        report.problem(document.place, message, "write `version: 1` and `apps:`");
        return None;
    }
    check_names(&document, "the template", &TOP, report);
    check_version(&document, report);
    let name = document.get("name").and_then(|it| match it.scalar() {
        Some(name) => Some(name),
        None => {
            let message = format!("`name` should be text, not {}", it.kind());
            report.problem(it.place, message, "write one word");
            None
        }
    });
    let common = match document.get("common") {
        Some(it) => settings(it, Home::Common, report),
        None => Settings { line: document.place.line, fields: Vec::new() },
    };
    let apps = apps(&document, report);
    Some(Template { name, common, apps, warnings: Vec::new() })
}

fn check_version(document: &Node, report: &mut Report) {
    const HINT: &str = "write `version: 1`";
    match document.get("version") {
        None => report.problem(document.place, "`version` is missing", HINT),
        Some(it) => match &it.content {
            Content::Number(version) if version == "1" => {}
            Content::Number(_) => report.problem(it.place, "there is only `version` 1", HINT),
            _ => {
                let message = format!("`version` should be a number, not {}", it.kind());
                report.problem(it.place, message, HINT);
            }
        },
    }
}

fn apps(document: &Node, report: &mut Report) -> Vec<Settings> {
    const HINT: &str = "write `apps:` and, below it, `- appDirPath: ./folder` for each application";
    let Some(apps) = document.get("apps") else {
        report.problem(document.place, "`apps` is missing", HINT);
        return Vec::new();
    };
    let items = match &apps.content {
        Content::List(items) if !items.is_empty() => items,
        Content::List(_) => {
            report.problem(apps.place, "`apps` names no application", HINT);
            return Vec::new();
        }
        _ => {
            let message = format!("`apps` should be a list, not {}", apps.kind());
            report.problem(apps.place, message, HINT);
            return Vec::new();
        }
    };
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        let app = settings(item, Home::App, report);
        let is_mapping = matches!(item.content, Content::Mapping(_));
        if is_mapping && item.get("appDirPath").is_none() {
            let hint = "write `appDirPath: ./folder`, relative to this file";
            report.problem(item.place, "an application has no `appDirPath`", hint);
        }
        all.push(app);
    }
    all
}

/// The fields of a mapping that belong at `home`.
fn settings(mapping: &Node, home: Home, report: &mut Report) -> Settings {
    let mut settings = Settings { line: mapping.place.line, fields: Vec::new() };
    let place = match home {
        Home::Common => "`common`",
        Home::App => "an application",
    };
    if !matches!(mapping.content, Content::Mapping(_)) {
        let message = format!("{place} should be a mapping, not {}", mapping.kind());
        report.problem(mapping.place, message, "indent its fields below it");
        return settings;
    }
    let belongs = |it: &&Field| home == Home::App || it.home == Home::Common;
    let known: Vec<_> = FIELDS.iter().filter(belongs).map(|it| it.name).collect();
    check_names(mapping, place, &known, report);
    for (key, node) in mapping.entries() {
        let field = FIELDS.iter().filter(belongs).find(|it| it.name == key.text);
        let Some(field) = field else { continue };
        if matches!(node.content, Content::Null) {
            continue;
        }
        if let Some(value) = value(field, node, report) {
            let Place { line, column } = key.place;
            settings.fields.push(Setting { name: field.name, line, column, value });
        }
    }
    settings
}

/// Reports fields that are not among those `known`, or there twice. Their case matters, as in Dapr.
fn check_names(mapping: &Node, place: &str, known: &[&'static str], report: &mut Report) {
    let entries = mapping.entries();
    for (i, (key, _)) in entries.iter().enumerate() {
        let name = &key.text;
        if let Some((first, _)) = entries[..i].iter().find(|(it, _)| it.text == *name) {
            let hint = format!("remove one of the two; the other is in line {}", first.place.line);
            report.problem(key.place, format!("`{name}` is here for the second time"), &hint);
        }
        if known.contains(&name.as_str()) {
            continue;
        }
        let message = format!("{place} has no field `{name}`");
        let elsewhere = FIELDS.iter().any(|it| it.name == name);
        if TOP.contains(&name.as_str()) {
            report.problem(key.place, message, "write it at the top level, without indentation");
        } else if elsewhere {
            let hint = match place {
                "`common`" => "each application has its own: write it below `apps`",
                _ => "write it below an application, or below `common` if it holds for all",
            };
            report.problem(key.place, message, hint);
        } else if let Some(hint) = did_you_mean(name, known.iter().copied()) {
            report.problem(key.place, message, &hint);
        } else {
            report.warning(key.place, message, "it is ignored");
        }
    }
}

/// The value of a field; `None` if it is not what the field holds, which is reported.
fn value(field: &Field, node: &Node, report: &mut Report) -> Option<Value> {
    let mut wrong = |node: &Node, should: &str, hint: &str| {
        let message = format!("`{}` should be {should}, not {}", field.name, node.kind());
        report.problem(node.place, message, hint);
    };
    match (field.form, &node.content) {
        (Form::Text, _) if node.scalar().is_some() => node.scalar().map(Value::Text),
        (Form::Text, _) => {
            wrong(node, "text", "write one word, in quotes if need be");
            None
        }
        (Form::Switch, Content::Bool(it)) => Some(Value::Switch(*it)),
        (Form::Switch, _) => {
            wrong(node, "true or false", "write `true` or `false`, without quotes");
            None
        }
        (Form::Number, _) => match node.scalar().map(|it| it.parse::<i64>().map(|_| it)) {
            Some(Ok(number)) => Some(Value::Text(number)),
            _ => {
                wrong(node, "a whole number", "write digits alone");
                None
            }
        },
        (Form::Choice(words), _) => match node.scalar() {
            Some(it) if words.contains(&it.as_str()) => Some(Value::Text(it)),
            _ => {
                let message = format!("`{}` is none of {}", field.name, words.join(", "));
                report.problem(node.place, message, "write one of these words");
                None
            }
        },
        (Form::List, Content::List(items)) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                match item.scalar() {
                    Some(it) => list.push(it),
                    None => wrong(item, "a list of words", "put what is not a word in quotes"),
                }
            }
            Some(Value::List(list))
        }
        (Form::List, _) => {
            wrong(node, "a list", "write it as `[\"one\", \"two\"]`");
            None
        }
        (Form::Variables, Content::Mapping(entries)) => {
            let mut variables = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let is_null = matches!(value.content, Content::Null);
                let text = if is_null { Some(String::new()) } else { value.scalar() };
                let is_name = !key.text.is_empty() && !key.text.contains(['=', '\0']);
                match text.filter(|it| is_name && !it.contains('\0')) {
                    Some(text) => variables.push((key.text.clone(), text)),
                    None => {
                        let message = format!("`{}` cannot be a variable", key.text);
                        report.problem(key.place, message, "write `NAME: value`, both as text");
                    }
                }
            }
            Some(Value::Variables(variables))
        }
        (Form::Variables, _) => {
            wrong(node, "a mapping", "write `env:` and, indented below it, `NAME: value`");
            None
        }
    }
}

/// Where the template is: the file itself, or the `dapr.yaml` (or `dapr.yml`) of a folder.
///
/// # Errors
///
/// If the folder has none.
pub fn template_file(path: &Path) -> Result<PathBuf, Box<Problem>> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found =
        ["dapr.yaml", "dapr.yml"].map(|it| path.join(it)).into_iter().find(|it| it.is_file());
    found.ok_or_else(|| {
        let mut report = Report::new(path);
        report.file_problem(
            "the folder has no dapr.yaml",
            "write one, or name another folder or file",
        );
        Box::new(report.problems.remove(0))
    })
}

#[cfg(test)]
mod tests;
