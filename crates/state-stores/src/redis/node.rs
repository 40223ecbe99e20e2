//! One server: a connection that all share, and one for strong writes.

use std::sync::OnceLock;

use redis::{Cmd, Pipeline, Value};

use super::{
    address::Address,
    confirmed::{Confirmations, Confirmed, Demand},
    connector::Connector,
    line::{Line, Silence},
};

#[derive(Debug)]
pub(super) struct Node {
    line: Line,
    confirmations: OnceLock<Confirmations>,
}

impl Node {
    /// A server that is connected to when it is first needed.
    pub(super) fn new(address: Address, connector: Connector) -> Node {
        Node { line: Line::new(address, connector), confirmations: OnceLock::new() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.line.address
    }

    /// Sends one command. An error of the server's is a reply.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Silence> {
        self.line.ask(command).await
    }

    /// Sends commands with nobody else's between them. One reply for each.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Silence> {
        self.line.ask_all(commands).await
    }

    /// Sends commands, and waits until the replicas that the demand asks for have what they have written.
    pub(super) async fn ask_strongly(
        &self,
        commands: Vec<Cmd>,
        demand: Demand,
    ) -> Result<Vec<Confirmed>, Silence> {
        let start = || Confirmations::start(self.line.another(), demand);
        self.confirmations.get_or_init(start).ask_all(commands).await
    }

    /// Says that another server has taken the place of this one.
    pub(super) fn supersede(&self) {
        self.lines().for_each(Line::supersede);
    }

    /// Uses other connections from now on, perhaps to another server behind the same name.
    pub(super) fn hang_up(&self) {
        self.lines().for_each(Line::hang_up);
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        [&self.line].into_iter().chain(self.confirmations.get().map(Confirmations::line))
    }
}
