//! Several writes that are independent of each other: those without a condition as one transaction, which cannot conflict.
//!
//! Those with a condition go alone, many at a time. etcd would take each as a transaction inside another, but does not count
//! what is written there against its space: a full server would go on and be damaged.

use state::{Change, Error, FailureKind, Precondition, Result, Write, Written};

use super::engine::Engine;

/// Bytes of keys and values in one request: less than the 1.5 MiB that etcd takes. Source: etcd, `--max-request-bytes`.
const BYTES_MAX: usize = 1 << 20;

/// What a write takes beside its key and its value.
const OVERHEAD_BYTES: usize = 64;

impl Engine {
    /// Writes that are independent of each other, and each of another key.
    pub(super) async fn write_apart(&self, writes: &[&Write]) -> Vec<Result<Written>> {
        let mut answers: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
        for chunk in self.chunks(writes) {
            let these: Vec<Write> = chunk.iter().map(|i| writes[*i].clone()).collect();
            for (i, answer) in chunk.iter().zip(self.write_together(&these).await) {
                answers[*i] = answer;
            }
        }
        let rest: Vec<usize> = (0..writes.len()).filter(|i| answers[*i].is_none()).collect();
        let alone: Vec<&Write> = rest.iter().map(|i| writes[*i]).collect();
        let alone = state::each(&alone, |it| self.write_alone(it)).await;
        for (i, answer) in rest.into_iter().zip(alone) {
            answers[i] = Some(answer);
        }
        answers.into_iter().map(|it| it.expect("every write has an answer")).collect()
    }

    pub(super) async fn write_alone(&self, write: &Write) -> Result<Written> {
        let mut written = self.transact(std::slice::from_ref(write)).await?;
        Ok(written.pop().expect("one answer for one write"))
    }

    /// Which writes go together, two at least.
    fn chunks(&self, writes: &[&Write]) -> Vec<Vec<usize>> {
        let (mut chunks, mut bytes) = (Vec::<Vec<usize>>::new(), 0);
        for (i, write) in writes.iter().enumerate() {
            if write.precondition != Precondition::Any {
                continue;
            }
            bytes += size(write);
            match chunks.last_mut() {
                Some(it) if it.len() < self.operations_max && bytes <= BYTES_MAX => it.push(i),
                _ => {
                    chunks.push(vec![i]);
                    bytes = size(write);
                }
            }
        }
        chunks.retain(|it| it.len() > 1);
        chunks
    }

    /// `None` for those that have to be tried alone, because one of them was refused.
    async fn write_together(&self, writes: &[Write]) -> Vec<Option<Result<Written>>> {
        match self.transact(writes).await {
            Ok(written) => written.into_iter().map(|it| Some(Ok(it))).collect(),
            Err(Error::Failure(e)) if e.kind() == FailureKind::Invalid => {
                writes.iter().map(|_| None).collect()
            }
            Err(e) => e.for_each(writes.len()).into_iter().map(Some).collect(),
        }
    }
}

fn size(write: &Write) -> usize {
    let value = match &write.change {
        Change::Put { value, .. } => value.len(),
        Change::Delete => 0,
    };
    write.key.as_str().len() + value + OVERHEAD_BYTES
}
