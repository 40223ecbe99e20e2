//! What a command found, as a table or as JSON.

use serde::{Serialize, Serializer};

/// The result of one command.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: &'static str,
    /// On what, and how much of it, was measured.
    pub(crate) setting: String,
    /// All with the same columns.
    pub(crate) rows: Vec<Row>,
    pub(crate) goals: Vec<Goal>,
    /// What must not be, such as memory that grows.
    pub(crate) problems: Vec<String>,
}

/// One line of the table: what each column, which ends in its unit, has there.
#[derive(Debug, Default)]
pub(crate) struct Row(Vec<(&'static str, Cell)>);

#[derive(Debug)]
enum Cell {
    Text(String),
    Number { value: f64, decimals: usize },
}

/// What was hoped for, and whether it came true.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    what: String,
    measured: Cell,
    met: bool,
}

impl Goal {
    pub(crate) fn at_most(what: impl Into<String>, max: f64, measured: f64) -> Goal {
        let what = format!("{} at most {max}", what.into());
        Goal { what, measured: Cell::number(measured, 2), met: measured <= max }
    }

    pub(crate) fn at_least(what: impl Into<String>, min: f64, measured: f64) -> Goal {
        let what = format!("{} at least {min}", what.into());
        Goal { what, measured: Cell::number(measured, 2), met: measured >= min }
    }
}

impl Row {
    pub(crate) fn of(column: &'static str, text: impl Into<String>) -> Row {
        Row(vec![(column, Cell::Text(text.into()))])
    }

    pub(crate) fn number(mut self, column: &'static str, value: f64, decimals: usize) -> Row {
        self.0.push((column, Cell::number(value, decimals)));
        self
    }
}

impl Cell {
    fn number(value: f64, decimals: usize) -> Cell {
        Cell::Number { value, decimals }
    }

    fn text(&self) -> String {
        match self {
            Cell::Text(it) => it.clone(),
            Cell::Number { value, decimals } => format!("{value:.decimals$}"),
        }
    }
}

impl Report {
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        match json {
            true => println!("{}", serde_json::to_string(self)?),
            false => print!("{}", self.text()),
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n{}\n", self.command, self.setting, table(&self.rows));
        for Goal { what, measured, met } in &self.goals {
            let mark = if *met { "met   " } else { "MISSED" };
            text += &format!("{mark}  {what}: {}\n", measured.text());
        }
        for it in &self.problems {
            text += &format!("FAILED  {it}\n");
        }
        text + "\n"
    }
}

/// Texts to the left, numbers to the right.
fn table(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut lines = vec![String::new(); rows.len() + 1];
    for (column, (name, cell)) in first.0.iter().enumerate() {
        let heading = name.replace('_', " ");
        let cells: Vec<String> = rows.iter().map(|it| it.0[column].1.text()).collect();
        let column = [heading].into_iter().chain(cells);
        let column: Vec<String> = column.collect();
        let width = column.iter().map(String::len).max().unwrap_or_default();
        for (line, it) in lines.iter_mut().zip(column) {
            *line += &match cell {
                Cell::Text(_) => format!("{it:<width$}  "),
                Cell::Number { .. } => format!("{it:>width$}  "),
            };
        }
    }
    lines.iter().map(|it| format!("{}\n", it.trim_end())).collect()
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, cell)| (name, cell)))
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Text(it) => serializer.serialize_str(it),
            Cell::Number { .. } => {
                let shown: f64 = self.text().parse().expect("a number was written");
                serializer.serialize_f64(shown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_json_show_the_same() {
        let row = |store: &str, value| Row::of("store", store).number("median_ms", value, 1);
        let rows = vec![row("memory", 5.26), row("sqlite", 11.0)];
        assert_eq!(table(&rows), "store   median ms\nmemory        5.3\nsqlite       11.0\n");
        let json = serde_json::to_string(&rows).unwrap();
        let expected =
            r#"[{"store":"memory","median_ms":5.3},{"store":"sqlite","median_ms":11.0}]"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_goal_is_met_at_its_bound() {
        assert!(Goal::at_most("a", 15.0, 15.0).met && Goal::at_least("b", 0.5, 0.5).met);
        assert!(!Goal::at_most("a", 15.0, 15.1).met && !Goal::at_least("b", 0.5, 0.4).met);
    }
}
