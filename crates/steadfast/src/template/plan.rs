//! What a run template comes to on this machine: folders, flags, commands. All mistakes are found before anything starts.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use state_config::{Problem, Setting, Settings, Template, Use, Value, template_file};

use super::channel::{Destination, Order};
use crate::components;

mod flags;
mod logs;
mod program;

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) apps: Vec<Planned>,
    /// What is probably not meant, and does no harm.
    pub(crate) warnings: Vec<String>,
}

/// An application, and how its host is started.
pub(crate) struct Planned {
    pub(crate) app_id: String,
    pub(crate) folder: PathBuf,
    pub(crate) flags: Vec<OsString>,
    pub(crate) command: Vec<String>,
    pub(crate) order: Order,
}

impl std::fmt::Debug for Planned {
    /// Hides the environment.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// What is known while one application after the other is looked at.
struct Draft<'a> {
    file: &'a Path,
    /// What the paths of the template are relative to.
    base: PathBuf,
    home: Option<PathBuf>,
    common: &'a Settings,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Ports that were asked for, by whom.
    ports: BTreeMap<u16, String>,
}

impl Plan {
    /// Reads a template: a file, a folder with a `dapr.yaml`, or `-` for the standard input.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it. Nothing has been written then.
    pub(crate) fn read(path: &Path, json: bool) -> Result<Plan, Vec<Problem>> {
        let is_stdin = path == Path::new("-");
        let (file, template) = match is_stdin {
            true => (path.to_owned(), Template::from_reader(path, io::stdin())?),
            false => {
                let file = template_file(path).map_err(|it| vec![*it])?;
                let template = Template::from_file(&file)?;
                (file, template)
            }
        };
        let whole = if is_stdin { None } else { file.canonicalize().ok() };
        let folder = whole.as_deref().and_then(Path::parent).map(Path::to_owned);
        let mut draft = Draft {
            file: &file,
            base: folder.or_else(|| env::current_dir().ok()).unwrap_or_default(),
            home: env::home_dir().filter(|it| !it.as_os_str().is_empty()),
            common: &template.common,
            problems: Vec::new(),
            warnings: template.warnings.iter().map(ToString::to_string).collect(),
            ports: BTreeMap::new(),
        };
        draft.look_at_flags(&template.common);
        let mut apps = Vec::with_capacity(template.apps.len());
        for app in &template.apps {
            apps.extend(draft.app(app, json));
        }
        let Draft { mut problems, warnings, .. } = draft;
        if !problems.is_empty() {
            problems.sort_by_key(|it| (it.line, it.column));
            problems.dedup();
            return Err(problems);
        }
        for it in &mut apps {
            it.order.template_path = whole.clone();
            it.order.template_name = template.name.clone();
        }
        // Only now, so that a template with mistakes leaves nothing behind.
        logs::place(&mut apps).map_err(|it| vec![*it])?;
        Ok(Plan { apps, warnings })
    }
}

impl Draft<'_> {
    fn problem(&mut self, setting: &Setting, message: &str, hint: &str) {
        self.problems.push(setting.problem(self.file, message, hint));
    }

    /// One application; `None` if so much is wrong with it that the rest cannot be judged.
    fn app(&mut self, app: &Settings, json: bool) -> Option<Planned> {
        self.look_at_flags(app);
        let folder = self.app_folder(app)?;
        let app_id = self.app_id(app, &folder)?;
        self.look_at_ports(app, &app_id);
        let mut flags = vec![flags::joined("app-id", &app_id)];
        for it in self.resources(app, &folder) {
            flags.push(flags::joined("resources-path", it));
        }
        if let Some(it) = self.configuration(app, &folder) {
            flags.push(flags::joined("config", it));
        }
        flags.extend(self.flags(app, &folder));
        if json {
            flags.push("--log-as-json".into());
        }
        let variables = self.variables(app);
        let command = self.command(app, &folder, &variables);
        let order = Order {
            variables,
            app_log: self.destination(app, "appLogDestination", "fileAndConsole"),
            sidecar_log: self.destination(app, "daprdLogDestination", "file"),
            cli_pid: std::process::id().cast_signed(),
            ..Order::default()
        };
        Some(Planned { app_id, folder, flags, command, order })
    }

    fn app_folder(&mut self, app: &Settings) -> Option<PathBuf> {
        let setting = app.get("appDirPath")?;
        let folder = self.expanded(setting.words().first()?, &self.base);
        match folder.canonicalize().ok().filter(|it| it.is_dir()) {
            Some(it) => Some(it),
            None => {
                let message = format!("there is no folder {}", folder.display());
                self.problem(setting, &message, "paths are relative to the template");
                None
            }
        }
    }

    fn app_id(&mut self, app: &Settings, folder: &Path) -> Option<String> {
        let given = app.get("appID").filter(|it| it.text().is_some());
        let name = || folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = given.and_then(Setting::text).map_or_else(name, ToOwned::to_owned);
        let Err(e) = components::check_app_id(&id) else { return Some(id) };
        match given.or_else(|| app.get("appDirPath")) {
            Some(it) if given.is_some() => self.problem(it, &e.to_string(), "choose another id"),
            Some(it) => {
                let message =
                    format!("the name of the folder becomes the id of the application, and {e}");
                self.problem(it, &message, "write `appID` as well");
            }
            None => {}
        }
        None
    }

    /// Two processes cannot have one port; found out before one of them is there.
    fn look_at_ports(&mut self, app: &Settings, app_id: &str) {
        for name in
            ["appPort", "daprHTTPPort", "daprGRPCPort", "daprInternalGRPCPort", "metricsPort"]
        {
            let Some(setting) = app.get(name) else { continue };
            let port = setting.text().and_then(|it| it.parse::<u16>().ok()).filter(|it| *it != 0);
            let Some(port) = port else { continue };
            let user = format!("`{name}` of {app_id} in line {}", setting.line);
            if let Some(other) = self.ports.insert(port, user) {
                let message = format!("port {port} is also {other}");
                self.problem(
                    setting,
                    &message,
                    "choose another, or leave it out to get a free one",
                );
            } else if name != "appPort" && crate::ports::announce(Some(port), port, name).is_err() {
                let message = format!("port {port} is in use by another process");
                self.problem(
                    setting,
                    &message,
                    "choose another, or leave it out to get a free one",
                );
            }
        }
    }

    /// The component folders: those of the application, those in its `.dapr`, those in common. None for those that `run`
    /// would take in the folder of the application.
    fn resources(&mut self, app: &Settings, folder: &Path) -> Vec<PathBuf> {
        let common = self.common;
        let own = self.resources_of(app, folder);
        let local = folder.join(".dapr").join("resources");
        match own {
            Some(own) => own,
            None if local.is_dir() => vec![local],
            None => self.resources_of(common, &self.base.clone()).unwrap_or_default(),
        }
    }

    fn resources_of(&mut self, settings: &Settings, base: &Path) -> Option<Vec<PathBuf>> {
        let setting = settings.get("resourcesPaths").or_else(|| settings.get("resourcesPath"))?;
        let words = setting.words().iter().filter(|it| !it.is_empty());
        let folders: Vec<_> = words.map(|it| self.expanded(it, base)).collect();
        for it in folders.iter().filter(|it| !it.is_dir()) {
            let message = format!("there is no folder {}", it.display());
            let hint = format!("paths are relative to {}", base.display());
            self.problem(setting, &message, &hint);
        }
        (!folders.is_empty()).then_some(folders)
    }

    fn configuration(&mut self, app: &Settings, folder: &Path) -> Option<PathBuf> {
        let common = self.common;
        let local = folder.join(".dapr").join("config.yaml");
        let home = self.home.as_ref().map(|it| it.join(".dapr").join("config.yaml"));
        self.configuration_of(app, folder)
            .or_else(|| local.is_file().then_some(local))
            .or_else(|| self.configuration_of(common, &self.base.clone()))
            .or_else(|| home.filter(|it| it.is_file()))
    }

    fn configuration_of(&mut self, settings: &Settings, base: &Path) -> Option<PathBuf> {
        let setting = settings.get("configFilePath")?;
        let path = self.expanded(setting.text()?, base);
        if !path.is_file() {
            let message = format!("there is no file {}", path.display());
            let hint = format!("paths are relative to {}", base.display());
            self.problem(setting, &message, &hint);
        }
        Some(path)
    }

    /// What the application is given by the template: that in common first, so that its own counts.
    fn variables(&self, app: &Settings) -> Vec<(String, String)> {
        let of = |it: &Settings| match it.get("env").map(|it| it.value.clone()) {
            Some(Value::Variables(it)) => it,
            Some(_) | None => Vec::new(),
        };
        [of(self.common), of(app)].concat()
    }

    fn command(
        &mut self,
        app: &Settings,
        folder: &Path,
        variables: &[(String, String)],
    ) -> Vec<String> {
        let Some(setting) = app.get("command") else { return Vec::new() };
        let command = setting.words().to_vec();
        if let Some(program) = command.first() {
            let path =
                variables.iter().rfind(|(name, _)| name == "PATH").map(|(_, it)| it.as_str());
            if let Err(message) = program::check(program, folder, path) {
                self.problem(setting, &message, "check its name, and PATH");
            }
        }
        command
    }

    fn destination(&self, app: &Settings, name: &str, usual: &str) -> Destination {
        let setting = app.get(name).or_else(|| self.common.get(name));
        let word = setting.and_then(Setting::text).unwrap_or(usual);
        // The file has its name when all is known to be well.
        let file = (word != "console").then(PathBuf::new);
        Destination { console: word != "file", file }
    }

    /// A path as it was written, in the folder that it is relative to.
    fn expanded(&self, path: &str, base: &Path) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            (Some(_) | None, _) => base.join(path),
        }
    }

    /// Says what has no effect, and finds values that no sidecar would take.
    fn look_at_flags(&mut self, settings: &Settings) {
        for setting in settings.iter() {
            let place = format!("{}:{}", self.file.display(), setting.line);
            match setting.used() {
                Use::Run => {}
                Use::None(why) => {
                    self.warnings.push(format!("{place}: `{}` has no effect: {why}", setting.name));
                }
                Use::Flag(name) => match flags::check(name, setting) {
                    Err(message) => self.problem(setting, &message, ""),
                    Ok(None) => {}
                    Ok(Some(said)) => {
                        self.warnings.push(format!("{place}: `{}` {said}", setting.name));
                    }
                },
            }
        }
    }

    /// The flags of the sidecar: those of the application, and those in common that it does not have.
    fn flags(&self, app: &Settings, folder: &Path) -> Vec<OsString> {
        let inherited = self.common.iter().filter(|it| app.get(it.name).is_none());
        let mut flags = Vec::new();
        for setting in app.iter().chain(inherited) {
            let Use::Flag(name) = setting.used() else { continue };
            match (name, setting.text()) {
                ("unix-domain-socket", Some(path)) => {
                    flags.push(flags::joined(name, self.expanded(path, folder)));
                }
                _ => flags.extend(flags::flag(name, setting)),
            }
        }
        flags
    }
}

#[cfg(test)]
mod tests;
