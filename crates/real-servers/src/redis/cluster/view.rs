use std::{net::SocketAddr, ops::RangeInclusive};

use anyhow::{Context, Result, ensure};

use crate::redis::Redis;

/// What a node knows of its cluster.
#[derive(Debug)]
pub(super) struct View {
    /// The node itself among them.
    pub(super) members: Vec<Member>,
}

/// What a node knows of one node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) address: SocketAddr,
    /// Whether it is the node that was asked.
    pub(super) is_myself: bool,
    /// Whether both have met and neither misses the other.
    pub(super) is_connected: bool,
    /// The id of its primary, if it is a replica.
    pub(super) primary: Option<String>,
    /// Of two that claim a slot, the one with the higher epoch is right.
    pub(super) epoch: u64,
    /// Those it serves, without those on their way from or to it.
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

impl View {
    pub(super) async fn of(node: &Redis) -> Result<View> {
        let text = node.command(&["CLUSTER", "NODES"]).await?.text()?;
        let members = text.lines().map(member).collect::<Result<_>>();
        Ok(View { members: members.context("cannot understand CLUSTER NODES")? })
    }

    /// The node that was asked.
    pub(super) fn myself(&self) -> Result<&Member> {
        self.members.iter().find(|it| it.is_myself).context("a node does not know itself")
    }

    /// Who has a slot.
    pub(super) fn primary_of(&self, slot: u16) -> Option<&Member> {
        self.members.iter().find(|it| it.serves(slot))
    }

    /// How many replicas there are.
    pub(super) fn replicas(&self) -> usize {
        self.members.iter().filter(|it| it.primary.is_some()).count()
    }
}

impl Member {
    pub(super) fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|it| it.contains(&slot))
    }
}

/// `id ip:port@bus flags primary ping pong epoch link slot...`, as the documentation of `CLUSTER NODES` has it.
fn member(line: &str) -> Result<Member> {
    let words: Vec<_> = line.split(' ').collect();
    let (&[id, address, flags, primary, _, _, epoch, link], slots) =
        words.split_first_chunk().context("a line is too short")?;
    let flags: Vec<_> = flags.split(',').collect();
    let (address, _) = address.split_once('@').context("an address has no bus")?;
    let wrong = ["fail", "fail?", "handshake", "noaddr"];
    Ok(Member {
        id: id.to_owned(),
        address: address.parse()?,
        is_myself: flags.contains(&"myself"),
        is_connected: link == "connected" && !flags.iter().any(|it| wrong.contains(it)),
        primary: (primary != "-").then(|| primary.to_owned()),
        epoch: epoch.parse()?,
        slots: slots
            .iter()
            .filter(|it| !it.starts_with('['))
            .map(|it| range(it))
            .collect::<Result<_>>()?,
    })
}

fn range(word: &str) -> Result<RangeInclusive<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse()?, last.parse()?);
    ensure!(first <= last, "a range of slots is reversed");
    Ok(first..=last)
}

#[cfg(test)]
mod tests;
