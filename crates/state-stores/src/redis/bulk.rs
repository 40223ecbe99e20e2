//! Reads of many keys in few calls.

use std::slice;

use redis::Value;
use state::{Item, Read, Result};

use super::{call::Encoding, dispatch::Dispatch, reply};

/// How many keys one call reads: enough that what a call takes by itself is spread over many, and few enough that
/// the server, which does nothing else meanwhile, soon has time for others.
const KEYS_MAX: usize = 32;

/// The i-th answer is to the i-th read.
pub(super) async fn get(
    dispatch: &Dispatch,
    encoding: &Encoding,
    reads: &[Read],
) -> Vec<Result<Option<Item>>> {
    // The keys of one call have to be in one slot, and while that moves to another server, on the same one.
    let keys_max = if dispatch.topology.is_cluster() { 1 } else { KEYS_MAX };
    let alike = reads.chunk_by(|one, next| one.consistency == next.consistency);
    let parts: Vec<&[Read]> = alike.flat_map(|it| it.chunks(keys_max)).collect();
    let calls: Vec<_> = parts.iter().map(|it| encoding.read(it)).collect();
    let replies = dispatch.all(&calls).await;
    let mut answers = Vec::with_capacity(reads.len());
    for (part, reply) in parts.iter().zip(replies) {
        push_answers(part.len(), reply, &mut answers);
    }
    ask_one_by_one(dispatch, encoding, reads, &mut answers).await;
    answers.into_iter().map(|it| it.expect("each is answered by itself, if not before")).collect()
}

/// The answers to reads that were made together; none to those that the server has refused.
fn push_answers(len: usize, reply: Result<Value>, answers: &mut Vec<Option<Result<Option<Item>>>>) {
    match reply {
        Ok(Value::ServerError(_)) => answers.extend((0..len).map(|_| None)),
        Ok(reply) if len == 1 => answers.push(Some(reply::item(reply))),
        Ok(Value::Array(replies)) if replies.len() == len => {
            let answer = |it| match it {
                Value::ServerError(_) => None,
                it => Some(reply::item(it)),
            };
            answers.extend(replies.into_iter().map(answer));
        }
        Ok(_) => answers.extend((0..len).map(|_| Some(Err(reply::not_understood())))),
        Err(e) => answers.extend(e.for_each(len).into_iter().map(Some)),
    }
}

/// Asks for those that have no answer yet, so that each has an error of its own, if it has one.
async fn ask_one_by_one(
    dispatch: &Dispatch,
    encoding: &Encoding,
    reads: &[Read],
    answers: &mut [Option<Result<Option<Item>>>],
) {
    let missing: Vec<usize> = (0..reads.len()).filter(|i| answers[*i].is_none()).collect();
    if missing.is_empty() {
        return;
    }
    let calls: Vec<_> =
        missing.iter().map(|i| encoding.read(slice::from_ref(&reads[*i]))).collect();
    for (i, reply) in missing.iter().zip(dispatch.all(&calls).await) {
        answers[*i] = Some(reply.and_then(reply::item));
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn answers(len: usize, reply: &[u8]) -> Vec<Option<Result<Option<Item>>>> {
        let mut answers = Vec::new();
        push_answers(len, Ok(parse_redis_value(reply).unwrap()), &mut answers);
        answers
    }

    #[test]
    fn each_read_of_a_call_has_its_own_answer_and_a_refused_one_has_none_yet() {
        let found = b"*3\r\n*3\r\n$1\r\n1\r\n$1\r\n7\r\n:-1\r\n$-1\r\n-NOPERM no\r\n";
        let answers = answers(3, found);
        let [Some(Ok(Some(item))), Some(Ok(None)), None] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!(&item.value[..], b"1");
    }

    #[test]
    fn an_answer_with_fewer_values_than_keys_is_nobody_s() {
        let answers = answers(3, b"*2\r\n$-1\r\n$-1\r\n");
        assert!(answers.len() == 3 && answers.iter().all(|it| matches!(it, Some(Err(_)))));
    }

    #[test]
    fn what_has_kept_a_call_from_being_answered_is_told_for_each_read() {
        let mut answers = Vec::new();
        let error = state::Error::new(state::FailureKind::Unavailable, "redis is away");
        push_answers(2, Err(error), &mut answers);
        let told = |it: &Option<Result<Option<Item>>>| {
            it.as_ref().unwrap().as_ref().unwrap_err().to_string()
        };
        assert_eq!(answers.iter().map(told).collect::<Vec<_>>(), ["redis is away"; 2]);
    }
}
