use super::*;

fn edit(key: u8, needs: Need, leaves: Content) -> Edit {
    Edit { key, needs, leaves }
}

#[test]
fn the_state_before_decides_all_conditions_of_a_transaction() {
    let (a, b) = (Content::value(0), Content::value(1));
    let both = Claim::Did(vec![edit(0, Need::Nothing, a), edit(0, Need::Nothing, b)]);
    assert_eq!(State::EMPTY.after(&both), Some(State::EMPTY.with(0, b)));
    assert_eq!(State::EMPTY.with(0, a).after(&both), None);
    let chain = Claim::Did(vec![edit(0, Need::Nothing, a), edit(0, Need::This(a), b)]);
    assert_eq!(State::EMPTY.after(&chain), None);
}

#[test]
fn an_unknown_state_may_be_what_was_written_by_then_and_nothing_else() {
    let state = State::unknown(1);
    let (old, new) = (Content::value(0), Content::value(1));
    assert_eq!(state.after(&Claim::Saw(2, old)), Some(state.with(2, old)));
    assert_eq!(
        state.after(&Claim::Saw(2, Content::NOTHING)),
        Some(state.with(2, Content::NOTHING))
    );
    assert_eq!(state.after(&Claim::Saw(2, new)), None);
    assert_eq!(state.after(&Claim::Saw(2, Content::FOREIGN)), None);
    let made_up = edit(0, Need::This(Content::FOREIGN), new);
    assert_eq!(state.after(&Claim::Did(vec![made_up])), None);
}

#[test]
fn an_unknown_state_explains_every_conflict_that_has_a_condition() {
    let state = State::unknown(0);
    let a = Content::value(0);
    assert_eq!(state.after(&Claim::Refused(vec![edit(0, Need::This(a), a)])), Some(state));
    assert_eq!(state.after(&Claim::Refused(vec![edit(0, Need::Nothing, a)])), Some(state));
    assert_eq!(state.after(&Claim::Refused(vec![edit(0, Need::Anything, a)])), None);
    assert_eq!(state.after(&Claim::Refused(Vec::new())), None);
}

#[test]
fn only_the_value_itself_expires() {
    let (a, b) = (Content::value(0), Content::value(1));
    let expired = Claim::Expired(3, a);
    assert_eq!(State::EMPTY.with(3, a).after(&expired), Some(State::EMPTY));
    assert_eq!(State::EMPTY.with(3, b).after(&expired), Some(State::EMPTY.with(3, b)));
    assert_eq!(State::EMPTY.with(2, a).after(&expired), Some(State::EMPTY.with(2, a)));
}

#[test]
fn states_have_different_bits() {
    let a = Content::value(0);
    let states = [
        State::EMPTY,
        State::EMPTY.with(0, a),
        State::EMPTY.with(3, a),
        State::EMPTY.with(3, Content::value(1)),
        State::unknown(0),
        State::unknown(1),
    ];
    let bits: std::collections::HashSet<u128> = states.iter().map(|it| it.bits()).collect();
    assert_eq!(bits.len(), states.len());
}

#[test]
fn only_values_have_numbers() {
    assert_eq!(Content::value(7).number(), Some(7));
    assert_eq!(Content::NOTHING.number(), None);
    assert_eq!(Content::FOREIGN.number(), None);
    assert_eq!(Content::unknown(3).number(), None);
}
