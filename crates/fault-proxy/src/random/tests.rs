use super::*;

fn draws(seed: u64, path: &[u64], n: u32) -> Vec<bool> {
    let mut random = Random::new(seed, path);
    (0..10_000).map(|_| random.one_in(n)).collect()
}

#[test]
fn the_numbers_are_those_of_the_reference_implementation() {
    let mut random = Random::new(1_234_567, &[]);
    assert_eq!(random.next(), 6_457_827_717_110_365_317);
    assert_eq!(random.next(), 3_203_168_211_198_807_973);
}

#[test]
fn the_same_seed_and_path_draw_the_same() {
    assert_eq!(draws(7, &[1, 2], 3), draws(7, &[1, 2], 3));
}

#[test]
fn another_seed_or_path_draws_otherwise() {
    assert_ne!(draws(7, &[1, 2], 3), draws(8, &[1, 2], 3));
    assert_ne!(draws(7, &[1, 2], 3), draws(7, &[2, 1], 3));
}

#[test]
fn one_in_four_is_about_a_quarter() {
    let hits = draws(7, &[], 4).into_iter().filter(|it| *it).count();
    assert!((2_300..2_700).contains(&hits), "{hits}");
}

#[test]
fn one_in_one_is_always_and_one_in_none_never() {
    assert!(draws(7, &[], 1).into_iter().all(|it| it));
    assert!(!draws(7, &[], 0).into_iter().any(|it| it));
}

#[test]
fn a_drawn_time_is_within_its_bound() {
    let (mut random, max) = (Random::new(7, &[]), Duration::from_millis(3));
    let times: Vec<_> = (0..1_000).map(|_| random.up_to(max)).collect();
    assert!(times.iter().all(|it| *it <= max));
    assert!(times.iter().any(|it| *it > max / 2));
    assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
}
