//! What a server's `INFO` says.

use super::address::Address;

/// The section `replication` of a server that takes writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replication {
    /// How many bytes of writes it has sent to its replicas.
    pub(super) offset: u64,
    pub(super) replicas: Vec<Replica>,
}

/// A replica, as the server that it follows sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) address: Address,
    /// Whether it gets every write; otherwise it is still copying what was there before.
    pub(super) is_online: bool,
    /// How many bytes of writes it has confirmed.
    pub(super) offset: u64,
    /// How long ago, in seconds.
    pub(super) lag_s: u64,
}

/// The value of a field.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    fields(info).find(|(it, _)| *it == name).map(|(_, value)| value)
}

fn fields(info: &str) -> impl Iterator<Item = (&str, &str)> {
    info.lines().filter_map(|it| it.trim_end().split_once(':'))
}

impl Replication {
    /// `None` if the server is a replica itself, or the text is something else.
    pub(super) fn parse(info: &str) -> Option<Replication> {
        if field(info, "role")? != "master" {
            return None;
        }
        let is_replica = |name: &str| {
            let number = name.strip_prefix("slave");
            number.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
        };
        let replicas = fields(info).filter(|(name, _)| is_replica(name));
        Some(Replication {
            offset: field(info, "master_repl_offset")?.parse().ok()?,
            replicas: replicas.filter_map(|(_, text)| Replica::parse(text)).collect(),
        })
    }
}

impl Replica {
    fn parse(text: &str) -> Option<Replica> {
        let part = |name: &str| {
            text.split(',')
                .filter_map(|it| it.split_once('='))
                .find(|it| it.0 == name)
                .map(|it| it.1)
        };
        Some(Replica {
            address: Address::Tcp {
                host: part("ip")?.to_owned(),
                port: part("port")?.parse().ok()?,
            },
            is_online: part("state")? == "online",
            offset: part("offset")?.parse().ok()?,
            lag_s: part("lag")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_tells_how_far_its_replicas_are() {
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
                    slave0:ip=10.0.0.1,port=6380,state=online,offset=7,lag=1\r\n\
                    slave_expires_tracked_keys:0\r\nmaster_repl_offset:9\r\n";
        let replication = Replication::parse(info).unwrap();
        assert_eq!(replication.offset, 9);
        let address = Address::Tcp { host: "10.0.0.1".to_owned(), port: 6380 };
        assert_eq!(
            replication.replicas,
            [Replica { address, is_online: true, offset: 7, lag_s: 1 }]
        );
        assert_eq!(Replication::parse("role:slave\r\nmaster_repl_offset:9\r\n"), None);
    }
}
