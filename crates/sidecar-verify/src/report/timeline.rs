//! Operations on lanes, one for each process, on an axis that has a place for each call and each
//! return and nothing in between: an hour of silence takes no more room than a microsecond.

use std::collections::{BTreeMap, BTreeSet};

use state_checker::Record;

/// Operations, placed.
#[derive(Debug)]
pub(super) struct Timeline<'a> {
    /// By the time of their first call.
    pub(super) lanes: Vec<Lane>,
    /// By the time of their calls.
    pub(super) bars: Vec<Bar<'a>>,
    /// Each call and each return, in nanoseconds since the first.
    pub(super) instants: Vec<u64>,
    /// How many operations before these are not shown.
    pub(super) left_out: usize,
}

/// The operations of a process.
#[derive(Debug)]
pub(super) struct Lane {
    /// A letter.
    pub(super) label: String,
    /// The endpoint, if it asked only one.
    pub(super) endpoint: Option<u16>,
    /// How many rows it takes: the parts of a bulk request are at the same time.
    pub(super) rows: usize,
}

/// An operation.
#[derive(Debug)]
pub(super) struct Bar<'a> {
    pub(super) record: &'a Record,
    /// Which of the lanes.
    pub(super) lane: usize,
    /// Which row of that lane.
    pub(super) row: usize,
    /// Which of the instants is its call.
    pub(super) from: usize,
    /// Which of the instants is its return.
    pub(super) to: usize,
}

/// That one instant is to stand at least so far after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distance {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) at_least: usize,
}

impl<'a> Timeline<'a> {
    /// Places the last `bars_max` of `records`.
    pub(super) fn of(records: &'a [Record], bars_max: usize) -> Timeline<'a> {
        let mut shown: Vec<&Record> = records.iter().collect();
        shown.sort_by_key(|it| it.called);
        let left_out = shown.len().saturating_sub(bars_max);
        let shown = shown.split_off(left_out);

        // At one and the same time calls come first: such operations are not one after the other.
        let calls = shown.iter().map(|it| (it.called, false));
        let returns = shown.iter().map(|it| (it.returned, true));
        let times: Vec<_> = calls.chain(returns).collect::<BTreeSet<_>>().into_iter().collect();
        let at = |time| times.binary_search(&time).expect("every time is there");
        let start = times.first().map_or(0, |it| it.0);

        let mut lanes: Vec<Lane> = Vec::new();
        let mut of_process: BTreeMap<u32, usize> = BTreeMap::new();
        // For each row of each lane, the last instant that is taken.
        let mut taken: Vec<Vec<usize>> = Vec::new();
        let mut bars = Vec::new();
        for record in shown {
            let lane = *of_process.entry(record.process).or_insert_with(|| {
                let (label, endpoint) = (label(lanes.len()), Some(record.endpoint));
                lanes.push(Lane { label, endpoint, rows: 0 });
                taken.push(Vec::new());
                lanes.len() - 1
            });
            if lanes[lane].endpoint != Some(record.endpoint) {
                lanes[lane].endpoint = None;
            }
            let (from, to) = (at((record.called, false)), at((record.returned, true)));
            let rows = &mut taken[lane];
            let row = rows.iter().position(|it| *it < from).unwrap_or(rows.len());
            match rows.get_mut(row) {
                Some(it) => *it = to,
                None => rows.push(to),
            }
            lanes[lane].rows = rows.len();
            bars.push(Bar { record, lane, row, from, to });
        }
        let instants = times.into_iter().map(|(time, _)| time - start).collect();
        Timeline { lanes, bars, instants, left_out }
    }

    /// Where each instant stands, as near to the beginning as these distances allow.
    pub(super) fn places(&self, mut distances: Vec<Distance>) -> Vec<usize> {
        distances.sort_by_key(|it| it.to);
        let mut places = vec![0; self.instants.len()];
        for it in distances {
            debug_assert!(it.from < it.to, "time goes to the right");
            places[it.to] = places[it.to].max(places[it.from] + it.at_least);
        }
        places
    }

    /// One distance for each two instants that follow each other.
    pub(super) fn steps(&self, at_least: impl Fn(usize) -> usize) -> Vec<Distance> {
        let step = |from| Distance { from, to: from + 1, at_least: at_least(from) };
        (0..self.instants.len().saturating_sub(1)).map(step).collect()
    }

    /// The bar after this one in its row.
    pub(super) fn next(&self, bar: &Bar<'_>) -> Option<&Bar<'a>> {
        let same = |it: &&Bar<'_>| (it.lane, it.row) == (bar.lane, bar.row) && it.from > bar.to;
        self.bars.iter().find(same)
    }

    /// The instants in milliseconds, all with as many decimals as tell them apart well enough.
    pub(super) fn times(&self) -> Vec<String> {
        let span = self.instants.last().copied().unwrap_or(0);
        self.instants.iter().map(|it| milliseconds(*it, span)).collect()
    }

    /// The letter of the process that asked.
    pub(super) fn label(&self, bar: &Bar<'_>) -> &str {
        &self.lanes[bar.lane].label
    }
}

/// A, B, ..., Z, A1, B1, ...
fn label(number: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(number % 26).expect("it is less than 26"));
    match number / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

fn milliseconds(ns: u64, span: u64) -> String {
    let decimals = match span {
        0..1_000_000 => 3,
        1_000_000..10_000_000 => 2,
        10_000_000..1_000_000_000 => 1,
        _ => 0,
    };
    if ns == 0 { "0".to_owned() } else { format!("{:.decimals$}", ns as f64 / 1e6) }
}

#[cfg(test)]
mod tests;
