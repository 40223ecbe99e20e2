//! A timeline as a picture in a page.

use state_checker::{Record, Reply};

use super::{
    html::escape,
    names::endpoint,
    timeline::{Bar, Distance, Timeline},
    words::Words,
};

/// Pixels. Characters of a fixed width are at most 0.61 of their size wide in common fonts.
const WORD_PX: f64 = 12.0 * 0.61;
const TIME_PX: f64 = 10.0 * 0.61;

const ROW_PX: usize = 46;
const TOP_PX: usize = 10;
const AXIS_PX: usize = 24;
const STEP_PX: usize = 30;
const MARGIN_PX: usize = 12;

/// Draws it. What is too long for the picture can be read by pointing at a bar.
pub(super) fn draw(timeline: &Timeline<'_>, records: &[Record], endpoints: &[String]) -> String {
    let (short, full) = (Words::short(records), Words::full(records));
    let times = timeline.times();
    let spoken: Vec<String> =
        timeline.bars.iter().map(|it| short.spoken(it, timeline, endpoints)).collect();
    let names: Vec<String> = timeline
        .lanes
        .iter()
        .map(|lane| match lane.endpoint {
            Some(it) if endpoints.len() > 1 => endpoint(endpoints, it),
            _ => String::new(),
        })
        .collect();
    let left = names.iter().map(|it| px(it, TIME_PX)).max().unwrap_or(0).max(20) + 2 * MARGIN_PX;
    let places = places(timeline, &spoken, &times);
    let right = |(bar, words): (&Bar<'_>, &String)| {
        places[bar.to].max(places[bar.from] + px(words, WORD_PX))
    };
    let width = timeline.bars.iter().zip(&spoken).map(right).max().unwrap_or(0);
    let width = left + width + 2 * MARGIN_PX;
    let rows: usize = timeline.lanes.iter().map(|it| it.rows).sum();
    let bottom = TOP_PX + rows * ROW_PX;
    let height = bottom + AXIS_PX;

    let mut svg = format!(
        "<svg role=\"img\" width=\"100%\" height=\"{height}\" style=\"min-width:{width}px\" \
         aria-label=\"Timeline of {} operations by {} processes; the same is in the table below\">\n",
        timeline.bars.len(),
        timeline.lanes.len(),
    );
    let mut top = TOP_PX;
    let mut tops = Vec::new();
    for (i, lane) in timeline.lanes.iter().enumerate() {
        let height = lane.rows * ROW_PX;
        let band = if i % 2 == 0 { "band" } else { "band odd" };
        svg +=
            &format!("<rect class=\"{band}\" y=\"{top}\" width=\"100%\" height=\"{height}\"/>\n");
        svg += &text("lane", MARGIN_PX, top + 20, &lane.label);
        svg += &text("name", MARGIN_PX, top + 35, &names[i]);
        tops.push(top);
        top += height;
    }
    for (place, time) in places.iter().zip(&times) {
        let x = left + place;
        svg += &format!("<path class=\"grid\" d=\"M{x} {TOP_PX}V{}\"/>\n", bottom + 4);
        svg += &text("time", x, bottom + 16, time);
    }
    svg += &text("name", MARGIN_PX, bottom + 16, "ms");
    for (bar, words) in timeline.bars.iter().zip(&spoken) {
        let (from, to) = (left + places[bar.from], left + places[bar.to]);
        let y = tops[bar.lane] + bar.row * ROW_PX;
        svg += &format!("<g class=\"bar {}\"><title>", kind(bar.record));
        svg += &escape(&hover(bar, timeline, &full, &times, endpoints));
        svg += "</title>";
        let wide = (to - from).max(px(words, WORD_PX));
        svg += &format!(
            "<rect class=\"touch\" x=\"{from}\" y=\"{y}\" width=\"{wide}\" height=\"{ROW_PX}\"/>"
        );
        let wide = to - from;
        svg += &format!(
            "<rect class=\"span\" x=\"{from}\" y=\"{}\" width=\"{wide}\" height=\"12\" rx=\"3\"/>",
            y + 26
        );
        svg += &text("words", from, y + 19, words);
        svg += "</g>\n";
    }
    svg + "</svg>"
}

/// Places in pixels. Words stand above their bars, and may be longer than these.
pub(super) fn places(timeline: &Timeline<'_>, spoken: &[String], times: &[String]) -> Vec<usize> {
    let mut distances = timeline.steps(|it| STEP_PX.max(px(&times[it], TIME_PX) + 8));
    for (bar, words) in timeline.bars.iter().zip(spoken) {
        distances.push(Distance { from: bar.from, to: bar.to, at_least: 2 * STEP_PX });
        if let Some(next) = timeline.next(bar) {
            let at_least = px(words, WORD_PX) + MARGIN_PX;
            distances.push(Distance { from: bar.from, to: next.from, at_least });
        }
    }
    timeline.places(distances)
}

/// Everything that is known of an operation.
fn hover(
    bar: &Bar<'_>,
    timeline: &Timeline<'_>,
    full: &Words,
    times: &[String],
    endpoints: &[String],
) -> String {
    let record = bar.record;
    format!(
        "{} (process {}) via {}\n{}\n→ {}\n{} ms to {} ms after the first call",
        timeline.label(bar),
        record.process,
        endpoint(endpoints, record.endpoint),
        full.asked(record),
        full.answered(record),
        times[bar.from],
        times[bar.to],
    )
}

/// The class of a bar. Its words say the same.
pub(super) fn kind(record: &Record) -> &'static str {
    match &record.reply {
        Reply::Found { .. } | Reply::Absent | Reply::Foreign { .. } => "read",
        Reply::Done { .. } => "done",
        Reply::Conflict | Reply::NotApplied => "refused",
        Reply::Unknown => "unknown",
    }
}

fn text(class: &str, x: usize, y: usize, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(text))
}

fn px(text: &str, of_char: f64) -> usize {
    (text.chars().count() as f64 * of_char).ceil() as usize
}
