//! Servers of other projects, as processes that tests start, kill, pause and start again.
//!
//! A [`Process`](process::Process) is any server; what is particular to one is its [`Kind`](process::Kind).
//! [`redis`] has Redis alone, replicated, watched by sentinels, and as a cluster; [`postgres`] has PostgreSQL, with hot
//! standbys or without; [`mysql`] has MariaDB and MySQL; [`etcd`] has one node, and clusters. Everything listens on the loopback
//! interface only, keeps its data in a temporary folder unless it is given one, and ends with the process that started
//! it, even if that is killed.

mod certificates;
pub mod etcd;
pub mod mysql;
mod patience;
pub mod postgres;
pub mod process;
pub mod redis;

pub use certificates::Certificates;
pub use patience::{PATIENCE, found, until};
