//! The contract as a step from one state to the next, small enough to be taken millions of times.

use crate::KEYS_PER_GROUP_MAX;

/// What one key has: nothing, a value by its number, or anything at all.
///
/// Every write stores a value of its own, so a value stands for its version.
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
    pub(crate) const FOREIGN: Content = Content(u32::MAX - 1);
    const ANYTHING: Content = Content(u32::MAX);

    /// The content for the `i`-th value of a history.
    pub(crate) fn value(i: usize) -> Content {
        let number = u32::try_from(i + 1).ok().filter(|it| *it < u32::MAX - 1);
        Content(number.expect("a history has fewer values than that"))
    }

    fn may_be(self, other: Content) -> bool {
        self == other || self == Content::ANYTHING
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
            _ if content == Content::ANYTHING => true,
            Need::Nothing => content != Content::NOTHING,
            Need::This(it) => content != it,
        }
    }
}

impl State {
    /// Every key is absent.
    pub(crate) const EMPTY: State = State([Content::NOTHING; KEYS_PER_GROUP_MAX]);
    /// Nothing is known.
    pub(crate) const ANYTHING: State = State([Content::ANYTHING; KEYS_PER_GROUP_MAX]);

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
