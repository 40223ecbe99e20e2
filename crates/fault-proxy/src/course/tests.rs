use std::sync::Arc;

use super::*;
use crate::link::Counters;

const MS: Duration = Duration::from_millis(1);

fn link(seed: u64) -> Link {
    Link::new(seed, 0, Arc::<Counters>::default())
}

fn course(link: &Link, direction: Direction, fault: Fault) -> Course {
    Course::new(link, direction, Orders { fault: Some(fault), one_in: 1, epoch: 1 })
}

#[test]
fn a_delay_is_latency_and_jitter_and_the_same_for_the_same_seed() {
    fn delays(seed: u64) -> Vec<u128> {
        let link = link(seed);
        let fault = Fault::Delay { direction: Direction::Both, latency: 50 * MS, jitter: 40 * MS };
        let mut course = course(&link, Direction::ToServer, fault);
        let delays = (0..50).map(|_| {
            let now = Instant::now();
            let delay = course.take(&link, b"a").unwrap().due - now;
            assert!(delay >= 50 * MS);
            // To 10 ms, as time passes between here and there.
            delay.as_millis() / 10
        });
        delays.collect()
    }
    let (one, same, other) = (delays(1), delays(1), delays(2));
    let equal = |a: &[u128], b: &[u128]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    assert!(equal(&one, &same) > 40, "{one:?} {same:?}");
    assert!(equal(&one, &other) < 25, "{one:?} {other:?}");
    assert!(one.iter().any(|it| *it >= 7), "{one:?}");
}

#[test]
fn what_is_delayed_does_not_keep_more_from_being_read() {
    let link = link(0);
    let flight = |fault| course(&link, Direction::ToServer, fault).flight_bytes_max();
    let direction = Direction::Both;
    let delayed = flight(Fault::Delay { direction, latency: MS, jitter: MS });
    assert_eq!(delayed, FLIGHT_BYTES_MAX);
    assert_eq!(flight(Fault::Bandwidth { direction, bytes_per_s: 1 }), 1);
}

#[test]
fn exactly_the_bytes_that_may_pass_do_not_cut() {
    let link = link(0);
    let fault = Fault::CutAfter { direction: Direction::ToServer, bytes: 3 };
    let mut course = course(&link, Direction::ToServer, fault);
    let whole = course.take(&link, b"abc").unwrap();
    assert_eq!((&*whole.bytes, whole.after), (&b"abc"[..], After::GoOn));
    let cut = course.take(&link, b"d").unwrap();
    assert_eq!((&*cut.bytes, cut.after), (&b""[..], After::Close));
}

#[test]
fn a_reply_that_has_begun_is_not_lost() {
    let link = link(0);
    link.awaits_reply.store(true, Relaxed);
    let before = Orders::default();
    let begins = Course::new(&link, Direction::ToClient, before).take(&link, b"be");
    assert_eq!(begins.unwrap().bytes, b"be");
    let mut course = course(&link, Direction::ToClient, Fault::LoseReply);
    assert_eq!(course.take(&link, b"gun").unwrap().bytes, b"gun");
    link.awaits_reply.store(true, Relaxed);
    assert_eq!(course.take(&link, b"next").unwrap_err(), Ending::Close);
}

#[test]
fn a_mark_of_an_earlier_setting_loses_nothing() {
    let link = link(0);
    let fault = Fault::OnMark { mark: b"SET".into(), then: AtMark::LoseReply };
    let mut course = course(&link, Direction::ToClient, fault);
    link.doomed_in.store(7, Relaxed);
    assert_eq!(course.take(&link, b"reply").unwrap().bytes, b"reply");
    link.doomed_in.store(1, Relaxed);
    assert_eq!(course.take(&link, b"reply").unwrap_err(), Ending::Close);
}
