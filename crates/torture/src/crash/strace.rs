//! strace: whether it is there, and what it writes.
//!
//! A call that another thread interrupts is written in two lines, `<unfinished ...>` and
//! `<... resumed>`. Source: strace(1).

use std::{
    collections::HashMap,
    process::{Command, Stdio},
};

/// Why strace cannot be used, if so.
pub(crate) fn missing() -> Option<String> {
    let mut strace = Command::new("strace");
    match strace.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(it) if it.success() => None,
        _ => Some("there is no strace: install the package strace".to_owned()),
    }
}

/// A system call in a trace, or one end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    /// The number of the thread; its name too, with `--decode-pids=comm`.
    pub(crate) thread: &'a str,
    pub(crate) name: &'a str,
    /// As they were when it began.
    pub(crate) arguments: &'a str,
    pub(crate) phase: Phase<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase<'a> {
    /// It had not returned when another thread's call was written.
    Begins,
    /// It returned, and what.
    Ends(&'a str),
    /// It began and returned, with nothing in between.
    Whole(&'a str),
}

/// The calls of a trace in the order in which they happened. Signals and ends of processes are
/// left out.
pub(crate) fn calls(trace: &str) -> impl Iterator<Item = Call<'_>> {
    let mut unfinished: HashMap<&str, (&str, &str)> = HashMap::new();
    trace.lines().filter_map(move |line| {
        let (thread, rest) = line.split_once(' ')?;
        let rest = rest.trim_start();
        if rest.starts_with("---") || rest.starts_with("+++") {
            return None;
        }
        if rest.starts_with("<... ") {
            let (name, arguments) = unfinished.remove(thread)?;
            let phase = Phase::Ends(result(rest)?.1);
            return Some(Call { thread, name, arguments, phase });
        }
        let (name, rest) = rest.split_once('(')?;
        if let Some(arguments) = rest.strip_suffix("<unfinished ...>") {
            let arguments = arguments.trim_end();
            unfinished.insert(thread, (name, arguments));
            return Some(Call { thread, name, arguments, phase: Phase::Begins });
        }
        let (arguments, result) = result(rest)?;
        Some(Call { thread, name, arguments, phase: Phase::Whole(result) })
    })
}

/// Divides `arguments) = result`.
fn result(text: &str) -> Option<(&str, &str)> {
    let (arguments, result) = text.rsplit_once(" = ")?;
    let arguments = arguments.trim_end();
    Some((arguments.strip_suffix(')').unwrap_or(arguments), result.trim()))
}

impl<'a> Call<'a> {
    pub(crate) fn begins(&self) -> bool {
        !matches!(self.phase, Phase::Ends(_))
    }

    /// What it returned, if it has.
    pub(crate) fn result(&self) -> Option<&'a str> {
        match self.phase {
            Phase::Begins => None,
            Phase::Ends(it) | Phase::Whole(it) => Some(it),
        }
    }

    /// Whether strace has made it fail.
    pub(crate) fn was_injected(&self) -> bool {
        self.result().is_some_and(|it| it.contains("(INJECTED)"))
    }

    /// The file descriptor that it begins with.
    pub(crate) fn descriptor(&self) -> Option<u32> {
        leading_number(self.arguments)
    }

    /// The file that its descriptor leads to, as `-y` writes it.
    pub(crate) fn file(&self) -> Option<&'a str> {
        Some(self.arguments.split_once('<')?.1.split_once('>')?.0)
    }

    /// The other end's port, if its descriptor is that of a TCP connection, as `-yy` writes it.
    pub(crate) fn peer_port(&self) -> Option<u16> {
        let (_, rest) = self.arguments.split_once("<TCP:[")?;
        rest.split_once(']')?.0.rsplit_once(':')?.1.parse().ok()
    }

    /// The texts in quotes, as bytes. Understands `-xx`, which writes all bytes in hexadecimal.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Option<Vec<u8>>> + 'a {
        self.arguments.split('"').skip(1).step_by(2).map(bytes)
    }
}

/// The number at the beginning of a result or an argument.
pub(crate) fn leading_number(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let bytes = hexadecimal.as_bytes().chunks(4).map(|it| match it {
        [b'\\', b'x', high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    });
    bytes.collect()
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
