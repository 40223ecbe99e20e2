//! Transactions: the steps of a plan, one after the other without waiting, and then the decision.

use std::time::Duration;

use futures::future::BoxFuture;
use state::{
    Conflict, Consistency, ETag, Error, FailureKind, Found, Outcome, Precondition, Read, Result,
    Write, Written,
};
use tokio::time::sleep;
use tokio_postgres::{
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    connection::{Connection, pipelined},
    engine::{Engine, Said, conflict, send},
    layout::{Encoded, Expected, parts},
    persistence::{Persistence, Stage},
    plan::{Step, steps},
    pool::Lease,
    refusal::{Intent, Trouble},
    statements::Which,
};

/// How often to ask what became of a transaction that is not over.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A step, with what is sent for it.
struct Prepared<'a> {
    step: Step<'a>,
    condition: &'a Precondition,
    parts: Option<(Encoded, Option<f64>)>,
    expected: Option<Expected>,
    /// Whether the key is taken for a moment before it is deleted: of a key that is absent, there is no row whose lock would
    /// keep others from creating it meanwhile.
    is_claim: bool,
}

/// What a reply tells.
enum Told {
    Said(Said),
    Fate(Fate),
    Nothing,
}

type Request<'a> = BoxFuture<'a, Result<Told, tokio_postgres::Error>>;

/// What names a transaction, wherever it is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    number: i64,
    /// The history of the server: another one after a failover, in which the same number means another transaction.
    timeline: String,
    /// The database, which another behind the same name does not have.
    system: Option<String>,
}

impl Engine {
    /// A write, in a transaction if that is what it takes to make it as safe as it has to be, or if it has to wait.
    pub(super) async fn write_alone(&self, write: &Write) -> Result<Written> {
        let is_safe = write.consistency == Consistency::Eventual || self.strong_setting.is_none();
        if is_safe && let Some(written) = self.write(write).await? {
            return Ok(written);
        }
        let mut written = self.transact(std::slice::from_ref(write)).await?;
        Ok(written.pop().expect("one answer for one write"))
    }

    pub(super) async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let _place = self.place()?;
        let mut plan = Vec::with_capacity(writes.len());
        let steps = steps(writes);
        let is_alone = steps.len() == 1;
        for step in steps {
            match self.prepare(step, is_alone)? {
                Ok(it) => plan.push(it),
                Err(step) => return Err(self.impossible(&step).await),
            }
        }
        let strong = writes.iter().any(|it| it.consistency == Consistency::Strong);
        let (stage, mut persistence) = (Stage::default(), Persistence::default());
        let work = async {
            loop {
                match self.try_transact(&plan, strong, &stage).await {
                    Ok(etags) => return Ok(answers(writes.len(), &plan, etags)),
                    Err(trouble) => {
                        stage.starts_again(&trouble);
                        persistence.endures(trouble).await?;
                    }
                }
            }
        };
        stage.bounded(self.timeout, Intent::Write, self.pool.label(), work).await
    }

    /// The inner error is a step whose conditions cannot all be true.
    fn prepare<'a>(
        &self,
        step: Step<'a>,
        is_alone: bool,
    ) -> Result<Result<Prepared<'a>, Step<'a>>> {
        let Some(condition) = step.condition() else { return Ok(Err(step)) };
        let expected = match condition {
            Precondition::Matches(etag) => match self.layout.expected(etag)? {
                None => return Ok(Err(step)),
                some => some,
            },
            Precondition::Any | Precondition::Absent => None,
        };
        let parts = parts(&self.layout, step.last.1);
        let is_claim = parts.is_none()
            && match condition {
                Precondition::Any => !is_alone,
                Precondition::Absent => true,
                Precondition::Matches(_) => false,
            };
        let parts = if is_claim { Some((self.layout.placeholder(), None)) } else { parts };
        Ok(Ok(Prepared { step, condition, parts, expected, is_claim }))
    }

    /// Which of the conditions is false.
    async fn impossible(&self, step: &Step<'_>) -> Error {
        let read = Read { consistency: Consistency::Strong, ..Read::new(step.key().clone()) };
        let untold = |position| Conflict::new(Found::Untold).at(position);
        match self.get(&read).await {
            Err(e) => e,
            Ok(found) => {
                let etag = found.and_then(|it| it.etag);
                let first = step.conditions.first().map_or(0, |it| it.0);
                step.conflict(etag.as_ref()).unwrap_or(untold(first)).into()
            }
        }
    }

    async fn try_transact(
        &self,
        plan: &[Prepared<'_>],
        strong: bool,
        stage: &Stage,
    ) -> Result<Vec<Option<ETag>>, Trouble> {
        let lease = self.pool.lease().await?;
        let unconfirmed = lease.connection.unconfirmed();
        // Until it is told to commit, nothing is applied, whatever happens.
        let (etags, fate) = match self.prepare_commit(&lease.connection, plan, strong).await {
            Ok(it) => it,
            Err(trouble) => {
                if !lease.connection.is_over()
                    && lease.connection.client.batch_execute("ROLLBACK").await.is_ok()
                {
                    lease.give_back();
                }
                return Err(trouble);
            }
        };
        stage.sends();
        match lease.connection.client.batch_execute("COMMIT").await {
            Ok(()) if strong && lease.connection.unconfirmed() != unconfirmed => {
                Err(Trouble::Final(self.not_confirmed()))
            }
            Ok(()) => {
                lease.give_back();
                Ok(etags)
            }
            Err(e) => {
                let trouble = self.trouble(&lease.connection, &e, Intent::Write);
                drop(lease);
                match (trouble, fate) {
                    (Trouble::Final(e), Some(fate)) if e.outcome() == Outcome::Unknown => {
                        self.learn(&fate, e).await.map(|()| etags)
                    }
                    (trouble, _) => Err(trouble),
                }
            }
        }
    }

    /// Does everything but commit. Returns the ETags of the steps, and what the transaction is called.
    async fn prepare_commit(
        &self,
        connection: &Connection,
        plan: &[Prepared<'_>],
        strong: bool,
    ) -> Result<(Vec<Option<ETag>>, Option<Fate>), Trouble> {
        let mut begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", self.limits);
        if let (true, Some(setting)) = (strong, self.strong_setting) {
            begin += &format!("; SET LOCAL synchronous_commit = {setting}");
        }
        let first = connection.client.batch_execute(&begin);
        let mut requests: Vec<Request<'_>> =
            vec![Box::pin(async { first.await.map(|()| Told::Nothing) })];
        requests.extend(plan.iter().flat_map(|it| it.requests(connection)));
        if self.tells_fates {
            requests.push(Box::pin(async { Fate::of(connection).await.map(Told::Fate) }));
        }
        let (mut all_said, mut fate) = (Vec::with_capacity(plan.len()), None);
        for reply in pipelined(requests).await {
            match reply.map_err(|e| self.trouble(connection, &e, Intent::Read))? {
                Told::Said(it) => all_said.push(it),
                Told::Fate(it) => fate = Some(it),
                Told::Nothing => {}
            }
        }
        let mut etags = Vec::with_capacity(plan.len());
        for (it, said) in plan.iter().zip(all_said) {
            match said {
                Said::Done { etag } => etags.push(etag.filter(|_| !it.is_claim)),
                Said::Not { found } => {
                    let position = it.step.conditions.first().map_or(0, |it| it.0);
                    let conflict = conflict(it.condition, found).at(position);
                    return Err(Trouble::Final(conflict.into()));
                }
            }
        }
        Ok((etags, fate))
    }

    /// Asks what became of a transaction whose commit was not answered, until it is known. Whoever waits for it gives up
    /// in time.
    ///
    /// # Errors
    ///
    /// That it was rolled back, and can be tried again; or `e`, if nobody will ever know.
    async fn learn(&self, fate: &Fate, e: Error) -> Result<(), Trouble> {
        loop {
            let answer = match self.pool.lease().await {
                Ok(lease) => self.ask(lease, fate).await,
                Err(Trouble::Final(_)) => return Err(Trouble::Final(e)),
                Err(_) => None,
            };
            match answer.as_deref() {
                Some("committed") => return Ok(()),
                Some("aborted") => {
                    let message = format!("{} has lost the transaction", self.pool.label());
                    return Err(Trouble::NotHere(Error::new(FailureKind::Unavailable, message)));
                }
                Some("in progress") | None => sleep(ASK_AGAIN).await,
                Some(_) => return Err(Trouble::Final(e)),
            }
        }
    }

    /// `None` if nobody answers.
    async fn ask(&self, lease: Lease, fate: &Fate) -> Option<String> {
        let now = Fate::of(&lease.connection).await.ok()?;
        if (&now.timeline, &now.system) != (&fate.timeline, &fate.system) {
            return Some("of another history".to_owned());
        }
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&fate.number, Type::INT8)];
        let asked = lease.connection.client.query_typed("SELECT txid_status($1)", &parameters);
        let status = match asked.await {
            Ok(rows) => rows.first().and_then(|it| it.get::<_, Option<String>>(0)),
            // It is a number of the future, which it was not.
            Err(e) if e.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => None,
            Err(_) => return None,
        };
        lease.give_back();
        Some(status.unwrap_or("forgotten".to_owned()))
    }
}

impl Fate {
    /// What the transaction on this connection is called.
    async fn of(connection: &Connection) -> Result<Fate, tokio_postgres::Error> {
        let text = "SELECT txid_current(), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
        let rows = connection.client.query_typed(text, &[]).await?;
        let row = rows.first().expect("it returns a row");
        Ok(Fate { number: row.get(0), timeline: row.get(1), system: connection.system.clone() })
    }
}

impl Prepared<'_> {
    /// What is sent for a step: one statement that looks at the condition and locks the key.
    fn requests<'a>(&'a self, connection: &'a Connection) -> Vec<Request<'a>> {
        let key = self.step.key().as_str();
        let (parts, expected) = (self.parts.as_ref(), self.expected.as_ref());
        let sent = send(connection, key, self.condition, parts, expected);
        let mut requests: Vec<Request<'a>> = vec![Box::pin(async { sent.await.map(Told::Said) })];
        if self.is_claim {
            requests.push(Box::pin(async move {
                connection.run(Which::Delete, &[&key]).await?;
                Ok(Told::Nothing)
            }));
        }
        requests
    }
}

/// One answer for each write, in their order. What was overwritten in the same transaction was never a version.
fn answers(len: usize, plan: &[Prepared<'_>], etags: Vec<Option<ETag>>) -> Vec<Written> {
    let mut answers = vec![Written { etag: None }; len];
    for (it, etag) in plan.iter().zip(etags) {
        answers[it.step.last.0] = Written { etag };
    }
    answers
}
