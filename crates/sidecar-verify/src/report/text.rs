use anstyle::{AnsiColor, Style};
use state_checker::Violation;

use super::{
    Terminal,
    lanes::{Line, draw},
    meaning::{consequence, notes},
    names::{all_endpoints, grouped, plain},
    outcome,
    timeline::Timeline,
    words::Words,
};
use crate::{AuditLine, Findings, Guarantee, Judgement, Standing};

/// A timeline of more operations is not read by anybody.
const BARS_MAX: usize = 12;

/// Many cases fail of one mistake.
const CASES_MAX: usize = 6;

/// The narrowest and the widest that is drawn for.
const COLUMNS: (usize, usize) = (60, 100);

/// Where the drawing of a counterexample begins.
const INDENT: usize = 6;

/// Room that is left for a body, however wide the head before it is.
const BODY_COLUMNS_MIN: usize = 18;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

pub(super) fn render(findings: &Findings, terminal: &Terminal) -> String {
    let columns = terminal.columns.clamp(COLUMNS.0, COLUMNS.1);
    let mut page = Page { text: String::new(), columns, colour: terminal.colour };
    header(&mut page, findings);
    page.blank();
    for it in &findings.judgements {
        judgement(&mut page, it, findings);
    }
    failed_cases(&mut page, findings);
    limits(&mut page, &findings.limits);
    page.blank();
    ending(&mut page, findings);
    page.text
}

pub(super) fn alone(
    violation: &Violation,
    endpoints: &[String],
    prefix: &str,
    terminal: &Terminal,
) -> String {
    let columns = terminal.columns.clamp(COLUMNS.0, COLUMNS.1);
    let mut page = Page { text: String::new(), columns, colour: terminal.colour };
    counterexample(&mut page, violation, endpoints, prefix);
    page.text
}

fn header(page: &mut Page, findings: &Findings) {
    let head = format!("store {}", plain(&findings.store));
    let endpoints = all_endpoints(&findings.endpoints);
    page.hang("", &[(BOLD, &head)], 2, &format!("via {endpoints}"));
    let mut facts = vec![
        format!("{} operations", grouped(findings.operations)),
        format!("{} histories", grouped(findings.histories)),
    ];
    let counts = [(findings.unknown, "with an unknown outcome"), (findings.faults, "faults made")];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        facts.push(format!("{} {what}", grouped(count)));
    }
    facts.push(format!("{:.1} s", findings.seconds));
    facts.push(format!("seed\u{a0}{}", findings.seed));
    page.hang("  ", &[], 2, &facts.join(", "));
    if findings.interrupted {
        let text = "it was ended before its time, so there is less to be said than was planned";
        page.hang("  ", &[(yellow(), "interrupted")], 14, text);
    }
    for AuditLine { warning, text } in &findings.audit {
        let mark = if *warning { (yellow(), "warning    ") } else { (DIM, "note       ") };
        page.hang("  ", &[mark], 13, &plain(text));
    }
}

fn judgement(page: &mut Page, judgement: &Judgement, findings: &Findings) {
    let title = format!("{:<26}", judgement.guarantee.title());
    let standing = (style_of(judgement.standing), judgement.standing.word());
    let gap = " ".repeat(13usize.saturating_sub(standing.1.len()));
    let plain_style = Style::new();
    let head = [(plain_style, &*title), standing, (plain_style, &*gap)];
    page.hang("  ", &head, 41, &plain(&judgement.detail));
    let shortest = judgement.violations.iter().min_by_key(|it| it.records.len());
    let Some(shortest) = shortest.filter(|it| !it.records.is_empty()) else { return };
    counterexample(page, shortest, &findings.endpoints, &findings.prefix);
    match judgement.violations.len() - 1 {
        0 => {}
        1 => page.hang("      ", &[], INDENT, "One more counterexample: --html, --json."),
        n => {
            page.hang("      ", &[], INDENT, &format!("{n} more counterexamples: --html, --json."));
        }
    }
    page.blank();
}

/// What happened, the drawing, and what it means.
fn counterexample(page: &mut Page, violation: &Violation, endpoints: &[String], prefix: &str) {
    let words = Words::short(&violation.records);
    let timeline = Timeline::of(&violation.records, BARS_MAX);
    let drawing = draw(&timeline, &words, endpoints, page.columns - INDENT);
    let indent = " ".repeat(INDENT);

    page.blank();
    let broken = format!("not kept: {} ({})", violation.invariant.promise(), violation.invariant);
    page.hang(&indent, &[(red(), &broken)], INDENT, "");
    page.hang(&indent, &[], INDENT, &words.sentence(&violation.summary));
    page.blank();
    if timeline.left_out > 0 {
        let text = format!("{} operations before these are left out", timeline.left_out);
        page.hang(&indent, &[(DIM, &text)], INDENT, "");
    }
    for Line { head, body } in &drawing.lanes {
        page.line(&indent, &[(BOLD, head)], body);
    }
    if !drawing.legend.is_empty() {
        page.blank();
    }
    for Line { head, body } in &drawing.legend {
        let width = INDENT + head.chars().count() + 2;
        page.hang(&indent, &[(DIM, head)], width, body);
    }
    page.blank();
    page.hang(&indent, &[], INDENT, &consequence(violation, &timeline));
    for note in notes(&words, violation, &timeline, prefix) {
        page.hang(&indent, &[], INDENT, &note);
    }
}

fn failed_cases(page: &mut Page, findings: &Findings) {
    let cases: Vec<_> = findings
        .judgements
        .iter()
        .flat_map(|it| it.failed_cases.iter().map(|case| (it.guarantee, case)))
        .collect();
    if cases.is_empty() {
        return;
    }
    page.section("Cases that failed, one request after the other");
    let more = cases.len().saturating_sub(CASES_MAX);
    for (guarantee, case) in cases.into_iter().take(CASES_MAX) {
        let name = plain(&case.name);
        page.hang("  ", &[(red(), &name)], 6, &format!("({})", Guarantee::name(guarantee)));
        for line in case.message.lines() {
            page.hang("      ", &[], 6, &plain(line));
        }
    }
    if more > 0 {
        page.hang("  ", &[], 2, &format!("{more} more: --html, --json."));
    }
}

fn limits(page: &mut Page, limits: &[String]) {
    if limits.is_empty() {
        return;
    }
    page.section("What this cannot tell");
    for it in limits {
        page.hang("  ", &[(DIM, "-")], 4, &plain(it));
    }
}

fn ending(page: &mut Page, findings: &Findings) {
    let violated = findings.judgements.iter().any(|it| it.standing == Standing::Violated);
    let style = if violated { red() } else { BOLD };
    let outcome = format!("{}: {}", plain(&findings.store), outcome(findings));
    page.hang("", &[(style, &outcome)], 0, "");
    let seed = format!("--seed {}", findings.seed);
    page.hang("", &[], 0, &format!("To repeat it, give the same options and {seed}."));
}

fn style_of(standing: Standing) -> Style {
    match standing {
        Standing::Holds => AnsiColor::Green.on_default().bold(),
        Standing::Violated => red(),
        Standing::NotOffered => DIM,
        Standing::NotTested => yellow(),
    }
}

fn red() -> Style {
    AnsiColor::Red.on_default().bold()
}

fn yellow() -> Style {
    AnsiColor::Yellow.on_default()
}

/// Lines of a limited width.
struct Page {
    text: String,
    columns: usize,
    colour: bool,
}

impl Page {
    /// An empty line, unless there is one.
    fn blank(&mut self) {
        if !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn section(&mut self, title: &str) {
        self.blank();
        self.hang("", &[(BOLD, title)], 0, "");
    }

    /// One line that is known to fit.
    fn line(&mut self, indent: &str, head: &[(Style, &str)], body: &str) {
        self.head(indent, head);
        self.text.push_str("  ");
        self.text.push_str(body);
        self.text.push('\n');
    }

    fn head(&mut self, indent: &str, head: &[(Style, &str)]) -> usize {
        self.text.push_str(indent);
        for (style, text) in head {
            let style = if self.colour { *style } else { Style::new() };
            self.text.push_str(&format!("{style}{text}{style:#}"));
        }
        indent.len() + head.iter().map(|(_, text)| text.chars().count()).sum::<usize>()
    }

    /// A head that is not broken, and a body that goes on `hang` characters from the left.
    fn hang(&mut self, indent: &str, head: &[(Style, &str)], hang: usize, body: &str) {
        let mut width = self.head(indent, head);
        let hang = hang.min(self.columns - BODY_COLUMNS_MIN);
        let mut gap = if width > hang { 1 } else { hang - width };
        for word in body.split(' ').filter(|it| !it.is_empty()) {
            let mut word = word.to_owned();
            if width > hang && width + gap + word.chars().count() > self.columns {
                self.new_line(hang);
                width = hang;
            } else {
                self.text.extend(std::iter::repeat_n(' ', gap));
                width += gap;
            }
            while width + word.chars().count() > self.columns {
                let rest = word.split_off(byte_of(&word, self.columns - width));
                self.text.push_str(&word);
                self.new_line(hang);
                (word, width) = (rest, hang);
            }
            width += word.chars().count();
            self.text.push_str(&word);
            gap = 1;
        }
        self.text.push('\n');
    }

    fn new_line(&mut self, hang: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', hang));
    }
}

/// Where the character of this number begins.
fn byte_of(text: &str, number: usize) -> usize {
    text.char_indices().nth(number).map_or(text.len(), |(it, _)| it)
}

#[cfg(test)]
mod tests;
