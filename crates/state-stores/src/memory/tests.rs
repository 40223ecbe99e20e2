use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn write(name: &str, ttl: Option<Duration>) -> Write {
    let change = Change::Put { value: "1".into(), format: state::Format::Json, ttl: ttl.into() };
    Write::new(Key::new(name).unwrap(), change)
}

fn apply(state: &mut State, write: &Write, now: SystemTime) {
    state.apply(write, item_of(write), now);
}

#[test]
fn expired_items_are_swept_a_few_at_a_time() {
    let (mut state, start) = (State::default(), SystemTime::now());
    for i in 0..SWEEP_LEN_MAX + 3 {
        apply(&mut state, &write(&format!("k{i}"), Some(SECOND)), start);
    }
    apply(&mut state, &write("lasting", None), start);
    state.sweep(start);
    assert_eq!(state.items.len(), SWEEP_LEN_MAX + 4, "none has expired");
    state.sweep(start + SECOND);
    assert_eq!(state.items.len(), 4);
    state.sweep(start + SECOND);
    assert_eq!(state.items.len(), 1);
    assert!(state.expiries.is_empty() && state.keys.len() == 1);
}

#[test]
fn a_value_put_again_is_not_swept_at_its_old_time() {
    let (mut state, start) = (State::default(), SystemTime::now());
    for second in [Some(2 * SECOND), None] {
        apply(&mut state, &write("k", Some(SECOND)), start);
        apply(&mut state, &write("k", second), start);
        state.sweep(start + SECOND);
        assert_eq!(state.items.len(), 1);
        assert_eq!(state.expiries.len(), usize::from(second.is_some()));
    }
    apply(&mut state, &Write::delete(Key::new("k").unwrap()), start);
    assert!(state.items.is_empty() && state.keys.is_empty() && state.expiries.is_empty());
}

#[test]
fn what_is_not_swept_yet_counts_as_absent() {
    let (mut state, start) = (State::default(), SystemTime::now());
    let key = Key::new("k").unwrap();
    apply(&mut state, &write("k", Some(SECOND)), start);
    assert!(state.live(&key, start).is_some());
    assert!(state.live(&key, start + SECOND).is_none());
    assert_eq!(state.list("", None, 9, start + SECOND), KeyPage::default());
}

#[test]
fn time_to_live_beyond_the_calendar_is_for_ever() {
    let mut state = State::default();
    apply(&mut state, &write("k", Some(Duration::MAX)), SystemTime::now());
    assert!(state.expiries.is_empty());
    assert_eq!(state.items[&Key::new("k").unwrap()].expires_at, None);
}

#[test]
fn a_value_does_not_keep_its_buffer_alive() {
    let (mut state, key) = (State::default(), Key::new("k").unwrap());
    let buffer = Bytes::from(vec![7; 1 << 16]);
    apply(&mut state, &Write::put(key.clone(), buffer.slice(..1)), SystemTime::now());
    assert!(buffer.is_unique());
    assert_eq!(state.items[&key].value, [7][..]);
}
