//! A file of several YAML documents, taken apart so that a bad one does not hide the others.

use serde_saphyr::{
    DefaultMessageFormatter, DuplicateKeyPolicy, Error, MessageFormatter, Options,
    options::NonFiniteFloatPolicy,
};

use crate::{node::Node, problem::Place};

/// Our own bound. Source: security.md section 4.5.
const ALIASES_MAX: usize = 100;
/// Twice the deepest resource of Dapr. Reading takes up to 36 KiB of stack per level, measured
/// without optimization, and a thread has 2 MiB. Unfolded aliases count.
const DEPTH_MAX: usize = 32;
/// A thousand components of fifty values; also what aliases may unfold to.
const NODES_MAX: usize = 50_000;

/// The text of one document, and how many lines of the file come before it.
pub(crate) struct Document<'a> {
    text: &'a str,
    lines_before: u64,
}

/// Why a document is not YAML.
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

/// Splits at lines that begin with `---`; what else is on such a line is discarded, as in Dapr.
///
/// Differs from Dapr: which takes `-----BEGIN CERTIFICATE-----` for such a line, too.
pub(crate) fn split(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut from, mut lines_before) = (0, 0);
    let (mut at, mut line) = (0, 0);
    for it in text.split_inclusive('\n') {
        line += 1;
        if is_divider(it) {
            documents.push(Document { text: &text[from..at], lines_before });
            (from, lines_before) = (at + it.len(), line);
        }
        at += it.len();
    }
    documents.push(Document { text: &text[from..], lines_before });
    documents
}

fn is_divider(line: &str) -> bool {
    let more = line.starts_with("---").then(|| line.trim_start_matches('-'));
    more.is_some_and(|it| !it.starts_with(char::is_alphanumeric))
}

impl Document<'_> {
    /// Returns what the document says, or `None` if it is empty.
    pub(crate) fn parse(&self) -> Result<Option<Node>, Fault> {
        self.parse_with(options())
    }

    /// As [`parse`](Document::parse), but `yes`, `no`, `on`, `off`, `y` and `n` are text.
    pub(crate) fn parse_strictly(&self) -> Result<Option<Node>, Fault> {
        let mut options = options();
        options.strict_booleans = true;
        self.parse_with(options)
    }

    fn parse_with(&self, options: Options) -> Result<Option<Node>, Fault> {
        if self.is_empty() {
            return Ok(None);
        }
        match serde_saphyr::from_str_with_options::<Node>(self.text, options) {
            Ok(mut node) => {
                let lines: Vec<_> = self.text.lines().collect();
                node.find_rewritten(&lines);
                node.shift(self.lines_before);
                Ok(Some(node))
            }
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn is_empty(&self) -> bool {
        // Also a directive such as `%YAML 1.2`, which stands before the first `---`.
        let says_nothing = |line: &str| {
            let line = line.trim_start_matches('\u{feff}').trim();
            line.is_empty() || line.starts_with(['#', '%']) || line == "..."
        };
        self.text.lines().all(says_nothing)
    }

    fn fault(&self, error: &Error) -> Fault {
        let (line, column) = match error.location() {
            Some(it) => (it.line(), it.column()),
            None => (1, 1),
        };
        let (message, hint) = explain(error);
        Fault { place: Place { line: line + self.lines_before, column }, message, hint }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: NODES_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        // Duplicates are reported by `manifest`, which can name both places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `010` is 8 in the YAML that Dapr reads, and `.inf` is text nobody wants as a number.
        legacy_octal_numbers: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // `!word` is a tag, which would vanish without a word.
        reject_unsupported_tags: true,
        // A snippet of the file may show a password.
        with_snippet: false,
    }
}

/// Says what is wrong with the syntax, and what usually helps.
fn explain(error: &Error) -> (String, &'static str) {
    match error {
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::RecursiveReferencesRequireWeakTypes { .. } => (
            "the document has too many values, nested too deeply or repeated too often".to_owned(),
            "write values out instead of repeating them with `*`",
        ),
        Error::MultipleDocuments { .. } => (
            "another document begins after `...`".to_owned(),
            "put a line of `---` between documents",
        ),
        Error::UnknownAnchor { .. } => (
            "a value begins with `*`, which refers to an anchor, and there is none of that name"
                .to_owned(),
            "put the value in quotes",
        ),
        // The tag is not shown: it may be the beginning of a password.
        Error::UnsupportedTag { .. } => (
            "a value begins with `!`, which makes its first word a tag, and none is known"
                .to_owned(),
            "put the value in quotes",
        ),
        Error::AliasError { error, .. } => explain(error),
        _ => {
            let message = DefaultMessageFormatter.format_message(error);
            let hint = usual_remedy(&message);
            (format!("this is not YAML: {message}"), hint)
        }
    }
}

/// The parser's messages are stable enough to look for a word; without a match there is no hint.
fn usual_remedy(message: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 13] = [
        ("tab", "indent with spaces"),
        (
            "mapping values are not allowed",
            "put a value with `: ` in it in quotes, and check the indentation",
        ),
        (
            "cannot be a key",
            "put a value that begins with `{` in quotes; a template must be rendered first",
        ),
        (
            "only valid inside a block",
            "put a value that begins with `-` in quotes; a template must be rendered first",
        ),
        (
            "simple key expected",
            "write `name: value`, indent the lines of a block of text, and remove what a merge left",
        ),
        (
            "could not find expected ':'",
            "write `name: value`, and indent the lines of a block of text",
        ),
        ("trailing content after", "put the whole value in one pair of quotes"),
        ("hexadecimal", "use single quotes, in which `\\` means itself"),
        ("unexpected character", "put the value in quotes"),
        ("unclosed quote", "end the value with the quote it begins with"),
        ("unclosed bracket", "close the bracket, or put the value in quotes"),
        ("escape character", "use single quotes, in which `\\` means itself"),
        ("did not find expected", "check the indentation of this line and the one before"),
    ];
    let matching = REMEDIES.iter().find(|(word, _)| message.contains(word));
    matching.map_or("", |(_, remedy)| *remedy)
}
