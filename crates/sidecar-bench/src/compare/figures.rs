//! What was found, as tables and as plots.

use crate::{
    contest::{Cell, Cost, Footprint, Found},
    plot::Bars,
    report::{Row, Table},
    statistics::Spread,
};

/// The figures of which there are plots.
const PLOTTED: [(&str, fn(&Cost) -> &[f64]); 5] = [
    ("CPU time, us per request", |it| &it.cpu_us),
    ("CPU time of the store, us per request", |it| &it.database_cpu_us),
    ("p50, us", |it| &it.p50_us),
    ("p99, us", |it| &it.p99_us),
    ("p99.9, us", |it| &it.p999_us),
];

pub(super) fn tables(found: &Found) -> Vec<Table> {
    let costs = found.cells.iter().flat_map(|cell| {
        cell.costs.iter().map(move |(program, cost)| row(cell, program.name(), cost))
    });
    let footprints = found.footprints.iter().map(footprint);
    vec![Table::titled("for each request", costs), Table::titled("for each process", footprints)]
}

/// For each store, wire, number of connections and length of values: a plot of each figure, with all
/// operations.
pub(super) fn plots(found: &Found) -> Vec<String> {
    let same = |a: &Cell, b: &Cell| {
        let key = |it: &Cell| (it.store.name(), it.wire.name(), it.connections, it.value_bytes);
        key(a) == key(b)
    };
    let groups = found.cells.chunk_by(same);
    groups.flat_map(|cells| PLOTTED.iter().filter_map(|(y, of)| plot(cells, y, *of))).collect()
}

/// Nothing if all figures are zero: a store in the sidecar's process has no CPU time of its own.
fn plot(cells: &[Cell], y: &str, of: fn(&Cost) -> &[f64]) -> Option<String> {
    let Cell { store, wire, connections, value_bytes, costs, .. } = cells.first()?;
    let figure = |cell: &Cell, program| {
        let figures = of(cell.cost(program)?);
        (!figures.is_empty()).then(|| Spread::of(figures))
    };
    let series = costs.iter().map(|(program, _)| {
        let bars = cells.iter().map(|it| figure(it, program.name())).collect();
        (program.name().to_owned(), bars)
    });
    let series: Vec<(String, Vec<Option<Spread>>)> = series.collect();
    let mut all = series.iter().flat_map(|(_, bars)| bars.iter().flatten());
    if !all.any(|it| it.max > 0.0) {
        return None;
    }
    let title = format!("{store} over {wire}, {connections} connections, {value_bytes} bytes");
    let groups = cells.iter().map(|it| it.operation.name().to_owned()).collect();
    Some(Bars { title, y: y.to_owned(), groups, series }.svg())
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
        .maybe("allocations", cost.allocations, 1)
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
