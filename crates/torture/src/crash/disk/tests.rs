use super::*;

fn write(id: usize, offset: usize, data: &[u8]) -> Event {
    Event::Write { id, descriptor: 3, offset, data: data.into() }
}

fn disk(events: &[Event]) -> Disk {
    let mut disk = Disk::default();
    let opened = [
        Event::Open { descriptor: 3, name: "a".into(), creates: true },
        Event::Open { descriptor: 4, name: FOLDER.into(), creates: false },
        Event::FlushBegins { id: 900, descriptor: 4 },
        Event::FlushEnds { id: 900 },
    ];
    opened.iter().chain(events).for_each(|it| disk.apply(it, false));
    disk
}

/// The file after a cut with this luck.
fn after(disk: &Disk, luck: Luck) -> Option<Vec<u8>> {
    disk.cut(&mut Chance::new(1), |_| luck).remove("a")
}

#[test]
fn what_was_flushed_survives_and_the_rest_may_not() {
    let events = [
        write(1, 0, b"one"),
        Event::Done { id: 1 },
        Event::FlushBegins { id: 2, descriptor: 3 },
        Event::FlushEnds { id: 2 },
        write(3, 3, b"two"),
    ];
    let disk = disk(&events);
    assert_eq!(after(&disk, Luck::Nothing).unwrap(), b"one");
    assert_eq!(after(&disk, Luck::All).unwrap(), b"onetwo");
    assert_eq!(after(&disk, Luck::Zeros).unwrap(), b"one\0\0\0");
}

#[test]
fn a_flush_covers_only_what_was_done_before_it_began() {
    let begins = Event::FlushBegins { id: 9, descriptor: 3 };
    let ends = Event::FlushEnds { id: 9 };
    let done = Event::Done { id: 1 };
    let late = disk(&[write(1, 0, b"x"), begins.clone(), done.clone(), ends.clone()]);
    assert_eq!(after(&late, Luck::Nothing).unwrap(), b"");
    let unfinished = disk(&[write(1, 0, b"x"), done.clone(), begins.clone()]);
    assert_eq!(after(&unfinished, Luck::Nothing).unwrap(), b"");
    let covered = disk(&[write(1, 0, b"x"), done, begins, ends]);
    assert_eq!(after(&covered, Luck::Nothing).unwrap(), b"x");
}

#[test]
fn a_file_is_there_only_once_its_folder_was_flushed() {
    let mut disk = Disk::default();
    disk.apply(&Event::Open { descriptor: 3, name: "a".into(), creates: true }, false);
    assert_eq!(after(&disk, Luck::Nothing), None);
    assert_eq!(after(&disk, Luck::All), Some(Vec::new()));
}

#[test]
fn a_removed_file_comes_back_unless_its_folder_was_flushed() {
    let gone = disk(&[Event::Unlink { name: "a".into() }]);
    assert_eq!(after(&gone, Luck::Nothing), Some(Vec::new()));
    assert_eq!(after(&gone, Luck::All), None);
}

#[test]
fn a_new_file_of_the_same_name_is_another_file() {
    let events = [
        write(1, 0, b"old"),
        Event::Done { id: 1 },
        Event::FlushBegins { id: 2, descriptor: 3 },
        Event::FlushEnds { id: 2 },
        Event::Unlink { name: "a".into() },
        Event::Open { descriptor: 5, name: "a".into(), creates: true },
        Event::Write { id: 3, descriptor: 5, offset: 0, data: (*b"new").into() },
    ];
    let disk = disk(&events);
    assert_eq!(after(&disk, Luck::Nothing).unwrap(), b"old");
    assert_eq!(after(&disk, Luck::All).unwrap(), b"new");
}

#[test]
fn sectors_are_lost_one_by_one() {
    let disk = disk(&[write(1, 256, &[7; 1024])]);
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let image = disk.cut(&mut Chance::new(seed), |_| Luck::SomeSectors).remove("a").unwrap();
        for (range, len) in [(256..512, 256), (512..1024, 512), (1024..1280, 256)] {
            let written = image.get(range).map_or(0, |it| it.iter().filter(|it| **it == 7).count());
            assert!(written == 0 || written == len, "a sector is whole or not there");
        }
        sizes.insert(image.iter().filter(|it| **it == 7).count());
    }
    assert!(sizes.len() > 3, "{sizes:?}");
}

#[test]
fn a_torn_write_ends_inside_a_sector() {
    let disk = disk(&[write(1, 0, &[7; 2000])]);
    let lens = (0..50)
        .map(|seed| disk.cut(&mut Chance::new(seed), |_| Luck::Torn).remove("a").unwrap().len());
    assert!(lens.filter(|it| it % SECTOR != 0).count() > 10);
}

#[test]
fn ignoring_flushes_loses_what_was_flushed() {
    let mut disk = Disk::default();
    let events = [
        Event::Open { descriptor: 3, name: "a".into(), creates: true },
        write(1, 0, b"x"),
        Event::Done { id: 1 },
        Event::FlushBegins { id: 2, descriptor: 3 },
        Event::FlushEnds { id: 2 },
    ];
    events.iter().for_each(|it| disk.apply(it, true));
    assert_eq!(after(&disk, Luck::All).unwrap(), b"x");
    assert_eq!(disk.pending_len(), 2);
}
