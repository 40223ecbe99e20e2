//! `steadfast components`: what the component files have, and what is wrong with it.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use state_config::{Component, Listed, Problem, Resources, Standing};

use crate::{
    FAILURE,
    cli::{ComponentsArgs, Output},
    components, logging, opening,
};

pub(crate) fn main(args: &ComponentsArgs) -> Result<ExitCode> {
    logging::start_quietly()?;
    let app_id = args.scope.app_id()?;
    let resources = state_config::load(&args.scope.folders(), &components::context(&app_id, true)?);
    let rows: Vec<Row> = resources.listed.iter().map(|it| Row::new(it, &resources)).collect();
    match if args.json { Output::Json } else { args.output } {
        Output::Json => anstream::println!("{}", json(&rows, &resources)),
        Output::Yaml => anstream::print!("{}", yaml(&rows)),
        Output::List => anstream::print!("{}", table(&rows)),
    }
    let problems = &resources.problems;
    for it in problems.iter().chain(&resources.warnings).filter(|_| !args.json) {
        anstream::eprintln!("{it}");
    }
    for it in rows.iter().filter_map(|it| it.mistake.as_ref()) {
        anstream::eprintln!("{it}");
    }
    let is_wrong = !problems.is_empty() || rows.iter().any(|it| it.mistake.is_some());
    Ok(if is_wrong { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}

/// A line of the list.
struct Row {
    name: String,
    component_type: String,
    version: String,
    scopes: Vec<String>,
    source: String,
    status: String,
    /// Why this program has nothing that serves the component.
    mistake: Option<String>,
}

impl Row {
    fn new(it: &Listed, resources: &Resources) -> Row {
        let is_it = |component: &&Component| component.source == it.source;
        let component = resources.components.iter().find(is_it);
        let mistake = component.and_then(|it| opening::driver(it).err());
        let status = match (&it.standing, &mistake) {
            (Standing::Wrong, _) | (_, Some(_)) => "wrong".to_owned(),
            (Standing::StateStore, None) => "ok".to_owned(),
            (Standing::SecretStore, None) => "ok, holds secrets".to_owned(),
            (Standing::Skipped(reason), None) => format!("passed over: {reason}"),
        };
        Row {
            name: it.name.clone(),
            component_type: it.component_type.clone(),
            version: it.version.clone(),
            scopes: it.scopes.clone(),
            source: format!("{}:{}", it.source.file.display(), it.source.line),
            status,
            mistake,
        }
    }

    fn cells(&self) -> [String; 6] {
        let or_dash = |it: &str| if it.is_empty() { "-".to_owned() } else { it.to_owned() };
        [
            or_dash(&self.name),
            or_dash(&self.component_type),
            or_dash(&self.version),
            if self.scopes.is_empty() { "all".to_owned() } else { self.scopes.join(",") },
            self.source.clone(),
            self.status.clone(),
        ]
    }

    fn json(&self) -> Value {
        let Row { name, component_type, version, scopes, source, status, .. } = self;
        json!({
            "name": name, "type": component_type, "version": version, "scopes": scopes,
            "source": source, "status": status,
        })
    }
}

/// The name of each column.
const HEAD: [&str; 6] = ["NAME", "TYPE", "VERSION", "SCOPES", "SOURCE", "STATUS"];

fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |i: usize| lines.iter().map(|it| it[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let cells: Vec<_> = cells.collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn json(rows: &[Row], resources: &Resources) -> Value {
    let mistakes =
        rows.iter().filter_map(|it| it.mistake.clone().map(|it| json!({ "message": it })));
    let problems: Vec<_> = resources.problems.iter().map(problem).chain(mistakes).collect();
    let warnings: Vec<_> = resources.warnings.iter().map(problem).collect();
    let rows: Vec<_> = rows.iter().map(Row::json).collect();
    json!({ "components": rows, "problems": problems, "warnings": warnings })
}

/// A problem with its place and its remedy.
pub(crate) fn problem(it: &Problem) -> Value {
    json!({
        "file": it.file.to_string_lossy(), "line": it.line, "column": it.column,
        "component": it.component, "message": it.message, "remedy": it.hint,
    })
}

fn yaml(rows: &[Row]) -> String {
    // A JSON text is a YAML value, whatever is in it.
    let rows = rows.iter().map(|it| {
        let Value::Object(fields) = it.json() else { unreachable!("a row is an object") };
        let lines = fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!("- {}", lines.collect::<Vec<_>>().join("  "))
    });
    let text: String = rows.collect();
    if text.is_empty() { "[]\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        Row {
            name: name.to_owned(),
            component_type: "state.sqlite".to_owned(),
            version: String::new(),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            source: "x.yaml:1".to_owned(),
            status: "ok".to_owned(),
            mistake: None,
        }
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let expected = "\
NAME      TYPE          VERSION  SCOPES  SOURCE    STATUS
a         state.sqlite  -        a,b     x.yaml:1  ok
long-one  state.sqlite  -        a,b     x.yaml:1  ok
";
        assert_eq!(table(&[row("a"), row("long-one")]), expected);
    }

    #[test]
    fn yaml_is_a_list_of_mappings() {
        assert_eq!(yaml(&[]), "[]\n");
        let text = yaml(&[row("a: \"b\"")]);
        assert!(text.starts_with("- name: \"a: \\\"b\\\"\"\n  scopes: [\"a\",\"b\"]\n"), "{text}");
    }
}
