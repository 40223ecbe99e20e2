//! Numbers that look random and are the same for the same seed.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// SplitMix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one use, told from others by `path`.
    pub(crate) fn new(seed: u64, path: &[u64]) -> Random {
        let mut random = Random(seed);
        for step in path {
            random = Random(random.next() ^ step);
        }
        random
    }

    /// True once in `n` times on average; never if `n` is 0.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        // The bias of the remainder is below 2^-32.
        n != 0 && self.next().is_multiple_of(u64::from(n))
    }

    /// Evenly between nothing and `max`, in nanoseconds.
    pub(crate) fn up_to(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next() % nanos.saturating_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
