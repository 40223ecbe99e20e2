//! The flags of `run` that are about several applications.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, parser::ValueSource, value_parser};

/// Which run template, if there is to be any.
#[derive(Debug, Default)]
pub(crate) struct RunFile {
    /// The file, a folder with a `dapr.yaml`, or `-`.
    pub(crate) path: Option<PathBuf>,
    /// Whether this process is started by one that has a template.
    pub(crate) hosted: bool,
    /// The flags that were given beside it.
    pub(crate) ignored: Vec<String>,
}

const RUN_FILE: &str = "run_file";
const HOSTED: &str = "hosted";

/// What counts with a template, too.
const SHARED: [&str; 3] = [RUN_FILE, HOSTED, "log_as_json"];

impl Args for RunFile {
    fn augment_args(command: Command) -> Command {
        let run_file = Arg::new(RUN_FILE)
            .short('f')
            .long("run-file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(
                "Run the applications of this template, each with a sidecar: a file, a folder with a dapr.yaml, or - \
                 for the standard input. All flags but --log-as-json are without effect then",
            );
        let hosted = Arg::new(HOSTED).long(HOSTED).hide(true).action(ArgAction::SetTrue);
        command.arg(run_file).arg(hosted)
    }

    fn augment_args_for_update(command: Command) -> Command {
        RunFile::augment_args(command)
    }
}

impl clap::FromArgMatches for RunFile {
    fn from_arg_matches(matches: &ArgMatches) -> Result<RunFile, clap::Error> {
        let path = matches.get_one::<PathBuf>(RUN_FILE).cloned();
        let was_given = |name: &str| {
            // Groups have names as well, and no source.
            matches.try_contains_id(name).is_ok()
                && matches.value_source(name) == Some(ValueSource::CommandLine)
        };
        let mut ignored = Vec::new();
        if path.is_some() {
            for id in matches.ids().map(clap::Id::as_str) {
                if was_given(id) && !SHARED.contains(&id) {
                    ignored.push(match id {
                        "command" => "the command".to_owned(),
                        flag => format!("--{}", flag.replace('_', "-")),
                    });
                }
            }
        }
        ignored.sort();
        Ok(RunFile { path, hosted: matches.get_flag(HOSTED), ignored })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = RunFile::from_arg_matches(matches)?;
        Ok(())
    }
}
