use super::*;

const TRACE: &str = r#"10 openat(AT_FDCWD<\x2f\x74>, "\x2f\x74\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 11<\x2f\x74\x2f\x61>
12 pwrite64(11<\x2f\x74\x2f\x61>, "\x00\x7f\xff", 3, 4096 <unfinished ...>
10 close(3)                                = 0
12 <... pwrite64 resumed>) = 3
10 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=9, si_uid=0} ---
12 fdatasync(11<\x2f\x74\x2f\x61>) = -1 EIO (Input/output error) (INJECTED)
10 unlink("\x2f\x74\x2f\x61") = ?
10 +++ killed by SIGKILL +++
"#;

#[test]
fn calls_come_in_the_order_in_which_they_began_and_ended() {
    let seen: Vec<_> = calls(TRACE).map(|it| (it.thread, it.name, it.result())).collect();
    assert_eq!(
        seen,
        [
            ("10", "openat", Some(r"11<\x2f\x74\x2f\x61>")),
            ("12", "pwrite64", None),
            ("10", "close", Some("0")),
            ("12", "pwrite64", Some("3")),
            ("12", "fdatasync", Some("-1 EIO (Input/output error) (INJECTED)")),
            ("10", "unlink", Some("?")),
        ]
    );
}

#[test]
fn an_ended_call_still_has_the_arguments_it_began_with() {
    let ends = calls(TRACE).find(|it| matches!(it.phase, Phase::Ends(_))).unwrap();
    assert_eq!(ends.descriptor(), Some(11));
    assert_eq!(ends.texts().next(), Some(Some(vec![0, 0x7f, 0xff])));
    assert!(ends.arguments.ends_with("3, 4096"));
}

#[test]
fn paths_and_injections_are_read() {
    let all: Vec<_> = calls(TRACE).collect();
    assert_eq!(all[0].texts().next(), Some(Some(b"/t/a".to_vec())));
    assert_eq!(leading_number(all[0].result().unwrap()), Some(11));
    assert_eq!(all[4].file(), Some(r"\x2f\x74\x2f\x61"));
    assert!(all[4].was_injected() && !all[3].was_injected());
}

#[test]
fn a_text_that_is_not_hexadecimal_is_not_guessed() {
    let call = calls("1 unlink(\"abc\") = 0").next().unwrap();
    assert_eq!(call.texts().next(), Some(None));
}
