//! `steadfast doctor`: what would keep a sidecar from working here, and what to do about it.
//!
//! `surroundings` looks at this machine, `files` at component files, `stores` at the stores themselves, whose own
//! warnings `warnings` overhears.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use self::warnings::Warnings;
use crate::{FAILURE, cli::DoctorArgs};

mod files;
mod stores;
mod surroundings;
mod warnings;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    /// What was looked at.
    about: String,
    /// What was found.
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    /// Where a remedy is part of the text, or there is none.
    fn bare(level: Level, about: &str, text: impl Into<String>) -> Finding {
        Finding { level, about: about.to_owned(), text: text.into(), remedy: None }
    }

    fn ok(about: &str, text: impl Into<String>) -> Finding {
        Finding::bare(Level::Ok, about, text)
    }

    fn warn(about: &str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..Finding::bare(Level::Warn, about, text) }
    }

    fn fail(about: &str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { remedy: Some(remedy.into()), ..Finding::bare(Level::Fail, about, text) }
    }

    fn print(&self) {
        let (word, style) = match self.level {
            Level::Ok => ("ok  ", Style::new().fg_color(Some(AnsiColor::Green.into()))),
            Level::Warn => ("warn", Style::new().fg_color(Some(AnsiColor::Yellow.into()))),
            Level::Fail => ("FAIL", Style::new().fg_color(Some(AnsiColor::Red.into())).bold()),
        };
        anstream::println!("{style}{word}{style:#}  {}: {}", self.about, self.text);
        if let Some(remedy) = &self.remedy {
            anstream::println!("      {remedy}");
        }
    }
}

pub(crate) fn main(args: &DoctorArgs) -> Result<ExitCode> {
    let warnings = Warnings::overhear()?;
    let app_id = args.scope.app_id()?;
    let mut findings = surroundings::look();
    let (found, components) = files::look(&args.scope.folders(), &app_id);
    findings.extend(found);
    let runtime = crate::runtime()?;
    findings.extend(runtime.block_on(stores::look(&app_id, components, &warnings)));
    runtime.shutdown_background();

    let count = |level: Level| findings.iter().filter(|it| it.level == level).count();
    let (ok, warned, failed) = (count(Level::Ok), count(Level::Warn), count(Level::Fail));
    if args.json {
        let report =
            json!({ "findings": findings, "ok": ok, "warnings": warned, "failures": failed });
        anstream::println!("{report}");
    } else {
        findings.iter().for_each(Finding::print);
        anstream::println!("{ok} ok, {warned} warnings, {failed} failures");
    }
    Ok(if failed > 0 { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}
