//! A state store for those who have not configured one.

use std::{
    env,
    ffi::OsStr,
    fmt,
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context;
use clap::builder::TypedValueParser;
use percent_encoding::percent_decode_str;
use state_config::{Component, KeyPrefix, Source};
use url::Url;

/// The name that Dapr's own tools and examples use.
pub(crate) const STORE_NAME: &str = "statestore";

const FILE_NAME: &str = "statestore.yaml";

/// A store on the command line: the type of its component, and its settings.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreUrl {
    component_type: &'static str,
    version: &'static str,
    settings: Vec<(&'static str, String)>,
}

/// What `--state-store` takes.
const FORMS: &str = "use memory, sqlite:///path, sqlite://relative/path, \
                     redis://[user:password@]host[:port][/db] (rediss:// for TLS), \
                     postgres://[user:password@]host[:port][/database], \
                     mysql://[user:password@]host[:port][/schema], or \
                     etcd://[user:password@]host[:port][,host...][/prefix]; other stores are configured by a component \
                     file";

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<StoreUrl, String> {
        if text == "memory" {
            return Ok(StoreUrl::new("state.in-memory", Vec::new()));
        }
        match text.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => {
                Ok(StoreUrl::new("state.sqlite", vec![("connectionString", path.to_owned())]))
            }
            Some(("redis" | "rediss", _)) => redis(text),
            // What is in it, the store knows better; the second layout is the better one for a new table.
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Ok(StoreUrl {
                version: "v2",
                ..StoreUrl::new("state.postgresql", vec![("connectionString", text.to_owned())])
            }),
            Some(("mysql", _)) => mysql(text),
            Some(("etcd", rest)) => etcd(rest),
            _ => Err(FORMS.to_owned()),
        }
    }
}

/// Makes the form that Go's driver takes, which the component's `connectionString` is.
fn mysql(text: &str) -> Result<StoreUrl, String> {
    let (url, host) = parsed(text)?;
    let mut login = decoded(url.username())?;
    if let Some(password) = url.password() {
        login = format!("{login}:{}", decoded(password)?);
    }
    if !login.is_empty() {
        login.push('@');
    }
    let port = url.port().unwrap_or(3306);
    let mut settings = vec![("connectionString", format!("{login}tcp({host}:{port})/"))];
    let schema = decoded(url.path().trim_start_matches('/'))?;
    if !schema.is_empty() {
        settings.push(("schemaName", schema));
    }
    Ok(StoreUrl::new("state.mysql", settings))
}

/// Reads a URL that may name several servers, which no parser of URLs does.
fn etcd(rest: &str) -> Result<StoreUrl, String> {
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if hosts.split(',').any(str::is_empty) {
        return Err(FORMS.to_owned());
    }
    let with_port = |host: &str| match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:2379"),
    };
    let endpoints: Vec<String> = hosts.split(',').map(with_port).collect();
    let mut settings = vec![("endpoints", endpoints.join(","))];
    if !login.is_empty() {
        let (user, password) = login.split_once(':').ok_or("a user of etcd has a password")?;
        settings.push(("username", decoded(user)?));
        settings.push(("password", decoded(password)?));
    }
    if !prefix.is_empty() {
        settings.push(("keyPrefixPath", decoded(prefix)?));
    }
    Ok(StoreUrl { version: "v2", ..StoreUrl::new("state.etcd", settings) })
}

/// A URL, which has no options, and its host.
fn parsed(text: &str) -> Result<(Url, String), String> {
    let url = Url::parse(text).map_err(|e| format!("this is no URL: {e}; {FORMS}"))?;
    let host = url.host_str().filter(|it| !it.is_empty()).ok_or(FORMS)?.to_owned();
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a URL takes no options: write a component file for them".to_owned());
    }
    Ok((url, host))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|it| it.into_owned()).map_err(|_| "user and password must be UTF-8".to_owned())
}

/// Reads the form of URL that the tools of Redis use.
fn redis(text: &str) -> Result<StoreUrl, String> {
    let (url, host) = parsed(text)?;
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut settings = vec![("redisHost", host)];
    if !url.username().is_empty() {
        settings.push(("redisUsername", decoded(url.username())?));
    }
    if let Some(password) = url.password() {
        settings.push(("redisPassword", decoded(password)?));
    }
    match url.path().trim_start_matches('/') {
        "" => {}
        database if database.parse::<u32>().is_ok() => {
            settings.push(("redisDB", database.to_owned()))
        }
        _ => return Err("after the host comes the number of a database, such as /0".to_owned()),
    }
    if url.scheme() == "rediss" {
        settings.push(("enableTLS", "true".to_owned()));
    }
    Ok(StoreUrl::new("state.redis", settings))
}

/// What stands for the file of a component that has none.
pub(crate) const FLAG: &str = "--state-store";

impl StoreUrl {
    fn new(component_type: &'static str, settings: Vec<(&'static str, String)>) -> StoreUrl {
        StoreUrl { component_type, version: "v1", settings }
    }

    /// The component that a file for this store would make.
    pub(crate) fn component(&self) -> Component {
        Component {
            name: STORE_NAME.to_owned(),
            component_type: self.component_type.to_owned(),
            version: self.version.to_owned(),
            properties: self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            key_prefix: KeyPrefix::default(),
            ignore_errors: false,
            init_timeout: std::time::Duration::from_secs(5),
            source: Source { file: PathBuf::from(FLAG), line: 1 },
        }
    }

    /// Whether the store is somewhere else, and worth a component file that names it.
    pub(crate) fn is_server(&self) -> bool {
        !matches!(self.component_type, "state.in-memory" | "state.sqlite")
    }

    /// Whether a component is this store under the same name.
    pub(crate) fn is(&self, component: &Component) -> bool {
        let own = self.component();
        let (these, those) = (&own.properties, &component.properties);
        component.name == own.name
            && component.component_type.eq_ignore_ascii_case(&own.component_type)
            && (component.version == own.version
                || (component.has_no_version() && own.version == "v1"))
            && these.names().count() == those.names().count()
            && these.names().all(|name| these.get(name) == those.get(name))
    }
}

/// Reads `--state-store` without ever showing what was written there: it may have a password in it.
#[derive(Clone, Debug)]
pub(crate) struct StoreUrlParser;

impl TypedValueParser for StoreUrlParser {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, clap::Error> {
        let text = value.to_str().ok_or_else(|| "a URL is UTF-8".to_owned());
        text.and_then(str::parse).map_err(|message| {
            let message = format!("--state-store: {message}");
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl fmt::Debug for StoreUrl {
    /// Hides the settings: one of them may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.component_type).finish()
    }
}

/// The folder of component files for those who have not named one: `components` here if there is
/// one, else that of Dapr's own tools.
pub(crate) fn default_folder() -> PathBuf {
    let local = PathBuf::from("components");
    match env::home_dir() {
        Some(home) if !local.is_dir() => home.join(".dapr").join("components"),
        _ => local,
    }
}

/// The file with a Configuration for those who have not named one: that of Dapr's own tools, if there is one.
pub(crate) fn default_configuration() -> Option<PathBuf> {
    let file = env::home_dir()?.join(".dapr").join("config.yaml");
    file.is_file().then_some(file)
}

/// Writes `statestore.yaml` for a SQLite database into `folder`, and returns the paths of both.
/// `None` if the file is there already: it is never replaced.
pub(crate) fn write_default(folder: &Path) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    let folder = created(folder)?;
    let data = folder.parent().unwrap_or(&folder).join("data");
    // What applications keep is nobody else's business.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data)
        .with_context(|| format!("cannot create the data folder {}", data.display()))?;
    let database = data.join("statestore.db");
    let settings = vec![("connectionString", database.to_string_lossy().into_owned())];
    let store = StoreUrl::new("state.sqlite", settings);
    Ok(place(&folder, &store)?.map(|file| (file, database)))
}

/// Writes `statestore.yaml` for `store` into `folder`, and returns its path. `None` if the file is there already:
/// it is never replaced.
pub(crate) fn write_component(folder: &Path, store: &StoreUrl) -> anyhow::Result<Option<PathBuf>> {
    place(&created(folder)?, store)
}

fn created(folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the components folder {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// Makes a file that is never seen half written, and never replaces one: two that are started at
/// the same time both end up with the same.
fn place(folder: &Path, store: &StoreUrl) -> anyhow::Result<Option<PathBuf>> {
    let file = folder.join(FILE_NAME);
    let draft = file.with_extension(format!("{}.draft", std::process::id()));
    let placed = || {
        // There may be a password in it.
        let mut to =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        to.write_all(yaml(store).as_bytes())?;
        let placed = fs::hard_link(&draft, &file);
        fs::remove_file(&draft)?;
        placed
    };
    match placed() {
        Ok(()) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot write {}", file.display())),
    }
}

fn yaml(store: &StoreUrl) -> String {
    let mut text = format!(
        "# The state store of the applications that run here, written by `steadfast run`.
# Replace this file to switch the store: the applications do not change.
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: {STORE_NAME}
spec:
  type: {}
  version: {}
  metadata:
",
        store.component_type, store.version
    );
    for (name, value) in &store.settings {
        // A JSON string is a YAML string, whatever is in it.
        let value = serde_json::Value::from(value.as_str());
        text += &format!("  - name: {name}\n    value: {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_file_is_read_back_and_never_replaced() {
        let folder = tempfile::TempDir::new().unwrap();
        let components = folder.path().join("a \"quoted\" name").join("components");
        let (file, database) = write_default(&components).unwrap().unwrap();
        let context = state_config::Context { app_id: "a".to_owned(), ..Default::default() };
        let resources = state_config::load(std::slice::from_ref(&components), &context);
        assert!(resources.problems.is_empty(), "{:?}", resources.problems);
        let connection = resources.components[0].properties.get("connectionString");
        assert_eq!(connection, database.to_str());
        fs::write(&file, "mine").unwrap();
        assert_eq!(write_default(&components).unwrap(), None);
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }

    #[test]
    fn a_store_url_is_a_path_or_memory() {
        let settings = |url: &str| StoreUrl::from_str(url).unwrap().settings;
        assert_eq!(settings("memory"), []);
        let sqlite = |path: &str| [("connectionString", path.to_owned())];
        assert_eq!(settings("sqlite:///a/b.db"), sqlite("/a/b.db"));
        assert_eq!(settings("sqlite://b.db"), sqlite("b.db"));
        assert!("sqlite://".parse::<StoreUrl>().is_err());
    }

    #[test]
    fn a_url_of_redis_has_a_host_and_perhaps_more() {
        let settings = |url: &str| StoreUrl::from_str(url).map(|it| it.settings);
        let own = |it: &[(&'static str, &str)]| {
            Ok(it.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
        };
        assert_eq!(settings("redis://db"), own(&[("redisHost", "db")]));
        assert_eq!(
            settings("redis://[::1]:1/2"),
            own(&[("redisHost", "[::1]:1"), ("redisDB", "2")])
        );
        let all = own(&[
            ("redisHost", "db:6380"),
            ("redisUsername", "me"),
            ("redisPassword", "p@ss"),
            ("enableTLS", "true"),
        ]);
        assert_eq!(settings("rediss://me:p%40ss@db:6380"), all);
        for wrong in
            ["redis://", "redis://db/one", "redis://db?x=1", "redis://db:x", "mongodb://db"]
        {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", StoreUrl::from_str("redis://:hunter2@db")).contains("hunter2"));
    }

    #[test]
    fn urls_of_other_servers_become_their_settings() {
        let settings = |url: &str| StoreUrl::from_str(url).map(|it| (it.version, it.settings));
        let own = |version, it: &[(&'static str, &str)]| {
            Ok((version, it.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()))
        };
        let postgres = "postgres://me:p%40ss@one,two:5433/shop?sslmode=verify-full";
        assert_eq!(settings(postgres), own("v2", &[("connectionString", postgres)]));
        assert_eq!(
            settings("mysql://me:p%40s%2Fs@db/shop"),
            own("v1", &[("connectionString", "me:p@s/s@tcp(db:3306)/"), ("schemaName", "shop")])
        );
        assert_eq!(
            settings("mysql://db:3307"),
            own("v1", &[("connectionString", "tcp(db:3307)/")])
        );
        assert_eq!(
            settings("etcd://root:p%40ss@one,two:1,[::1]:2/shop"),
            own(
                "v2",
                &[
                    ("endpoints", "one:2379,two:1,[::1]:2"),
                    ("username", "root"),
                    ("password", "p@ss"),
                    ("keyPrefixPath", "shop"),
                ]
            )
        );
        for wrong in ["postgres://", "mysql://", "mysql://db?tls=true", "etcd://", "etcd://a,,b"] {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_file_of_a_url_is_the_same_store() {
        let folder = tempfile::TempDir::new().unwrap();
        let url: StoreUrl = "redis://me:p%22%20x@db:6380/3".parse().unwrap();
        let file = write_component(folder.path(), &url).unwrap().unwrap();
        let context = state_config::Context { app_id: "a".to_owned(), ..Default::default() };
        let resources = state_config::load(&[folder.path().to_owned()], &context);
        assert!(url.is(&resources.components[0]), "{:?}", resources.components);
        assert!(!StoreUrl::from_str("redis://db:6380/3").unwrap().is(&resources.components[0]));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
