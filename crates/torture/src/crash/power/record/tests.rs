use super::*;

fn hex(text: &str) -> String {
    hexadecimal(text)
}

fn trace(lines: &[String]) -> String {
    lines.join("\n")
}

#[test]
fn a_commit_is_a_write_a_flush_and_an_answer() {
    let wal = hex("/d/state.db-wal");
    let lines = [
        format!("1 openat(AT_FDCWD<{0}>, \"{wal}\", O_RDWR|O_CREAT, 0600) = 12<{wal}>", hex("/d")),
        format!("2 pwrite64(12<{wal}>, \"{}\", 2, 32) = 2", hex("ab")),
        format!("2 fdatasync(12<{wal}> <unfinished ...>"),
        "3 close(9) = 0".to_owned(),
        "2 <... fdatasync resumed>) = 0".to_owned(),
        format!(
            "3 writev(15<TCP:[127.0.0.1:3999->127.0.0.1:55750]>, [{{iov_base=\"{}\", iov_len=12}}], \
             1) = 12",
            hex("HTTP/1.1 204")
        ),
    ];
    let events = events(&trace(&lines), Path::new("/d"), 0).unwrap();
    let expected = [
        Event::Open { descriptor: 12, name: "state.db-wal".into(), creates: true },
        Event::Write { id: 1, descriptor: 12, offset: 32, data: (*b"ab").into() },
        Event::Done { id: 1 },
        Event::FlushBegins { id: 2, descriptor: 12 },
        Event::Close { descriptor: 9 },
        Event::FlushEnds { id: 2 },
        Event::Answer { port: 55750 },
    ];
    assert_eq!(events, expected);
}

#[test]
fn the_folder_can_be_flushed_and_the_index_of_the_log_is_left_out() {
    let lines = [
        format!("1 openat(AT_FDCWD<>, \"{}\", O_RDONLY) = 14<>", hex("/d")),
        format!("1 openat(AT_FDCWD<>, \"{}\", O_RDWR|O_CREAT) = 15<>", hex("/d/state.db-shm")),
        format!("1 openat(AT_FDCWD<>, \"{}\", O_RDWR|O_CREAT) = 16<>", hex("/elsewhere")),
        "1 fsync(14<>) = 0".to_owned(),
        format!("1 unlink(\"{}\") = 0", hex("/d/state.db-wal")),
    ];
    let events = events(&trace(&lines), Path::new("/d"), 0).unwrap();
    let expected = [
        Event::Open { descriptor: 14, name: FOLDER.into(), creates: false },
        Event::FlushBegins { id: 1, descriptor: 14 },
        Event::FlushEnds { id: 1 },
        Event::Unlink { name: "state.db-wal".into() },
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_call_that_is_not_emulated_is_an_error() {
    let lines = [format!("1 rename(\"{}\", \"{}\") = 0", hex("/d/a"), hex("/d/b"))];
    assert!(events(&trace(&lines), Path::new("/d"), 0).is_err());
    let lines = [format!("1 rename(\"{}\", \"{}\") = 0", hex("/x/a"), hex("/x/b"))];
    assert!(events(&trace(&lines), Path::new("/d"), 0).unwrap().is_empty());
}
