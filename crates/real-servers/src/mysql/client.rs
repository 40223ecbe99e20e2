use std::path::Path;

use anyhow::{Context, Result};
use mysql_async::{Conn, Error, OptsBuilder, Row, Value, prelude::Queryable};
use tokio::time::timeout;

use crate::PATIENCE;

/// A connection to a server, and its session.
#[derive(Debug)]
pub struct Client(Conn);

/// The number of the error that a server has answered a statement with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u16);

impl Client {
    /// Connects to a Unix socket as `root`.
    pub async fn connect(socket: &Path) -> Result<Client> {
        let socket = socket.to_str().context("the path is not UTF-8")?;
        let options = OptsBuilder::default().socket(Some(socket)).user(Some("root"));
        let connecting = timeout(PATIENCE, Conn::new(options));
        Ok(Client(connecting.await.context("no answer comes")?.context("cannot connect")?))
    }

    /// The rows of one statement, each value as text.
    pub async fn query(&mut self, statement: &str) -> Result<Vec<Vec<Option<String>>>> {
        let asking = timeout(PATIENCE, self.0.query::<Row, _>(statement));
        let rows = asking.await.context("no answer comes")?;
        let rows = rows.with_context(|| format!("cannot run {statement}"))?;
        Ok(rows.into_iter().map(|it| it.unwrap().into_iter().map(text).collect()).collect())
    }

    /// Runs a statement of which the server may refuse to do it.
    pub async fn attempt(&mut self, statement: &str) -> Result<Result<(), Refused>> {
        let asking = timeout(PATIENCE, self.0.query_drop(statement));
        match asking.await.context("no answer comes")? {
            Ok(()) => Ok(Ok(())),
            Err(Error::Server(e)) => Ok(Err(Refused(e.code))),
            Err(e) => Err(e.into()),
        }
    }
}

/// A server sends every value as text unless the statement was prepared.
fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    }
}
