//! The contract as a step from one state to the next, small enough to be taken millions of times.

use crate::KEYS_PER_GROUP_MAX;

/// What one key has: nothing, a value by its number, or not known.
///
/// Every write stores a value of its own, so a value stands for its version. Values are numbered by
/// the calls of their writes, so that one number says which of them can have been there at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content(u32);

/// What all keys of a group have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State([Content; KEYS_PER_GROUP_MAX]);

/// A change as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) key: u8,
    pub(crate) needs: Need,
    /// What the key has afterwards.
    pub(crate) leaves: Content,
}

/// What an [`Edit`] needs the key to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Anything,
    Nothing,
    This(Content),
}

/// An operation, and what its answer claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The key had this.
    Saw(u8, Content),
    /// All conditions held, and all of it was done.
    Did(Vec<Edit>),
    /// A condition was false, and nothing was done.
    Refused(Vec<Edit>),
    /// If all conditions held, it was done.
    Maybe(Vec<Edit>),
    /// The value has expired, if the key still had it.
    Expired(u8, Content),
}

impl Content {
    pub(crate) const NOTHING: Content = Content(0);
    /// What nobody has written.
    pub(crate) const FOREIGN: Content = Content(Content::UNKNOWN - 1);
    /// The bit that makes the others the number of values that it may be.
    const UNKNOWN: u32 = 1 << 31;

    /// The content for the `i`-th value of a history.
    pub(crate) fn value(i: usize) -> Content {
        let number = u32::try_from(i + 1).ok().filter(|it| *it < Content::FOREIGN.0);
        Content(number.expect("a history has fewer values than that"))
    }

    /// Nothing, or one of the first `len` values.
    fn unknown(len: usize) -> Content {
        Content(Content::UNKNOWN | (Content::value(len).0 - 1))
    }

    /// Which value it is, if it is one.
    pub(crate) fn number(self) -> Option<usize> {
        let is_value = self != Content::NOTHING && self.0 < Content::FOREIGN.0;
        is_value.then(|| self.0 as usize - 1)
    }

    fn is_unknown(self) -> bool {
        self.0 & Content::UNKNOWN != 0
    }

    fn may_be(self, other: Content) -> bool {
        self == other || (self.is_unknown() && other.0 <= self.0 & !Content::UNKNOWN)
    }
}

impl Need {
    fn may_hold(self, content: Content) -> bool {
        match self {
            Need::Anything => true,
            Need::Nothing => content.may_be(Content::NOTHING),
            Need::This(it) => content.may_be(it),
        }
    }

    fn may_fail(self, content: Content) -> bool {
        match self {
            Need::Anything => false,
            _ if content.is_unknown() => true,
            Need::Nothing => content != Content::NOTHING,
            Need::This(it) => content != it,
        }
    }
}

impl State {
    /// Every key is absent.
    pub(crate) const EMPTY: State = State([Content::NOTHING; KEYS_PER_GROUP_MAX]);

    /// Nothing is known but that only the first `len` values can have been written.
    pub(crate) fn unknown(len: usize) -> State {
        State([Content::unknown(len); KEYS_PER_GROUP_MAX])
    }

    /// A number that only this state has.
    pub(crate) fn bits(self) -> u128 {
        self.0.iter().fold(0, |bits, it| bits << 32 | u128::from(it.0))
    }

    /// The state after an operation, if the operation can have happened in this one.
    pub(crate) fn after(self, claim: &Claim) -> Option<State> {
        match claim {
            Claim::Saw(key, content) => {
                self.of(*key).may_be(*content).then(|| self.with(*key, *content))
            }
            Claim::Did(edits) | Claim::Maybe(edits) => {
                let holds = edits.iter().all(|it| it.needs.may_hold(self.of(it.key)));
                holds.then(|| self.edited(edits))
            }
            Claim::Refused(edits) => {
                edits.iter().any(|it| it.needs.may_fail(self.of(it.key))).then_some(self)
            }
            Claim::Expired(key, content) if self.of(*key) == *content => {
                Some(self.with(*key, Content::NOTHING))
            }
            Claim::Expired(..) => Some(self),
        }
    }

    fn edited(self, edits: &[Edit]) -> State {
        edits.iter().fold(self, |it, edit| it.with(edit.key, edit.leaves))
    }

    fn of(self, key: u8) -> Content {
        self.0[usize::from(key)]
    }

    fn with(mut self, key: u8, content: Content) -> State {
        self.0[usize::from(key)] = content;
        self
    }
}

impl Claim {
    /// Whether it leaves every state as it is, so that there is no reason to put it off once it
    /// fits.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(self, Claim::Saw(..) | Claim::Refused(_))
    }
}

#[cfg(test)]
mod tests;
