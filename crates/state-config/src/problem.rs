use std::{
    error, fmt,
    path::{Path, PathBuf},
};

/// Something in a component file that keeps a component from being used as its author meant.
///
/// Never holds a value: any of them may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the directory that could not be read.
    pub file: PathBuf,
    /// The line in the file, from 1; `None` if it is about the file as a whole.
    pub line: Option<u64>,
    /// The column in the line, from 1.
    pub column: Option<u64>,
    /// The component's name, once that is known.
    pub component: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// Whether the component asked, with `ignoreErrors: true`, not to hold up the start.
    pub ignorable: bool,
}

/// Where a value begins, counted from 1.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// What has been found out about one document so far.
pub(crate) struct Report {
    pub(crate) file: PathBuf,
    pub(crate) component: Option<String>,
    pub(crate) component_type: Option<String>,
    pub(crate) ignorable: bool,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Report {
    pub(crate) fn new(file: &Path) -> Report {
        Report {
            file: file.to_owned(),
            component: None,
            component_type: None,
            ignorable: false,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes what makes the document unusable.
    pub(crate) fn problem(&mut self, place: Place, message: impl Into<String>, hint: &str) {
        let problem = self.describe(Some(place), message.into(), hint);
        self.problems.push(problem);
    }

    /// Notes what makes the file or the directory unusable.
    pub(crate) fn file_problem(&mut self, message: impl Into<String>, hint: &str) {
        let problem = self.describe(None, message.into(), hint);
        self.problems.push(problem);
    }

    /// Notes what is probably not meant, and harmless.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>, hint: &str) {
        let problem = self.describe(Some(place), message.into(), hint);
        self.warnings.push(problem);
    }

    fn describe(&self, place: Option<Place>, message: String, hint: &str) -> Problem {
        Problem {
            file: self.file.clone(),
            line: place.map(|it| it.line),
            column: place.map(|it| it.column),
            component: self.component.clone(),
            message: printable(&message),
            hint: (!hint.is_empty()).then(|| printable(hint)),
            ignorable: self.ignorable,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.display().fmt(f)?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl error::Error for Problem {}

/// Names come from the file, and must not begin lines of a log or colour a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
