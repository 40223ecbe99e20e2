//! A report as a page that needs nothing from elsewhere.

use std::{fs, path::Path};

use anyhow::Context;

use crate::{plot::escaped, report::Report};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}\
figure{margin:0}.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\
th,td{padding:.2rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid #8884}\
th{text-align:left}.met{color:light-dark(#26652a,#83c97c)}.missed{color:light-dark(#a3281c,#ee8b7a)}";

/// Writes it to `path`. `plots` are SVG.
pub(crate) fn write(path: &Path, report: &Report, plots: &[String]) -> anyhow::Result<()> {
    fs::write(path, html(report, plots))
        .with_context(|| format!("cannot write the page to {}", path.display()))
}

fn html(report: &Report, plots: &[String]) -> String {
    let title = escaped(&format!("Steadfast: {}", report.command));
    let figures: String = plots.iter().map(|it| format!("<figure>{it}</figure>\n")).collect();
    let tables: String = report.tables.iter().map(|it| table(&it.title, &it.texts())).collect();
    let goals: String = report
        .goals
        .iter()
        .map(|it| {
            let class = if it.is_met() { "met" } else { "missed" };
            format!("<li class=\"{class}\">{}</li>\n", escaped(&it.text()))
        })
        .collect();
    let goals =
        if goals.is_empty() { goals } else { format!("<h2>Goals</h2>\n<ul>\n{goals}</ul>\n") };
    let setting = escaped(&report.setting);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n<p>{setting}</p>\n{goals}\
         <div class=\"plots\">\n{figures}</div>\n{tables}</html>\n"
    )
}

fn table(title: &str, (headings, rows): &(Vec<String>, Vec<Vec<String>>)) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells: String =
            cells.iter().map(|it| format!("<{tag}>{}</{tag}>", escaped(it))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(|it| line("td", it)).collect();
    format!(
        "<h2>{}</h2>\n<div class=\"scroll\"><table>\n{}{rows}</table></div>\n",
        escaped(title),
        line("th", headings)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Goal, Row, Table};

    #[test]
    fn a_page_shows_all_of_a_report_and_loads_nothing() {
        let report = Report {
            command: "compare",
            setting: "1 < 2".to_owned(),
            tables: vec![Table::titled(
                "costs",
                [Row::of("store", "<b>").number("cpu_us", 1.5, 1)],
            )],
            goals: vec![Goal::at_most("a ratio,", 1.35, 2.0)],
            problems: Vec::new(),
        };
        let html = html(&report, &["<svg></svg>".to_owned()]);
        for expected in
            ["1 &lt; 2", "<td>&lt;b&gt;</td><td>1.5</td>", "class=\"missed\"", "<svg></svg>"]
        {
            assert!(html.contains(expected), "{expected}");
        }
        assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="));
    }
}
