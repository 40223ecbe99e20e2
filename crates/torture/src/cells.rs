//! The stores that are tortured: one file and one line for each.

use crate::cell::Cell;

mod etcd;
mod mysql;
mod postgresql;
mod redis;
mod sqlite;

/// All of them.
pub(crate) static CELLS: &[Cell] = &[
    sqlite::CELL,
    redis::SINGLE,
    redis::SENTINEL,
    redis::CLUSTER,
    postgresql::V2,
    postgresql::V1,
    mysql::CELL,
    etcd::CELL,
];
