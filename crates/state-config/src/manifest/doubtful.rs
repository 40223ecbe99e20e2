//! Values that are taken as they are, and are probably not meant so.

/// Returns what to warn of, and what to write instead, without any of the value.
pub(super) fn check(name: &str, value: &str) -> Option<(String, &'static str)> {
    if value.contains("{{") && value.contains("}}") {
        let message =
            format!("the value of `{name}` has `{{{{ }}}}` in it, which is not filled in");
        return Some((message, "render the template first"));
    }
    if has_variable(value) {
        let message = format!("the value of `{name}` has a variable in it, which is not filled in");
        return Some((message, "write `envRef: <variable>` in the place of `value`"));
    }
    if value.starts_with(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) {
        let message =
            format!("the value of `{name}` begins with a typographic quote, which is part of it");
        return Some((message, "use straight quotes: `\"` or `'`"));
    }
    if is_broken_path(value) {
        let message = format!(
            "the value of `{name}` looks like a path of Windows whose `\\` were taken for escapes"
        );
        return Some((message, "use single quotes, in which `\\` means itself"));
    }
    None
}

/// Whether there is `${NAME}`, `$(NAME)`, or nothing but `$NAME`, as shells and pods write it.
fn has_variable(value: &str) -> bool {
    let is_name = |it: &str| {
        let plain = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
        it.starts_with(|it: char| it.is_ascii_uppercase() || it == '_') && it.chars().all(plain)
    };
    let braced = |open: &str, close: char| {
        value.split(open).skip(1).any(|it| it.split_once(close).is_some_and(|(it, _)| is_name(it)))
    };
    braced("${", '}') || braced("$(", ')') || value.strip_prefix('$').is_some_and(is_name)
}

/// Whether this is a drive and, right after it, a character that an escape has made. A name alone in
/// the first line of a text is none.
fn is_broken_path(value: &str) -> bool {
    let characters: Vec<_> = value.chars().take(4).collect();
    let [drive, ':', escaped, next] = characters[..] else { return false };
    drive.is_ascii_alphabetic() && escaped.is_control() && !next.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_what_is_hardly_meant_is_doubtful() {
        for doubtful in [
            "{{ .Values.host }}",
            "redis://${HOST}:6379",
            "$(PASSWORD)",
            "$PASSWORD",
            "\u{201c}localhost\u{201d}",
            "C:\new\table.db",
        ] {
            assert!(check("a", doubtful).is_some(), "{doubtful:?}");
        }
        for fine in [
            "",
            "$",
            "a$PASSWORD",
            "$pa55word",
            "${",
            "${}",
            "pa${ss",
            "$(date)",
            "[{\"a\":{\"b\":1}}]",
            "{podName}",
            "C:\\new\\table.db",
            "a:\n  b: 1\n",
            "a:1\nb:2",
            "a:",
            "it\u{2019}s",
        ] {
            assert_eq!(check("a", fine), None, "{fine:?}");
        }
    }
}
