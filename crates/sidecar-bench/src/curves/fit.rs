//! Whether a cost grows, and how.

use crate::report::Goal;

/// How far a figure may be from what it should be: the goal of all curves.
const TOLERANCE: f64 = 0.1;

/// What a cost should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    /// Stay the same.
    Flat,
    /// Be a part that stays the same and a part that grows with x.
    Linear,
}

/// The straight line nearest to points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    /// What it is at zero.
    pub(super) intercept: f64,
    /// How much it grows for each x; zero if it should be flat.
    pub(super) slope: f64,
    /// How far a point is from it at most, as a share of what it should be.
    pub(super) deviation: f64,
}

impl Fit {
    pub(super) fn of(law: Law, points: &[(f64, f64)]) -> Fit {
        match law {
            Law::Flat => Fit::flat(points),
            Law::Linear => Fit::linear(points),
        }
    }

    /// The level from which the least and the greatest are equally far.
    fn flat(points: &[(f64, f64)]) -> Fit {
        let ys = points.iter().map(|(_, y)| *y);
        let (min, max) = (ys.clone().fold(f64::INFINITY, f64::min), ys.fold(0.0, f64::max));
        Fit { intercept: min.midpoint(max), slope: 0.0, deviation: (max - min) / (max + min) }
    }

    /// The line with the least squares of relative distances: a point counts as much where costs are
    /// small as where they are great.
    fn linear(points: &[(f64, f64)]) -> Fit {
        let mut sums = [0.0; 5];
        for (x, y) in points {
            let weight = 1.0 / (y * y);
            let terms = [1.0, *x, x * x, *y, x * y];
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += weight * term);
        }
        let [one, x, xx, y, xy] = sums;
        let slope = (one * xy - x * y) / (one * xx - x * x);
        let intercept = (y - slope * x) / one;
        let far = |(x, y): &(f64, f64)| (y / (intercept + slope * x) - 1.0).abs();
        Fit { intercept, slope, deviation: points.iter().map(far).fold(0.0, f64::max) }
    }

    pub(super) fn goal(&self, law: Law, what: &str) -> Goal {
        let law = match law {
            Law::Flat => "flat",
            Law::Linear => "linear",
        };
        Goal::at_most(format!("{what}: {law} to"), TOLERANCE, self.deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_between_two_levels_is_as_flat_as_they_are_near() {
        let fit = Fit::of(Law::Flat, &[(1.0, 9.0), (64.0, 10.0), (256.0, 11.0)]);
        assert_eq!((fit.intercept, fit.slope), (10.0, 0.0));
        assert!((fit.deviation - 0.1).abs() < 1e-9);
    }

    #[test]
    fn points_on_a_line_are_on_it_and_others_are_not() {
        let line = |x: f64| (x, 5.0 + 0.5 * x);
        let on = [1.0, 5.0, 20.0, 100.0].map(line);
        let fit = Fit::of(Law::Linear, &on);
        assert!((fit.intercept - 5.0).abs() < 1e-6 && (fit.slope - 0.5).abs() < 1e-6);
        assert!(fit.deviation < 1e-6);
        let square = [1.0, 5.0, 20.0, 100.0].map(|x| (x, x * x));
        assert!(Fit::of(Law::Linear, &square).deviation > 0.5);
    }
}
