//! What a command found, as a table or as JSON.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::statistics::Spread;

/// The result of one command.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: &'static str,
    /// On what, and how much of it, was measured.
    pub(crate) setting: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
    /// What must not be, such as memory that grows.
    pub(crate) problems: Vec<String>,
}

/// Rows that all have the same columns.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    /// Empty if it is the only one.
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// One line of a table: what each column, which ends in its unit, has there.
#[derive(Debug, Default)]
pub(crate) struct Row(Vec<(&'static str, Cell)>);

#[derive(Debug)]
enum Cell {
    Text(String),
    Number {
        value: f64,
        decimals: usize,
    },
    Spread {
        spread: Spread,
        decimals: usize,
    },
    /// What was not measured.
    Nothing,
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

    pub(crate) fn text(mut self, column: &'static str, text: impl Into<String>) -> Row {
        self.0.push((column, Cell::Text(text.into())));
        self
    }

    /// The median of several figures with the least and the greatest, or nothing if there are none.
    pub(crate) fn spread(mut self, column: &'static str, of: &[f64], decimals: usize) -> Row {
        let cell = match of {
            [] => Cell::Nothing,
            _ => Cell::Spread { spread: Spread::of(of), decimals },
        };
        self.0.push((column, cell));
        self
    }

    pub(crate) fn range(mut self, column: &'static str, spread: Spread, decimals: usize) -> Row {
        self.0.push((column, Cell::Spread { spread, decimals }));
        self
    }

    pub(crate) fn maybe(self, column: &'static str, value: Option<f64>, decimals: usize) -> Row {
        match value {
            Some(value) => self.number(column, value, decimals),
            None => self.spread(column, &[], decimals),
        }
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
            Cell::Spread { spread: Spread { median, min, max }, decimals } => {
                format!("{median:.decimals$} ({min:.decimals$}..{max:.decimals$})")
            }
            Cell::Nothing => "-".to_owned(),
        }
    }
}

impl Table {
    /// The only one of a report.
    pub(crate) fn of(rows: impl IntoIterator<Item = Row>) -> Table {
        Table { title: String::new(), rows: rows.into_iter().collect() }
    }

    pub(crate) fn titled(title: impl Into<String>, rows: impl IntoIterator<Item = Row>) -> Table {
        Table { title: title.into(), ..Table::of(rows) }
    }

    /// The headings, and the cells of each row as texts.
    pub(crate) fn texts(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let Some(first) = self.rows.first() else { return Default::default() };
        let headings = first.0.iter().map(|(name, _)| name.replace('_', " ")).collect();
        let cells = |row: &Row| row.0.iter().map(|(_, cell)| cell.text()).collect();
        (headings, self.rows.iter().map(cells).collect())
    }

    /// Texts to the left, figures to the right. What is the same in all rows is said once, before them.
    fn text(&self) -> String {
        let (headings, rows) = self.texts();
        let mut text = String::new();
        let mut lines = vec![String::new(); rows.len() + 1];
        let mut same = Vec::new();
        for (column, heading) in headings.iter().enumerate() {
            let mut cells: Vec<&str> = rows.iter().map(|it| it[column].as_str()).collect();
            let is_text = matches!(self.rows[0].0[column].1, Cell::Text(_));
            if is_text && cells.len() > 1 && cells.iter().all(|it| *it == cells[0]) {
                same.push(format!("{heading} {}", cells[0]));
                continue;
            }
            cells.insert(0, heading);
            let width = cells.iter().map(|it| it.chars().count()).max().unwrap_or_default();
            for (line, it) in lines.iter_mut().zip(cells) {
                *line +=
                    &if is_text { format!("{it:<width$}  ") } else { format!("{it:>width$}  ") };
            }
        }
        let title = [self.title.clone()].into_iter().filter(|it| !it.is_empty());
        let title: Vec<String> = title.chain(same).collect();
        if !title.is_empty() {
            text += &format!("{}\n", title.join(", "));
        }
        lines.iter().for_each(|it| text += &format!("{}\n", it.trim_end()));
        text
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
        let mut text = format!("{}: {}\n\n", self.command, self.setting);
        for table in self.tables.iter().filter(|it| !it.rows.is_empty()) {
            text += &format!("{}\n", table.text());
        }
        for goal in &self.goals {
            text += &format!("{}\n", goal.text());
        }
        for it in &self.problems {
            text += &format!("FAILED  {it}\n");
        }
        text + "\n"
    }
}

/// All goals of several reports, each with the command that has measured it.
pub(crate) fn summary(reports: &[Report]) -> String {
    let mut text = "goals:\n".to_owned();
    for report in reports {
        for goal in &report.goals {
            text += &format!("{:8}  {}\n", report.command, goal.text());
        }
    }
    text
}

impl Goal {
    pub(crate) fn is_met(&self) -> bool {
        self.met
    }

    pub(crate) fn text(&self) -> String {
        let mark = if self.met { "met   " } else { "MISSED" };
        format!("{mark}  {}: {}", self.what, self.measured.text())
    }
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
            Cell::Number { value, decimals } => {
                serializer.serialize_f64(as_shown(*value, *decimals))
            }
            Cell::Spread { spread: Spread { median, min, max }, decimals } => {
                let mut map = serializer.serialize_map(Some(3))?;
                for (name, value) in [("median", median), ("min", min), ("max", max)] {
                    map.serialize_entry(name, &as_shown(*value, *decimals))?;
                }
                map.end()
            }
            Cell::Nothing => serializer.serialize_none(),
        }
    }
}

fn as_shown(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().expect("a number was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_json_show_the_same() {
        let row = |store: &str, value| Row::of("store", store).number("median_ms", value, 1);
        let rows = vec![row("memory", 5.26), row("sqlite", 11.0)];
        let table = Table::of(rows);
        assert_eq!(table.text(), "store   median ms\nmemory        5.3\nsqlite       11.0\n");
        let json = serde_json::to_string(&table.rows).unwrap();
        let expected =
            r#"[{"store":"memory","median_ms":5.3},{"store":"sqlite","median_ms":11.0}]"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_the_same_in_all_rows_is_said_once() {
        let row = |store, cpu: &[f64]| {
            Row::of("store", store).text("wire", "http").spread("cpu_us", cpu, 1)
        };
        let table = Table::titled("cost", [row("memory", &[3.0, 1.0, 2.0]), row("redis", &[])]);
        let expected = "cost, wire http\nstore           cpu us\nmemory  2.0 (1.0..3.0)\nredis                -\n";
        assert_eq!(table.text(), expected);
        let json = serde_json::to_string(&table.rows[0]).unwrap();
        assert!(json.ends_with(r#""cpu_us":{"median":2.0,"min":1.0,"max":3.0}}"#), "{json}");
    }

    #[test]
    fn a_goal_is_met_at_its_bound() {
        assert!(Goal::at_most("a", 15.0, 15.0).met && Goal::at_least("b", 0.5, 0.5).met);
        assert!(!Goal::at_most("a", 15.0, 15.1).met && !Goal::at_least("b", 0.5, 0.4).met);
    }
}
