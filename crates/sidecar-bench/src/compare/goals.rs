//! The goals that are ratios.

use crate::{
    client::Wire,
    contest::{Cell, Cost, Found},
    database::Store,
    load::CONNECTIONS,
    operation::Operation,
    report::Goal,
    statistics::{median, ratio},
    traffic::VALUE_LEN,
};

/// CPU time to that of the echo. A store that is another process has to be asked, too.
const CPU_MAX: f64 = 1.35;
const CPU_WITH_REDIS_MAX: f64 = 1.6;

/// CPU time of daprd to ours, over either wire.
const DAPRD_HTTP_MIN: f64 = 5.0;
const DAPRD_GRPC_MIN: f64 = 4.0;

/// Our latencies to those of daprd.
const P50_MAX: f64 = 1.0 / 3.0;
const P99_MAX: f64 = 0.5;

/// Keys per second of bulk gets to those of single gets, both one after the other.
const BULK_MIN: f64 = 5.0;

/// Reads of the server for each request: one, and what others than requests cause.
const READS_MAX: f64 = 1.05;

pub(super) fn goals(found: &Found) -> Vec<Goal> {
    let mut goals = Vec::new();
    for cell in &found.cells {
        goals.extend(to_echo(cell));
        goals.extend(to_daprd(cell));
        goals.extend(round_trips(cell));
    }
    goals.extend(bulk_gets(&found.cells));
    goals
}

fn to_echo(cell: &Cell) -> Option<Goal> {
    let is_usual = usize::from(cell.connections) == CONNECTIONS && cell.value_bytes == VALUE_LEN;
    let is_plain = matches!(cell.operation, Operation::Get | Operation::Save);
    let max = match (cell.store, cell.wire) {
        _ if !is_usual || !is_plain => return None,
        (Store::Memory, _) => CPU_MAX,
        (Store::Redis, Wire::Http) => CPU_WITH_REDIS_MAX,
        _ => return None,
    };
    let (ours, echo) = (cell.cost("steadfast")?, cell.cost("echo")?);
    let what = format!("{}, CPU to that of the echo,", name(cell));
    Some(Goal::at_most(what, max, ours.cpu_ratio(echo)))
}

fn to_daprd(cell: &Cell) -> Vec<Goal> {
    let (Some(ours), Some(daprd)) = (cell.cost("steadfast"), cell.cost("daprd")) else {
        return Vec::new();
    };
    let cpu_min = match cell.wire {
        Wire::Http => DAPRD_HTTP_MIN,
        Wire::Grpc => DAPRD_GRPC_MIN,
    };
    let what = |figure| format!("{}, {figure},", name(cell));
    vec![
        Goal::at_least(what("CPU of daprd to ours"), cpu_min, daprd.cpu_ratio(ours)),
        Goal::at_most(what("p50 to that of daprd"), P50_MAX, ratio(&ours.p50_us, &daprd.p50_us)),
        Goal::at_most(what("p99 to that of daprd"), P99_MAX, ratio(&ours.p99_us, &daprd.p99_us)),
    ]
}

/// With one connection, requests do not share a way to the server, so each has its own reads there.
fn round_trips(cell: &Cell) -> Option<Goal> {
    let is_judged = matches!(cell.operation, Operation::SaveTtl | Operation::BulkGet);
    let reads = &cell.cost("steadfast")?.database_reads;
    if !is_judged || cell.connections != 1 || cell.value_bytes > VALUE_LEN || reads.is_empty() {
        return None;
    }
    let what = format!("{}, round trips to the server,", name(cell));
    Some(Goal::at_most(what, READS_MAX, median(reads)))
}

/// Of one client, which has to wait for each of its gets. Those of many share round trips anyway.
fn bulk_gets(cells: &[Cell]) -> Vec<Goal> {
    let of = |operation| {
        cells.iter().filter(move |it| {
            let is_one = it.operation == operation && it.connections == 1;
            is_one && it.store == Store::Redis && it.value_bytes == VALUE_LEN
        })
    };
    let goal = |bulk: &Cell| {
        let single = of(Operation::Get).find(|it| it.wire == bulk.wire)?;
        let (bulk_cost, single) = (bulk.cost("steadfast")?, single.cost("steadfast")?);
        let keys_per_s = |cost: &Cost, keys| median(&cost.per_s) * keys as f64;
        let ratio = keys_per_s(bulk_cost, bulk.keys_each) / keys_per_s(single, 1);
        let what = format!("{}, keys per s to those of single gets,", name(bulk));
        Some(Goal::at_least(what, BULK_MIN, ratio))
    };
    of(Operation::BulkGet).filter_map(goal).collect()
}

fn name(cell: &Cell) -> String {
    let Cell { store, wire, operation, connections, value_bytes, .. } = cell;
    let on = if *connections == 1 { "connection" } else { "connections" };
    let size = match *value_bytes {
        VALUE_LEN => String::new(),
        other => format!(" with values of {other} bytes"),
    };
    format!("{operation} in {store} over {wire}{size}, {connections} {on}")
}
