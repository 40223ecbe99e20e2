//! A timeline in characters.

use state_checker::Reply;

use super::{
    names::endpoint,
    timeline::{Bar, Distance, Lane, Timeline},
    words::Words,
};

/// A timeline, line by line.
#[derive(Debug)]
pub(super) struct Drawing {
    /// One or more for each lane.
    pub(super) lanes: Vec<Line>,
    /// What the numbers in bars stand for, if the words did not fit.
    pub(super) legend: Vec<Line>,
}

/// Something named.
#[derive(Debug)]
pub(super) struct Line {
    /// All heads of a drawing are equally wide.
    pub(super) head: String,
    pub(super) body: String,
}

/// Wider heads would leave too little room for the bars of a long counterexample.
const HEAD_CHARS_MAX: usize = 10;

/// Draws it no wider than `columns`, except for the bodies of the legend, which may be broken.
pub(super) fn draw(
    timeline: &Timeline<'_>,
    words: &Words,
    endpoints: &[String],
    columns: usize,
) -> Drawing {
    let heads = heads(timeline, endpoints);
    let room = columns.saturating_sub(heads[0].chars().count() + 2);
    let spoken: Vec<String> =
        timeline.bars.iter().map(|it| words.spoken(it, timeline, endpoints)).collect();
    if let Some(places) = with_words(timeline, &spoken, room) {
        let words = spoken.iter().map(|it| format!(" {it} ")).collect::<Vec<_>>();
        let mut lanes = lanes(timeline, &places, &heads, &words);
        lanes.push(axis(timeline, &places, heads[0].chars().count()));
        return Drawing { lanes, legend: Vec::new() };
    }
    // The legend has the endpoints.
    let letters = padded(timeline.lanes.iter().map(|it| it.label.clone()).collect());
    let is_mixed = timeline.lanes.iter().any(|it| it.endpoint.is_none());
    let is_wide = heads[0].chars().count() > HEAD_CHARS_MAX;
    let heads = if is_mixed || is_wide { letters } else { heads };
    let room = columns.saturating_sub(heads[0].chars().count() + 2);
    let numbers: Vec<String> = (1..=timeline.bars.len()).map(|it| it.to_string()).collect();
    let places = with_numbers(timeline, &numbers, room);
    let lanes = lanes(timeline, &places, &heads, &numbers);
    Drawing { lanes, legend: legend(timeline, words, endpoints) }
}

/// For each lane its letter, and its endpoint if it has only one and there are others.
fn heads(timeline: &Timeline<'_>, endpoints: &[String]) -> Vec<String> {
    let head = |lane: &Lane| match lane.endpoint {
        Some(it) if endpoints.len() > 1 => format!("{} {}", lane.label, endpoint(endpoints, it)),
        _ => lane.label.clone(),
    };
    padded(timeline.lanes.iter().map(head).collect())
}

/// Places for bars that hold words, if there is room.
fn with_words(timeline: &Timeline<'_>, words: &[String], room: usize) -> Option<Vec<usize>> {
    let times = timeline.times();
    let mut distances = timeline.steps(|it| times[it].len() + 1);
    distances.extend(timeline.bars.iter().zip(words).map(|(bar, words)| {
        // The ends, a line next to each, a space next to those: less one, because the last
        // character is at the place of the end itself.
        Distance { from: bar.from, to: bar.to, at_least: words.chars().count() + 5 }
    }));
    let places = timeline.places(distances);
    let width = places.last()? + times.last()?.len().max(1);
    (timeline.left_out == 0 && width <= room).then_some(places)
}

/// Places for bars that hold numbers, as generous as there is room.
fn with_numbers(timeline: &Timeline<'_>, numbers: &[String], room: usize) -> Vec<usize> {
    let places = |step: usize| {
        let mut distances = timeline.steps(|_| step);
        distances.extend(timeline.bars.iter().zip(numbers).map(|(bar, number)| Distance {
            from: bar.from,
            to: bar.to,
            at_least: number.len() + 1,
        }));
        timeline.places(distances)
    };
    let fits = |it: &Vec<usize>| it.last().is_none_or(|it| *it < room);
    (2..=8).rev().map(places).find(fits).unwrap_or_else(|| places(1))
}

fn lanes(
    timeline: &Timeline<'_>,
    places: &[usize],
    heads: &[String],
    inside: &[String],
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, lane) in timeline.lanes.iter().enumerate() {
        for row in 0..lane.rows {
            let mut body = String::new();
            let mut width = 0;
            for (bar, inside) in timeline.bars.iter().zip(inside) {
                if (bar.lane, bar.row) != (number, row) {
                    continue;
                }
                let (from, to) = (places[bar.from], places[bar.to]);
                body.extend(std::iter::repeat_n(' ', from - width));
                body.push_str(&bar_of(bar, inside, to + 1 - from));
                width = to + 1;
            }
            let head =
                if row == 0 { heads[number].clone() } else { " ".repeat(heads[number].len()) };
            lines.push(Line { head, body });
        }
    }
    lines
}

/// A bar with something inside. One without an end has no answer.
fn bar_of(bar: &Bar<'_>, inside: &str, width: usize) -> String {
    let (line, end) = match bar.record.reply {
        Reply::Unknown => ("┄", "┄"),
        _ => ("─", "┤"),
    };
    let free = width.saturating_sub(inside.chars().count() + 2);
    let before = if inside.starts_with(' ') { 1 } else { free / 2 };
    format!("├{}{inside}{}{end}", line.repeat(before), line.repeat(free.saturating_sub(before)))
}

fn axis(timeline: &Timeline<'_>, places: &[usize], head: usize) -> Line {
    let mut body = String::new();
    let mut width = 0;
    for (place, time) in places.iter().zip(timeline.times()) {
        body.extend(std::iter::repeat_n(' ', place - width));
        body.push_str(&time);
        width = place + time.len();
    }
    Line { head: format!("{:>head$}", "ms"), body }
}

fn legend(timeline: &Timeline<'_>, words: &Words, endpoints: &[String]) -> Vec<Line> {
    let times = timeline.times();
    let end = |bar: &Bar<'_>| match bar.record.reply {
        Reply::Unknown => "?".to_owned(),
        _ => times[bar.to].clone(),
    };
    let columns: [Vec<String>; 4] = [
        (1..=timeline.bars.len()).map(|it| it.to_string()).collect(),
        timeline.bars.iter().map(|it| timeline.label(it).to_owned()).collect(),
        timeline.bars.iter().map(|it| endpoint(endpoints, it.record.endpoint)).collect(),
        timeline.bars.iter().map(|it| format!("{}–{} ms", times[it.from], end(it))).collect(),
    ];
    let [numbers, labels, names, spans] = columns.map(padded);
    let head = |i: usize| match endpoints.len() {
        0 | 1 => format!("{} {}  {}", numbers[i], labels[i], spans[i]),
        _ => format!("{} {} {}  {}", numbers[i], labels[i], names[i], spans[i]),
    };
    let line =
        |(i, bar): (usize, &Bar<'_>)| Line { head: head(i), body: words.operation(bar.record) };
    timeline.bars.iter().enumerate().map(line).collect()
}

/// All as wide as the widest.
fn padded(texts: Vec<String>) -> Vec<String> {
    let width = texts.iter().map(|it| it.chars().count()).max().unwrap_or(0);
    texts.into_iter().map(|it| format!("{it:<width$}")).collect()
}
