//! `state.mysql`: one table in MySQL or MariaDB, in the layout that Dapr reads and writes.
//!
//! Nothing is read to be written: each write is one statement with its condition in it. A few connections serve one
//! request each at a time; `refusal` knows what an error means, and what may be tried again.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use mysql_async::Value;
use state::{
    Capabilities, Conflict, Error, Found, Item, Key, KeyPage, Precondition, Read, Result, Write,
    Written,
};
use tokio::time::{Instant, sleep};
use tracing::warn;

use self::{
    connector::{Connector, lock_wait},
    pool::{Pool, Session},
    refusal::{Halt, Remedy, Stage},
    settings::Settings,
    statements::Statements,
    transaction::{Transaction, powers, written},
    values::{MARIADB_JSON, MYSQL_JSON, NewRow},
};
use crate::{Driver, json::JsonType, waves::in_waves};

mod bulk;
mod connector;
mod dsn;
mod layout;
mod pool;
mod promises;
mod refusal;
mod settings;
mod statements;
mod transaction;
mod values;

pub(crate) const DRIVER: Driver = Driver {
    component: "state.mysql",
    aliases: &[],
    version: "v1",
    in_process: false,
    open: |properties| {
        Box::pin(async move {
            let settings = Settings::parse(&properties)?;
            let store = Arc::new(Store::open(&settings).await?);
            if let Some(interval) = settings.cleanup_interval {
                tokio::spawn(sweep(Arc::downgrade(&store), interval));
            }
            Ok(Arc::new(MysqlStore(store)) as Arc<dyn state::Store>)
        })
    },
};

/// Rows that one sweep removes in one transaction.
const SWEEP_LEN: u64 = 500;

/// How often something is tried again that another connection may help against.
const TRIES_MAX: u32 = 3;

/// The pause before another attempt, which doubles each time from the first to the last of these.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

#[derive(Debug)]
struct MysqlStore(Arc<Store>);

#[derive(Debug)]
struct Store {
    capabilities: Capabilities,
    pool: Pool,
    statements: Statements,
    json: &'static JsonType,
}

/// What is done on one connection, and can be done again on another.
#[async_trait]
trait Work: Sync {
    type Answer: Send;

    async fn attempt(&self, session: &mut Session<'_>) -> Result<Self::Answer, Halt>;
}

impl Store {
    async fn open(settings: &Settings) -> Result<Store> {
        let connector = Connector::to_server(settings);
        let deadline = Instant::now() + settings.timeout;
        let mut connection = connector.connect(deadline).await.map_err(|it| it.error)?;
        let layout = layout::prepare(&mut connection, &settings.names, connector.address()).await?;
        // Whether the server hears it does not matter: the tables are there.
        let _ = connection.disconnect().await;
        let connector = Connector::to_tables(settings, layout.flavour);
        Ok(Store {
            capabilities: promises::capabilities(&layout),
            pool: Pool::new(connector, settings.connections_max, settings.timeout),
            statements: Statements::new(&settings.names, layout.expiry),
            json: if layout.normalizes { &MYSQL_JSON } else { &MARIADB_JSON },
        })
    }

    async fn run<W: Work>(&self, work: &W) -> Result<W::Answer> {
        self.run_or(work).await.map_err(|(error, _)| error)
    }

    /// Tries again what certainly was not applied, within the time-out.
    async fn run_or<W: Work>(&self, work: &W) -> Result<W::Answer, (Error, Remedy)> {
        let deadline = Instant::now() + self.pool.timeout();
        let (mut tries, mut pause) = (0, PAUSE.0);
        loop {
            let refusal = match self.attempt(work, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Halt::Conflict(it)) => return Err((it.into(), Remedy::Nothing)),
                Err(Halt::Refused(it)) => it,
            };
            tries += 1;
            let needs = match refusal.remedy {
                Remedy::Patience => pause,
                Remedy::LongPatience => pause + lock_wait(self.pool.timeout()),
                Remedy::AnotherTry if tries <= TRIES_MAX => pause,
                Remedy::AnotherServer => {
                    self.pool.clear();
                    return Err((refusal.error, refusal.remedy));
                }
                _ => return Err((refusal.error, refusal.remedy)),
            };
            if Instant::now() + needs >= deadline {
                return Err((refusal.error, refusal.remedy));
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn attempt<W: Work>(&self, work: &W, deadline: Instant) -> Result<W::Answer, Halt> {
        let mut session = self.pool.session(deadline).await?;
        let answer = work.attempt(&mut session).await;
        session.end();
        answer
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let row = NewRow::new(write, Some(self.json));
        match self.run_or(&Single { store: self, write, row }).await {
            Err((_, Remedy::BinaryForm)) => {
                let row = NewRow::new(write, None);
                self.run(&Single { store: self, write, row }).await
            }
            answer => answer.map_err(|(error, _)| error),
        }
    }

    async fn sweep(&self, claims: Option<Duration>) -> Result<u64> {
        self.run(&Sweep { store: self, claims }).await
    }
}

/// One write, by one statement.
struct Single<'a> {
    store: &'a Store,
    write: &'a Write,
    row: Option<NewRow>,
}

#[async_trait]
impl Work for Single<'_> {
    type Answer = Written;

    async fn attempt(&self, session: &mut Session<'_>) -> Result<Written, Halt> {
        let statements = &self.store.statements;
        let key: Value = self.write.key.as_str().into();
        let (stage, precondition) = (Stage::Write, &self.write.precondition);
        let changed = match (&self.row, precondition) {
            (Some(row), Precondition::Any) => {
                session.change(stage, &statements.put_one, row.parameters_twice()).await?;
                1
            }
            (None, Precondition::Any) => {
                session.change(stage, &statements.delete(1), vec![key]).await?;
                1
            }
            (Some(row), Precondition::Absent) => {
                session.change(stage, &statements.create, row.parameters_twice()).await?
            }
            (None, Precondition::Absent) => {
                let rows = session.rows(Stage::Read, &statements.version, vec![key]).await?;
                u64::from(rows.is_empty())
            }
            (Some(row), Precondition::Matches(etag)) => {
                let condition = [key, etag.as_str().into()];
                let parameters = row.changed().into_iter().chain(condition).collect();
                session.change(stage, &statements.put_if_matches, parameters).await?
            }
            (None, Precondition::Matches(etag)) => {
                let parameters = vec![key, etag.as_str().into()];
                session.change(stage, &statements.delete_if_matches, parameters).await?
            }
        };
        match changed {
            0 => Err(Conflict::new(Found::Untold).into()),
            _ => Ok(written(&self.row)),
        }
    }
}

struct Get<'a> {
    store: &'a Store,
    keys: &'a [&'a Key],
}

#[async_trait]
impl Work for Get<'_> {
    type Answer = HashMap<String, Result<Item>>;

    async fn attempt(&self, session: &mut Session<'_>) -> Result<Self::Answer, Halt> {
        let statement = self.store.statements.get(self.keys.len());
        let keys = self.keys.iter().map(|it| it.as_str().into()).collect();
        let rows = session.rows(Stage::Read, &statement, keys).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let key: String = row.get(0).unwrap_or_default();
            found.insert(key, values::item(row).map(|(_, item)| item));
        }
        Ok(found)
    }
}

struct List<'a> {
    store: &'a Store,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
}

#[async_trait]
impl Work for List<'_> {
    type Answer = KeyPage;

    async fn attempt(&self, session: &mut Session<'_>) -> Result<KeyPage, Halt> {
        // One more than asked for tells whether another page follows.
        let limit = u64::try_from(self.limit).unwrap_or(u64::MAX).saturating_add(1);
        let parameters = vec![self.prefix.into(), self.after.into(), limit.into()];
        let rows = session.rows(Stage::Read, &self.store.statements.list, parameters).await?;
        let keys = rows.into_iter().map(mysql_async::from_row::<String>);
        let mut page = KeyPage::default();
        for key in keys.take_while(|it| it.starts_with(self.prefix)) {
            if page.keys.len() == self.limit {
                page.more = true;
                break;
            }
            page.keys.push(Key::stored(&key));
        }
        Ok(page)
    }
}

struct Ping;

#[async_trait]
impl Work for Ping {
    type Answer = ();

    async fn attempt(&self, session: &mut Session<'_>) -> Result<(), Halt> {
        Ok(session.ping().await?)
    }
}

struct Sweep<'a> {
    store: &'a Store,
    /// Only if nobody has begun one for this long.
    claims: Option<Duration>,
}

#[async_trait]
impl Work for Sweep<'_> {
    type Answer = u64;

    async fn attempt(&self, session: &mut Session<'_>) -> Result<u64, Halt> {
        let statements = &self.store.statements;
        if let Some(interval) = self.claims {
            let parameters = vec![interval.as_secs().into()];
            let statement = &statements.claim_sweep;
            if session.change(Stage::Write, statement, parameters).await? == 0 {
                return Ok(0);
            }
        }
        Ok(session.change(Stage::Write, &statements.sweep, vec![SWEEP_LEN.into()]).await?)
    }
}

#[async_trait]
impl state::Store for MysqlStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let found = self.0.run(&Get { store: &self.0, keys: &[&read.key] }).await?;
        found.into_values().next().transpose()
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.0.write(write).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let rows = |json| writes.iter().map(|it| NewRow::new(it, json)).collect::<Vec<_>>();
        let store = &*self.0;
        match store.run_or(&Transaction { store, writes, rows: &rows(Some(store.json)) }).await {
            Err((_, Remedy::BinaryForm)) => {
                store.run(&Transaction { store, writes, rows: &rows(None) }).await
            }
            answer => answer.map_err(|(error, _)| error),
        }
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let keys: Vec<&Key> = reads.iter().map(|it| &it.key).collect();
        let mut answers = Vec::with_capacity(reads.len());
        for keys in powers(&keys) {
            match self.0.run(&Get { store: &self.0, keys }).await {
                Ok(found) => answers.extend(keys.iter().map(|it| told(&found, it))),
                Err(e) => answers.extend(e.for_each(keys.len())),
            }
        }
        answers
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        in_waves(writes, |these| Box::pin(async move { self.0.write_apart(&these).await })).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        let after = after.map_or("", Key::as_str);
        self.0.run(&List { store: &self.0, prefix, after, limit }).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.run(&Ping).await
    }

    async fn close(&self) {
        self.0.pool.clear();
    }
}

/// What was found of a key, which may have been asked for more than once.
fn told(found: &HashMap<String, Result<Item>>, key: &Key) -> Result<Option<Item>> {
    match found.get(key.as_str()) {
        None => Ok(None),
        Some(Ok(item)) => Ok(Some(item.clone())),
        Some(Err(e)) => Err(e.again()),
    }
}

/// Removes expired rows every `interval`, for as long as the store lives.
async fn sweep(store: Weak<Store>, interval: Duration) {
    loop {
        sleep(interval).await;
        let mut claims = Some(interval);
        loop {
            let Some(store) = store.upgrade() else { return };
            match store.sweep(claims).await {
                Ok(SWEEP_LEN) => claims = None,
                Ok(_) => break,
                Err(e) => {
                    warn!(error = %e, "expired rows could not be removed; they stay invisible");
                    break;
                }
            }
        }
    }
}
