use state_checker::Violation;

use super::{
    meaning::{consequence, notes},
    names::{all_endpoints, endpoint, grouped, plain},
    outcome, svg,
    timeline::Timeline,
    words::Words,
};
use crate::{Findings, Judgement, Standing};

/// What a browser draws without trouble. The JSON report has all of them.
const BARS_MAX: usize = 100;

const STYLE: &str = include_str!("html/page.css");

/// The page may load nothing and run nothing, whatever is in it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn render(findings: &Findings) -> String {
    let store = escape(&findings.store);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{store}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(&outcome(findings)),
    );
    header(&mut page, findings);
    guarantees(&mut page, findings);
    audit(&mut page, findings);
    for it in &findings.judgements {
        counterexamples(&mut page, it, findings);
    }
    failed_cases(&mut page, findings);
    limits(&mut page, findings);
    ending(&mut page, findings);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn header(page: &mut String, findings: &Findings) {
    let violated = findings.judgements.iter().any(|it| it.standing == Standing::Violated);
    let holds = findings.judgements.iter().any(|it| it.standing == Standing::Holds);
    let standing = match (violated, holds) {
        (true, _) => Standing::Violated,
        (false, true) => Standing::Holds,
        (false, false) => Standing::NotTested,
    };
    *page += &format!(
        "<header>\n<p class=\"kind\">Steadfast verify</p>\n<h1>{}</h1>\n\
         <p class=\"outcome {}\"><span aria-hidden=\"true\">{}</span> {}</p>\n",
        escape(&findings.store),
        class(standing),
        sign(standing),
        escape(&capitalized(&outcome(findings))),
    );
    if findings.interrupted {
        *page += "<p class=\"warning\"><strong>Interrupted:</strong> it was ended before its time, \
                  so there is less to be said than was planned.</p>\n";
    }
    let facts = [
        ("Endpoints", escape(&all_endpoints(&findings.endpoints))),
        ("Operations", grouped(findings.operations)),
        ("Histories", grouped(findings.histories)),
        ("Unknown outcomes", grouped(findings.unknown)),
        ("Faults made", grouped(findings.faults)),
        ("Took", format!("{:.1} s", findings.seconds)),
        ("Seed", findings.seed.to_string()),
        ("Keys begin with", escape(&findings.prefix)),
    ];
    page.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        *page += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    }
    page.push_str("</dl>\n</header>\n");
}

/// The roles are written out, because narrow screens get blocks instead of a table.
fn guarantees(page: &mut String, findings: &Findings) {
    page.push_str(
        "<section>\n<h2>Guarantees</h2>\n<table class=\"verdicts\" role=\"table\">\n\
         <thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" scope=\"col\">Guarantee</th>\
         <th role=\"columnheader\" scope=\"col\">Verdict</th>\
         <th role=\"columnheader\" scope=\"col\">What was found</th></tr></thead>\n\
         <tbody role=\"rowgroup\">\n",
    );
    for it in &findings.judgements {
        let title = escape(it.guarantee.title());
        let title = match it.violations.is_empty() {
            true => title,
            false => format!("<a href=\"#{}\">{title}</a>", it.guarantee.name()),
        };
        *page += &format!(
            "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{title}</th>\
             <td role=\"cell\"><span class=\"verdict {}\"><span aria-hidden=\"true\">{}</span> {}</span></td>\
             <td role=\"cell\">{}</td></tr>\n",
            class(it.standing),
            sign(it.standing),
            it.standing.word(),
            escape(&it.detail),
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn audit(page: &mut String, findings: &Findings) {
    if findings.audit.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>What the store says of itself</h2>\n<ul class=\"audit\">\n");
    for it in &findings.audit {
        let (class, word) = if it.warning { ("warning", "Warning") } else { ("note", "Note") };
        *page +=
            &format!("<li class=\"{class}\"><strong>{word}</strong> {}</li>\n", escape(&it.text));
    }
    page.push_str("</ul>\n</section>\n");
}

fn counterexamples(page: &mut String, judgement: &Judgement, findings: &Findings) {
    if judgement.violations.is_empty() {
        return;
    }
    *page += &format!(
        "<section id=\"{}\">\n<h2>Counterexamples: {}</h2>\n",
        judgement.guarantee.name(),
        escape(judgement.guarantee.title()),
    );
    let mut violations: Vec<&Violation> = judgement.violations.iter().collect();
    violations.sort_by_key(|it| it.records.len());
    for it in violations {
        counterexample(page, it, findings);
    }
    page.push_str("</section>\n");
}

fn counterexample(page: &mut String, violation: &Violation, findings: &Findings) {
    let words = Words::short(&violation.records);
    let timeline = Timeline::of(&violation.records, BARS_MAX);
    *page += &format!(
        "<article>\n<h3><span class=\"invariant\">{}</span> Not kept: {}</h3>\n<p>{}</p>\n",
        violation.invariant,
        escape(violation.invariant.promise()),
        escape(&capitalized(&format!("{}.", words.sentence(&violation.summary)))),
    );
    if timeline.left_out > 0 {
        *page += &format!("<p>{} operations before these are left out.</p>\n", timeline.left_out);
    }
    *page += &format!(
        "<div class=\"timeline\" role=\"region\" aria-label=\"Timeline\" tabindex=\"0\">\n{}\n</div>\n",
        svg::draw(&timeline, &violation.records, &findings.endpoints),
    );
    *page += &format!("<p class=\"meaning\">{}</p>\n", escape(&consequence(violation, &timeline)));
    for note in notes(&words, violation, &timeline, &findings.prefix) {
        *page += &format!("<p class=\"aside\">{}</p>\n", escape(&note));
    }
    operations(page, violation, &timeline, findings);
    page.push_str("</article>\n");
}

/// The same as the timeline for those who cannot see it, and in full for all others.
fn operations(
    page: &mut String,
    violation: &Violation,
    timeline: &Timeline<'_>,
    findings: &Findings,
) {
    let words = Words::full(&violation.records);
    let times = timeline.times();
    *page += &format!(
        "<details>\n<summary>All details of these {} operations</summary>\n\
         <div class=\"timeline\" role=\"region\" aria-label=\"Operations\" tabindex=\"0\">\n\
         <table class=\"operations\">\n<caption>Group {} of keys</caption>\n\
         <thead><tr><th scope=\"col\">Process</th><th scope=\"col\">Endpoint</th>\
         <th scope=\"col\" class=\"right\">Called, ms</th>\
         <th scope=\"col\" class=\"right\">Returned, ms</th>\
         <th scope=\"col\">Asked</th><th scope=\"col\">Answered</th></tr></thead>\n<tbody>\n",
        timeline.bars.len(),
        violation.group,
    );
    for bar in &timeline.bars {
        *page += &format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td><code>{}</code></td>\
             <td class=\"{}\"><code>{}</code></td></tr>\n",
            timeline.label(bar),
            escape(&endpoint(&findings.endpoints, bar.record.endpoint)),
            times[bar.from],
            times[bar.to],
            escape(&words.asked(bar.record)),
            svg::kind(bar.record),
            escape(&words.answered(bar.record)),
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n</details>\n");
}

fn failed_cases(page: &mut String, findings: &Findings) {
    if findings.judgements.iter().all(|it| it.failed_cases.is_empty()) {
        return;
    }
    page.push_str(
        "<section>\n<h2>Cases that failed</h2>\n\
         <p>One request after the other, with nobody else at the keys.</p>\n<dl class=\"cases\">\n",
    );
    for judgement in &findings.judgements {
        for case in &judgement.failed_cases {
            *page += &format!(
                "<div><dt><code>{}</code> <span class=\"aside\">{}</span></dt><dd>{}</dd></div>\n",
                escape(&case.name),
                escape(judgement.guarantee.title()),
                escape(&case.message),
            );
        }
    }
    page.push_str("</dl>\n</section>\n");
}

fn limits(page: &mut String, findings: &Findings) {
    if findings.limits.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>What this cannot tell</h2>\n<ul>\n");
    for it in &findings.limits {
        *page += &format!("<li>{}</li>\n", escape(it));
    }
    page.push_str("</ul>\n</section>\n");
}

fn ending(page: &mut String, findings: &Findings) {
    *page += &format!(
        "<section>\n<h2>To repeat it</h2>\n<p>Give the same options, and</p>\n\
         <pre>--seed {}</pre>\n\
         <p>The clients begin with the same choices; what they go on with depends on the answers, \
         and these on timing.</p>\n</section>\n",
        findings.seed,
    );
}

fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::Holds => "holds",
        Standing::Violated => "violated",
        Standing::NotOffered => "not-offered",
        Standing::NotTested => "not-tested",
    }
}

fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::Holds => "✓",
        Standing::Violated => "✗",
        Standing::NotOffered => "–",
        Standing::NotTested => "?",
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |it| it.to_uppercase().chain(chars).collect())
}

/// A text as the content of an element or of a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |it| (it, "\n"));
        for it in plain(line).chars() {
            match it {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                other => escaped.push(other),
            }
        }
        escaped.push_str(end);
    }
    escaped
}

#[cfg(test)]
mod tests;
