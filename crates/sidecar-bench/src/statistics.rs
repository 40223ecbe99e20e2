//! Few numbers that stand for many.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The median, the mean of the two in the middle if there are two. Not for an empty slice.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { sorted[middle - 1].midpoint(sorted[middle]) }
}

/// The median of the ratios of pairs, which were taken one after the other: it is what remains of
/// two figures when the machine was faster in some rounds than in others.
pub(crate) fn ratio(values: &[f64], to: &[f64]) -> f64 {
    median(&ratios(values, to))
}

/// The ratio of each pair.
pub(crate) fn ratios(values: &[f64], to: &[f64]) -> Vec<f64> {
    values.iter().zip(to).map(|(value, to)| value / to).collect()
}

/// The figures of several rounds: the one in the middle, and how far apart they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Not of an empty slice.
    pub(crate) fn of(values: &[f64]) -> Spread {
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Spread { median: median(values), min, max }
    }
}

/// How long each of many things took, to three digits, from a nanosecond to a minute.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        const MINUTE_NS: u64 = 60_000_000_000;
        Latencies(Histogram::new_with_bounds(1, MINUTE_NS, 3).expect("these are bounds"))
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    /// The time that `percent` of them did not exceed, by the nearest-rank method; zero if there
    /// are none.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
        self.percentile(percent).as_secs_f64() * 1e6
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// Takes in those that were kept apart.
    pub(crate) fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("both have the same bounds");
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(each: I) -> Latencies {
        let mut latencies = Latencies::default();
        each.into_iter().for_each(|it| latencies.add(it));
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
    }

    #[test]
    fn a_ratio_is_of_those_that_were_taken_together() {
        assert_eq!(ratio(&[2.0, 40.0, 9.0], &[1.0, 20.0, 3.0]), 2.0);
    }

    #[test]
    fn a_percentile_is_one_of_the_values_to_three_digits() {
        let mut latencies: Latencies = (51..=100).map(Duration::from_millis).collect();
        latencies.merge(&(1..=50).map(Duration::from_millis).collect());
        let ms = |percent| latencies.percentile(percent).as_secs_f64() * 1e3;
        for (percent, expected) in [(0.0, 1.0), (50.0, 50.0), (99.0, 99.0), (100.0, 100.0)] {
            let found = ms(percent);
            assert!((found / expected - 1.0).abs() < 0.001, "{percent}: {found}");
        }
        assert_eq!(latencies.len(), 100);
        assert_eq!(Latencies::default().percentile(99.0), Duration::ZERO);
    }
}
