//! What was found, as tables.

use crate::{
    contest::{Cell, Cost, Footprint, Found},
    report::{Row, Table},
};

pub(super) fn tables(found: &Found) -> Vec<Table> {
    let costs = found.cells.iter().flat_map(|cell| {
        cell.costs.iter().map(move |(program, cost)| row(cell, program.name(), cost))
    });
    let footprints = found.footprints.iter().map(footprint);
    vec![Table::titled("for each request", costs), Table::titled("for each process", footprints)]
}

fn row(cell: &Cell, program: &str, cost: &Cost) -> Row {
    let echo = cell.cost("echo");
    let ratios = echo.map(|it| cost.cpu_ratios(it)).unwrap_or_default();
    Row::of("store", cell.store.name())
        .text("wire", cell.wire.name())
        .text("connections", cell.connections.to_string())
        .text("value_bytes", cell.value_bytes.to_string())
        .text("operation", cell.operation.name())
        .text("server", program)
        .spread("cpu_us", &cost.cpu_us, 1)
        .spread("ratio", &ratios, 2)
        .spread("store_cpu_us", &cost.database_cpu_us, 1)
        .spread("store_reads", &cost.database_reads, 2)
        .spread("per_s", &cost.per_s, 0)
        .spread("offered_per_s", &cost.offered_per_s, 0)
        .spread("p50_us", &cost.p50_us, 0)
        .spread("p99_us", &cost.p99_us, 0)
        .spread("p99.9_us", &cost.p999_us, 0)
}

fn footprint(it: &Footprint) -> Row {
    Row::of("store", it.store.name())
        .text("server", it.program.name())
        .spread("start_ms", &it.start_ms, 1)
        .number("resident_idle_mb", it.idle_mb, 1)
        .number("resident_after_load_mb", it.loaded_mb, 1)
        .maybe("program_mb", it.file_mb, 1)
}
