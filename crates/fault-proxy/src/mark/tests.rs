use super::*;

fn check(mark: &str, pieces: &[&str]) -> Vec<Vec<usize>> {
    let mut finder = Finder::new(mark.into());
    pieces.iter().map(|it| finder.starts(it.as_bytes())).collect()
}

#[test]
fn a_mark_in_one_piece_is_found_where_it_begins() {
    assert_eq!(check("SET", &["a SET b"]), [[2]]);
}

#[test]
fn a_mark_across_pieces_is_found_in_the_piece_where_it_ends() {
    assert_eq!(check("COMMIT", &["xCOM", "MITx"]), [vec![], vec![0]]);
    assert_eq!(check("COMMIT", &["C", "O", "M", "M", "I", "T"])[5], [0]);
}

#[test]
fn a_false_start_does_not_hide_a_mark() {
    assert_eq!(check("aab", &["aa", "ab"]), [vec![], vec![0]]);
    assert_eq!(check("SET", &["SESET"]), [[2]]);
}

#[test]
fn every_mark_is_found_once() {
    assert_eq!(check("ab", &["ab ab", " ab", "ab"]), [vec![0, 3], vec![1], vec![0]]);
}

#[test]
fn a_mark_of_one_byte_is_found() {
    assert_eq!(check("a", &["ba", "a"]), [[1], [0]]);
}

#[test]
fn an_empty_mark_is_never_found() {
    assert_eq!(check("", &["abc"]), [Vec::<usize>::new()]);
}
