//! Writes of a bulk request, in an order that keeps those of one key apart.

use std::collections::HashMap;

use futures::future::BoxFuture;
use state::{Key, Result, Write, Written};

/// Makes writes by `apart`, which gets those that are each of another key: one group after the other. The i-th answer is to
/// the i-th write.
pub(crate) async fn in_waves<'a>(
    writes: &'a [Write],
    apart: impl Fn(Vec<&'a Write>) -> BoxFuture<'a, Vec<Result<Written>>>,
) -> Vec<Result<Written>> {
    let mut answers: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
    for wave in waves(writes) {
        let these = wave.iter().map(|i| &writes[*i]).collect();
        for (i, answer) in wave.iter().zip(apart(these).await) {
            answers[*i] = Some(answer);
        }
    }
    answers.into_iter().map(|it| it.expect("every write is in a wave")).collect()
}

/// The positions of the writes, in groups in which no key is there twice: what is sent again, because a server
/// has refused it for now, must not overtake a later write of its key.
fn waves(writes: &[Write]) -> Vec<Vec<usize>> {
    let mut turns: HashMap<&Key, usize> = HashMap::with_capacity(writes.len());
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (i, write) in writes.iter().enumerate() {
        let turn = turns.entry(&write.key).or_default();
        if *turn == waves.len() {
            waves.push(Vec::new());
        }
        waves[*turn].push(i);
        *turn += 1;
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_of_one_key_are_in_different_waves_in_their_order() {
        let put = |key: &str| Write::put(Key::new(key).unwrap(), "1");
        let writes = ["a", "b", "a", "c", "a", "b"].map(put);
        assert_eq!(waves(&writes), [vec![0, 1, 3], vec![2, 5], vec![4]]);
        assert_eq!(waves(&[]), Vec::<Vec<usize>>::new());
    }
}
