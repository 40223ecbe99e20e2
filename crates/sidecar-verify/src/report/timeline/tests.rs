use state_checker::Reply;

use super::*;
use crate::report::samples::{get, record};

fn read(process: u32, time: (u64, u64)) -> Record {
    record(process, 0, time, get(0), Reply::Absent)
}

#[test]
fn the_parts_of_a_bulk_request_have_a_row_each() {
    let records = [read(1, (0, 5)), read(1, (0, 5)), read(2, (1, 2)), read(1, (6, 7))];
    let timeline = Timeline::of(&records, 9);
    assert_eq!(timeline.lanes.iter().map(|it| it.rows).collect::<Vec<_>>(), [2, 1]);
    let rows: Vec<_> = timeline.bars.iter().map(|it| (it.lane, it.row)).collect();
    assert_eq!(rows, [(0, 0), (0, 1), (1, 0), (0, 0)]);
    assert_eq!(timeline.instants.len(), 6, "both begin at one instant, and end at one");
}

#[test]
fn what_begins_when_another_ends_is_drawn_as_overlapping() {
    let records = [read(1, (0, 5)), read(2, (5, 9))];
    let timeline = Timeline::of(&records, 9);
    assert!(timeline.bars[1].from < timeline.bars[0].to);
}

#[test]
fn an_operation_that_took_no_time_has_two_instants() {
    let records = [read(1, (4, 4))];
    let timeline = Timeline::of(&records, 9);
    assert_eq!((timeline.bars[0].from, timeline.bars[0].to), (0, 1));
}

#[test]
fn the_last_operations_are_kept() {
    let records: Vec<_> = (0..20).map(|it| read(it as u32, (u64::from(it as u32), 30))).collect();
    let timeline = Timeline::of(&records, 12);
    assert_eq!((timeline.left_out, timeline.bars.len()), (8, 12));
    assert_eq!(timeline.lanes[0].label, "A");
    assert_eq!(timeline.bars[0].record.process, 8);
}

#[test]
fn places_keep_all_distances() {
    let records = [read(1, (0, 4)), read(2, (1, 2)), read(2, (3, 6))];
    let timeline = Timeline::of(&records, 9);
    let mut distances = timeline.steps(|_| 2);
    distances.push(Distance { from: 0, to: 3, at_least: 20 });
    distances.push(Distance { from: 1, to: 2, at_least: 7 });
    assert_eq!(timeline.places(distances), [0, 2, 9, 20, 22, 24]);
}

#[test]
fn no_two_processes_share_a_label() {
    let labels: BTreeSet<_> = (0..100).map(label).collect();
    assert_eq!(labels.len(), 100);
}
