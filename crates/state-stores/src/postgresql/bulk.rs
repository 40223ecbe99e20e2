//! Several writes of a kind at once, in one statement.

use std::collections::HashMap;

use state::{Change, Consistency, ETag, Error, FailureKind, Precondition, Result, Write, Written};
use tokio_postgres::Row;

use super::{
    connection::Parameters,
    engine::{Engine, KEYS_MAX},
    layout::{Encoded, parts},
    persistence::{Persistence, Stage},
    refusal::{Intent, Trouble},
    statements::Which,
};

impl Engine {
    /// Writes that are independent of each other, and each of another key.
    pub(super) async fn write_apart(&self, writes: &[&Write]) -> Vec<Result<Written>> {
        let mut answers: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
        for (which, fits) in [
            (Which::PutMany, is_plain_put as fn(&Write) -> bool),
            (Which::DeleteMany, is_plain_delete),
        ] {
            let mut positions: Vec<usize> =
                (0..writes.len()).filter(|i| fits(writes[*i])).collect();
            if positions.len() < 2 {
                continue;
            }
            // Locked in one order, so that two of these do not wait for each other.
            positions.sort_unstable_by_key(|i| writes[*i].key.as_str());
            for chunk in positions.chunks(KEYS_MAX) {
                let these: Vec<&Write> = chunk.iter().map(|i| writes[*i]).collect();
                let together = self.write_together(which, &these).await;
                for (i, answer) in chunk.iter().zip(together) {
                    answers[*i] = answer;
                }
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

    /// Writes of one kind, in one statement. `None` for those that have to be tried alone, because one of them was
    /// refused, or would have to wait.
    async fn write_together(
        &self,
        which: Which,
        writes: &[&Write],
    ) -> Vec<Option<Result<Written>>> {
        match self.try_together(which, writes).await {
            Ok(Some(mut etags)) => writes
                .iter()
                .map(|it| Some(Ok(Written { etag: etags.remove(it.key.as_str()) })))
                .collect(),
            Ok(None) => writes.iter().map(|_| None).collect(),
            Err(Error::Failure(it)) if it.kind() == FailureKind::Invalid => {
                writes.iter().map(|_| None).collect()
            }
            Err(e) => e.for_each(writes.len()).into_iter().map(Some).collect(),
        }
    }

    async fn try_together(
        &self,
        which: Which,
        writes: &[&Write],
    ) -> Result<Option<HashMap<String, ETag>>> {
        let _place = self.place()?;
        let keys: Vec<&str> = writes.iter().map(|it| it.key.as_str()).collect();
        let encoded: Vec<Encoded> =
            writes.iter().filter_map(|it| parts(&self.layout, it)).map(|it| it.0).collect();
        let columns = Encoded::columns(&encoded);
        let parameters: Parameters<'_> = match which {
            Which::PutMany => &[&keys, &*columns.0, &*columns.1],
            _ => &[&keys],
        };
        let (stage, mut persistence) = (Stage::default(), Persistence::default());
        let work = async {
            loop {
                let trouble = match self.pool.shared().await {
                    Err(trouble) => trouble,
                    Ok(connection) => {
                        stage.sends();
                        match connection.run(which, parameters).await {
                            Ok(rows) => return Ok(Some(etags(&rows))),
                            Err(e) => self.trouble(&connection, &e, Intent::Write),
                        }
                    }
                };
                if let Trouble::Locked(_) = trouble {
                    return Ok(None);
                }
                stage.starts_again(&trouble);
                persistence.endures(trouble).await?;
            }
        };
        stage.bounded(self.timeout, Intent::Write, self.pool.label(), work).await
    }
}

fn is_plain_put(write: &Write) -> bool {
    let permanent = matches!(&write.change, Change::Put { ttl, .. } if ttl.duration().is_none());
    permanent && is_plain(write)
}

fn is_plain_delete(write: &Write) -> bool {
    write.change == Change::Delete && is_plain(write)
}

fn is_plain(write: &Write) -> bool {
    write.precondition == Precondition::Any && write.consistency == Consistency::Eventual
}

fn etags(rows: &[Row]) -> HashMap<String, ETag> {
    let pair = |row: &Row| Some((row.get::<_, String>(0), ETag::new(row.get(1))?));
    rows.iter().filter_map(pair).collect()
}
