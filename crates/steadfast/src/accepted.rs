//! Flags of daprd that have no effect here: they are accepted, so that command lines need not be
//! changed, and it is said that they have none.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, parser::ValueSource};

/// The flags of this kind that were given.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Vec<&'static Flag>);

/// A flag without effect.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Its name, without dashes.
    pub(crate) name: &'static str,
    form: Form,
    /// Whether somebody who gives it will miss its effect: it is about what a sidecar for state
    /// does, too, and not only about other building blocks.
    pub(crate) missed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Value,
    Switch,
}

const FLAGS: &[Flag] = &[
    other("actors-disseminate-timeout", Form::Value),
    other("actors-service", Form::Value),
    other("app-binding-options-timeout", Form::Value),
    other("control-plane-address", Form::Value),
    other("control-plane-namespace", Form::Value),
    other("control-plane-trust-domain", Form::Value),
    other("disable-init-endpoints", Form::Value),
    missed("enable-mtls", Form::Switch),
    missed("enable-profiling", Form::Switch),
    other("placement-host-address", Form::Value),
    other("profile-port", Form::Value),
    other("reminders-service", Form::Value),
    other("scheduler-host-address", Form::Value),
    other("scheduler-job-streams", Form::Value),
    other("sentry-address", Form::Value),
    other("sentry-request-jwt-audiences", Form::Value),
];

const fn other(name: &'static str, form: Form) -> Flag {
    Flag { name, form, missed: false }
}

const fn missed(name: &'static str, form: Form) -> Flag {
    Flag { name, form, missed: true }
}

impl Accepted {
    /// The flags that were given, and not to say that something is off.
    pub(crate) fn given(&self) -> &[&'static Flag] {
        &self.0
    }
}

impl Args for Accepted {
    fn augment_args(command: Command) -> Command {
        command.args(FLAGS.iter().map(|it| {
            let arg = Arg::new(it.name).long(it.name).hide(true).action(ArgAction::Append);
            match it.form {
                Form::Value => arg.num_args(1).allow_hyphen_values(true),
                Form::Switch => {
                    arg.num_args(0..=1).require_equals(true).default_missing_value("true")
                }
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Accepted::augment_args(command)
    }
}

impl clap::FromArgMatches for Accepted {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Accepted, clap::Error> {
        let given = |it: &&Flag| {
            let values = matches.get_many::<String>(it.name).into_iter().flatten();
            matches.value_source(it.name) == Some(ValueSource::CommandLine)
                && values.into_iter().any(|it| !matches!(it.as_str(), "" | "false"))
        };
        Ok(Accepted(FLAGS.iter().filter(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Accepted::from_arg_matches(matches)?;
        Ok(())
    }
}
