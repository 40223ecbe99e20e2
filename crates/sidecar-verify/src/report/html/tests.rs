use super::*;
use crate::{Guarantee, report::samples};

#[test]
fn every_element_that_is_opened_is_closed() {
    let page = render(&samples::everything());
    let mut open = Vec::new();
    let mut rest = &*page;
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        rest = after;
        let name = tag.split([' ', '\n', '/']).find(|it| !it.is_empty()).unwrap_or_default();
        let is_void = matches!(name, "!doctype" | "meta") || tag.ends_with('/');
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !is_void {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let evil = "<script>alert('1')</script>\"><img src=x onerror=y>\u{1b}[2J";
    let mut findings = samples::broken(Guarantee::Strong, vec![samples::hostile()]);
    findings.store = evil.to_owned();
    findings.endpoints = vec![evil.to_owned(), "#2".to_owned()];
    findings.prefix = evil.to_owned();
    findings.limits = vec![evil.to_owned()];
    findings.audit = vec![crate::AuditLine { warning: true, text: evil.to_owned() }];
    let judgement = &mut findings.judgements[0];
    judgement.detail = evil.to_owned();
    judgement.violations[0].summary = evil.to_owned();
    let case = crate::FailedCase { name: evil.to_owned(), message: evil.to_owned() };
    judgement.failed_cases = vec![case];
    let page = render(&findings);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1b}'));
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&gt;&lt;img"));
}

#[test]
fn the_page_needs_nothing_else_and_may_load_nothing() {
    let page = render(&samples::everything());
    assert!(page.contains(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'"
    ));
    for it in [" src=", "<link", "<script", "url(", "@import", "href=\"http"] {
        assert!(!page.contains(it), "{it}");
    }
}

#[test]
fn every_verdict_is_said_in_words() {
    let page = render(&samples::everything());
    for it in ["VIOLATED", "HOLDS", "NOT OFFERED", "NOT TESTED", "4 of 8 guarantees violated"] {
        assert!(page.contains(it), "{it}");
    }
}

#[test]
fn a_drawing_shortens_etags_and_its_details_do_not() {
    let page = render(&samples::broken(Guarantee::Strong, vec![samples::stale_read()]));
    assert!(page.contains(">get → v=51 etag=7f3a91c2…</text>"));
    assert!(page.contains(
        "<title>C (process 3) via :3502\nget\n→ v=51 etag=7f3a91c2-55aa-4d0b-9a4e-0d2f6b1c7e11\n\
         4.10 ms to 5.05 ms after the first call</title>"
    ));
    assert!(page.contains("<code>v=51 etag=7f3a91c2-55aa-4d0b-9a4e-0d2f6b1c7e11</code>"));
}

#[test]
fn words_above_bars_do_not_overlap() {
    let violation = samples::long();
    let timeline = Timeline::of(&violation.records, BARS_MAX);
    let words = Words::short(&violation.records);
    let endpoints = samples::empty().endpoints;
    let spoken: Vec<_> =
        timeline.bars.iter().map(|it| words.spoken(it, &timeline, &endpoints)).collect();
    let places = svg::places(&timeline, &spoken, &timeline.times());
    for (bar, spoken) in timeline.bars.iter().zip(&spoken) {
        if let Some(next) = timeline.next(bar) {
            let room = places[next.from] - places[bar.from];
            assert!(room > spoken.chars().count() * 7, "{spoken}");
        }
    }
}

#[test]
fn a_run_without_a_verdict_is_a_page_too() {
    let page = render(&samples::empty());
    assert!(page.contains("Nothing was tested"));
    assert!(!page.contains("<h2>Counterexamples"));
}
