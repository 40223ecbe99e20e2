//! Plots as SVG, which can be a file of its own or a part of a page. Readable in light and dark.

use std::fmt::Write;

use crate::statistics::Spread;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 340.0;

/// Around what is drawn, for axes and their names.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 48.0;

/// How many series are told apart by colour.
const COLOURS: usize = 7;

/// How many names of series are side by side.
const NAMES: usize = 4;

/// Colours that differ in brightness as well, for those who do not tell all colours apart.
const STYLE: &str = "\
svg.plot{font:12px system-ui,sans-serif;--ink:#222;--faint:#ddd;--paper:#fff;\
--c0:#0b6e99;--c1:#d9730d;--c2:#3f7d3a;--c3:#8a4ba0;--c4:#b3402e;--c5:#8a7a1f;--c6:#6b6b6b}\
@media(prefers-color-scheme:dark){svg.plot{--ink:#ddd;--faint:#444;--paper:#1b1b1b;\
--c0:#5ab4e0;--c1:#f0a35a;--c2:#83c97c;--c3:#c79be0;--c4:#ee8b7a;--c5:#d6c65c;--c6:#a8a8a8}}\
svg.plot .paper{fill:var(--paper)}svg.plot text{fill:var(--ink)}\
svg.plot .title{font-weight:600;font-size:14px}\
svg.plot .grid{stroke:var(--faint)}svg.plot .line{fill:none;stroke-width:2}\
svg.plot .c0{color:var(--c0)}svg.plot .c1{color:var(--c1)}svg.plot .c2{color:var(--c2)}\
svg.plot .c3{color:var(--c3)}svg.plot .c4{color:var(--c4)}svg.plot .c5{color:var(--c5)}svg.plot .c6{color:var(--c6)}\
svg.plot .line,svg.plot .range{stroke:currentColor}svg.plot .dot,svg.plot .bar{fill:currentColor}\
svg.plot .on-bar{stroke:var(--ink)}";

/// Lines over an axis of numbers.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    /// With its unit.
    pub(crate) x: String,
    pub(crate) y: String,
    /// Whether the same distance is the same factor.
    pub(crate) log_x: bool,
    pub(crate) series: Vec<(String, Vec<(f64, Spread)>)>,
}

/// Bars side by side, in groups.
#[derive(Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) y: String,
    pub(crate) groups: Vec<String>,
    /// One figure for each group, or none.
    pub(crate) series: Vec<(String, Vec<Option<Spread>>)>,
}

impl Lines {
    /// The y axis begins at zero.
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let mut xs: Vec<f64> = points().map(|(x, _)| *x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let max = points().map(|(_, it)| it.max).fold(0.0, f64::max);
        let place = |x: f64| if self.log_x { x.ln() } else { x };
        let from = xs.first().copied().map_or(0.0, place);
        let to = xs.last().copied().map_or(1.0, place);
        let at = |x: f64| {
            let share = if to > from { (place(x) - from) / (to - from) } else { 0.5 };
            // Off the axis, so that the first range can be seen.
            LEFT + 14.0 + share * (WIDTH - LEFT - RIGHT - 28.0)
        };
        let mut plot = Plot::new(&self.title, &self.x, &self.y, max);
        for x in &xs {
            plot.label_x(at(*x), &short(*x));
        }
        for (i, (name, points)) in self.series.iter().enumerate() {
            plot.legend(i, name);
            let (class, mut path) = (i % COLOURS, String::new());
            for (x, it) in points {
                let (x, y) = (at(*x), plot.y(it.median));
                let step = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{step}{x:.1} {y:.1}");
                plot.range(x, it, &format!("c{class} range"));
                plot.add(&format!(
                    r#"<circle class="c{class} dot" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#
                ));
            }
            plot.add(&format!(r#"<path class="c{class} line" d="{path}"/>"#));
        }
        plot.end()
    }
}

impl Bars {
    pub(crate) fn svg(&self) -> String {
        let bars = self.series.iter().flat_map(|(_, bars)| bars.iter().flatten());
        let max = bars.map(|it| it.max).fold(0.0, f64::max);
        let mut plot = Plot::new(&self.title, "", &self.y, max);
        let group_width = (WIDTH - LEFT - RIGHT) / self.groups.len().max(1) as f64;
        let width = group_width * 0.8 / self.series.len().max(1) as f64;
        for (group, name) in self.groups.iter().enumerate() {
            plot.label_x(LEFT + (group as f64 + 0.5) * group_width, name);
        }
        for (i, (name, bars)) in self.series.iter().enumerate() {
            plot.legend(i, name);
            for (group, it) in bars.iter().enumerate() {
                let Some(it) = it else { continue };
                let left = LEFT + (group as f64 + 0.1) * group_width + i as f64 * width;
                let (top, class) = (plot.y(it.median), i % COLOURS);
                let height = HEIGHT - BOTTOM - top;
                plot.add(&format!(
                    r#"<rect class="c{class} bar" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{height:.1}"/>"#,
                    width * 0.92
                ));
                plot.range(left + width * 0.46, it, "on-bar");
            }
        }
        plot.end()
    }
}

/// What has been drawn so far.
struct Plot {
    text: String,
    max: f64,
}

impl Plot {
    fn new(title: &str, x: &str, y: &str, max: f64) -> Plot {
        let step = step(max);
        let max = (max / step).ceil().max(1.0) * step;
        let (title, x, y) = (escaped(title), escaped(x), escaped(y));
        let text = format!(
            r#"<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><style>{STYLE}</style><rect class="paper" width="{WIDTH}" height="{HEIGHT}"/><text class="title" x="{LEFT}" y="20">{title}</text><text x="{:.0}" y="{:.0}" text-anchor="middle">{x}</text><text x="14" y="{:.0}" text-anchor="middle" transform="rotate(-90 14 {:.0})">{y}</text>"#,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            (TOP + HEIGHT - BOTTOM) / 2.0,
            (TOP + HEIGHT - BOTTOM) / 2.0,
        );
        let mut plot = Plot { text, max };
        for it in 0..=(max / step).round() as usize {
            let value = it as f64 * step;
            let y = plot.y(value);
            plot.add(&format!(
                r#"<line class="grid" x1="{LEFT}" x2="{:.0}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            ));
        }
        plot
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.max * (HEIGHT - TOP - BOTTOM)
    }

    fn add(&mut self, element: &str) {
        self.text += element;
    }

    fn label_x(&mut self, x: f64, label: &str) {
        let (y, label) = (HEIGHT - BOTTOM + 16.0, escaped(label));
        self.add(&format!(r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{label}</text>"#));
    }

    fn legend(&mut self, i: usize, name: &str) {
        let x = LEFT + (i % NAMES) as f64 * (WIDTH - LEFT - RIGHT) / NAMES as f64;
        let y = 32.0 + (i / NAMES) as f64 * 17.0;
        let (name, class, text_x, text_y) = (escaped(name), i % COLOURS, x + 15.0, y + 9.0);
        self.add(&format!(
            r#"<rect class="c{class} bar" x="{x:.1}" y="{y}" width="10" height="10"/><text x="{text_x:.1}" y="{text_y}">{name}</text>"#
        ));
    }

    /// From the least to the greatest.
    fn range(&mut self, x: f64, it: &Spread, class: &str) {
        let (from, to) = (self.y(it.min), self.y(it.max));
        self.add(&format!(
            r#"<line class="{class}" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}"/>"#
        ));
    }

    fn end(self) -> String {
        self.text + "</svg>\n"
    }
}

/// Between the lines of a grid: 1, 2 or 5 times a power of ten, so that there are three to seven.
fn step(max: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((max / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    steps.into_iter().find(|it| max / it <= 7.0).unwrap_or(10.0 * power)
}

/// A number without digits that say nothing, and with a letter for thousands.
fn short(value: f64) -> String {
    match value {
        1_000_000.0.. => format!("{}M", trimmed(value / 1e6)),
        10_000.0.. => format!("{}k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// As text of XML, also within quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_what_it_is_in() {
        let hostile = r#"<script>"a" & 'b'</script>"#;
        let expected = "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;";
        assert_eq!(escaped(hostile), expected);
        let spread = Spread { median: 2.0, min: 1.0, max: 3.0 };
        let lines = Lines {
            title: hostile.into(),
            x: hostile.into(),
            y: hostile.into(),
            log_x: true,
            series: vec![(hostile.into(), vec![(1.0, spread), (256.0, spread)])],
        };
        let bars = Bars {
            title: hostile.into(),
            y: hostile.into(),
            groups: vec![hostile.into()],
            series: vec![(hostile.into(), vec![Some(spread)])],
        };
        for svg in [lines.svg(), bars.svg()] {
            assert!(!svg.contains("<script") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn a_grid_has_few_lines_and_round_numbers() {
        for (max, expected) in [(0.7, 0.1), (9.0, 2.0), (14.0, 2.0), (15.0, 5.0), (4000.0, 1000.0)]
        {
            assert!((step(max) - expected).abs() < 1e-9, "{max}: {}", step(max));
        }
        assert_eq!(
            (short(0.25), short(15_000.0), short(1_000_000.0)),
            ("0.25".into(), "15k".into(), "1M".into())
        );
    }
}
