//! Reads of many keys in few calls.

use std::slice;

use redis::Value;
use state::{Error, Item, Read, Result};

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
        Err(e) => answers.extend((0..len).map(|_| Some(Err(copy(&e))))),
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

/// What has kept a call from being answered has kept each of its reads from it.
fn copy(e: &Error) -> Error {
    match e {
        Error::Failure(it) => Error::new(it.kind(), it.to_string()),
        Error::Conflict(it) => it.clone().into(),
    }
}
