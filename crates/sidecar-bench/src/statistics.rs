//! Few numbers that stand for many.

use std::time::Duration;

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
    let ratios: Vec<f64> = values.iter().zip(to).map(|(value, to)| value / to).collect();
    median(&ratios)
}

/// How long each of many things took, from the shortest to the longest.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// The time that `percent` of them did not exceed, by the nearest-rank method; zero if there
    /// are none.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Latencies {
        let mut sorted: Vec<Duration> = latencies.into_iter().collect();
        sorted.sort_unstable();
        Latencies(sorted)
    }
}

impl Extend<Duration> for Latencies {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, latencies: I) {
        self.0.extend(latencies);
        self.0.sort_unstable();
    }
}

impl IntoIterator for Latencies {
    type Item = Duration;
    type IntoIter = std::vec::IntoIter<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_ratio_is_of_those_that_were_taken_together() {
        assert_eq!(ratio(&[2.0, 40.0, 9.0], &[1.0, 20.0, 3.0]), 2.0);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut latencies: Latencies = (51..=100).map(Duration::from_millis).collect();
        latencies.extend((1..=50).map(Duration::from_millis));
        let ms = |percent| latencies.percentile(percent).as_millis();
        assert_eq!((ms(0.0), ms(50.0), ms(99.0), ms(100.0)), (1, 50, 99, 100));
        assert_eq!(Latencies::default().percentile(99.0), Duration::ZERO);
    }
}
