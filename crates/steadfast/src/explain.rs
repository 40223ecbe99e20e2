//! `steadfast explain`: under which name a key is stored, and why.

use std::{env, process::ExitCode};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use state_config::{Component, KeyPrefix};

use crate::{
    cli::{ExplainArgs, ExplainCommand, ExplainKeyArgs},
    components, logging,
    opening::{self, Opening},
    scope,
};

pub(crate) fn main(args: &ExplainArgs) -> Result<ExitCode> {
    logging::start_quietly()?;
    match &args.command {
        ExplainCommand::Key(args) => key(args),
    }
}

fn key(args: &ExplainKeyArgs) -> Result<ExitCode> {
    let app_id = args.scope.app_id()?;
    let namespace = env::var("NAMESPACE").ok().filter(|it| !it.is_empty());
    let context = components::context(&app_id, true)?;
    let mut components = components::load(&context, &args.scope.folders())?.usable;
    if let Some(store) = &args.store {
        components = vec![scope::named(store, components, &app_id)?];
    }
    if components.is_empty() {
        bail!("there is no state store for the application {app_id}: see `steadfast components`");
    }
    let openings = opening::openings(&app_id, components, &mut Vec::new())?;
    for it in &openings {
        sidecar_api::key(&args.key, &it.component().name).map_err(|e| {
            let hint = e.extra.hint.as_ref().map_or_else(String::new, |it| format!("; {it}"));
            anyhow::anyhow!("{}{hint}", e.message)
        })?;
    }
    let explained =
        openings.iter().map(|it| Explained::new(it, args, &app_id, namespace.as_deref()));
    let explained: Vec<Explained> = explained.collect();
    if args.json {
        let stores: Vec<Value> = explained.iter().map(Explained::json).collect();
        let all =
            json!({ "key": args.key, "appId": app_id, "namespace": namespace, "stores": stores });
        anstream::println!("{all}");
        return Ok(ExitCode::SUCCESS);
    }
    let of_folder = match args.scope.app_id {
        Some(_) => "",
        None => ", after the current folder; --app-id says another",
    };
    anstream::println!("key          {}", args.key);
    anstream::println!("application  {app_id}{of_folder}");
    anstream::println!(
        "namespace    {}",
        namespace.as_deref().unwrap_or("none, as NAMESPACE is not set")
    );
    for it in &explained {
        anstream::println!("\n{}", it.text());
    }
    Ok(ExitCode::SUCCESS)
}

/// One store's name for a key.
struct Explained {
    name: String,
    component_type: String,
    source: String,
    stored: String,
    prefix: String,
    rule: String,
    why: String,
}

impl Explained {
    fn new(
        opening: &Opening,
        args: &ExplainKeyArgs,
        app_id: &str,
        namespace: Option<&str>,
    ) -> Explained {
        let component = opening.component();
        let (rule, why) = rule(component, app_id, namespace);
        let prefix = opening.key_prefix().to_owned();
        Explained {
            name: component.name.clone(),
            component_type: component.component_type.clone(),
            source: format!("{}:{}", component.source.file.display(), component.source.line),
            stored: format!("{}{prefix}{}", folder(component), args.key),
            prefix,
            rule,
            why,
        }
    }

    fn text(&self) -> String {
        let Explained { name, component_type, source, stored, rule, why, .. } = self;
        format!(
            "{name} ({component_type}, {source})\n  stored as  {stored}\n  rule       {rule}: {why}"
        )
    }

    fn json(&self) -> Value {
        let Explained { name, component_type, source, stored, prefix, rule, why } = self;
        json!({
            "store": name, "type": component_type, "source": source, "storedKey": stored,
            "prefix": prefix, "keyPrefix": rule, "why": why,
        })
    }
}

/// What etcd's component puts before everything, also before the prefix of keys.
fn folder(component: &Component) -> String {
    match component.component_type.eq_ignore_ascii_case("state.etcd") {
        true => format!("{}/", component.properties.get("keyPrefixPath").unwrap_or_default()),
        false => String::new(),
    }
}

/// The value of `keyPrefix`, and what it means here.
fn rule(component: &Component, app_id: &str, namespace: Option<&str>) -> (String, String) {
    match &component.key_prefix {
        KeyPrefix::AppId => {
            let default = match component.properties.get("keyPrefix") {
                Some(_) => "",
                None => ", which is the default",
            };
            let why = format!("the application's id {app_id}, then ||{default}");
            ("keyPrefix appid".to_owned(), why)
        }
        KeyPrefix::Name => {
            let why = format!(
                "the component's name {}, then ||: all applications that use it share keys",
                component.name
            );
            ("keyPrefix name".to_owned(), why)
        }
        KeyPrefix::Namespace => {
            let why = match namespace {
                Some(it) => {
                    format!("the namespace {it}, a dot, the application's id {app_id}, then ||")
                }
                None => format!(
                    "NAMESPACE is not set, so it is the application's id {app_id} alone, then ||"
                ),
            };
            ("keyPrefix namespace".to_owned(), why)
        }
        KeyPrefix::None => {
            let why = "nothing before the key: everyone who uses the database shares keys";
            ("keyPrefix none".to_owned(), why.to_owned())
        }
        KeyPrefix::Literal(text) => {
            let why = "this text, then ||: all applications with it share keys".to_owned();
            (format!("keyPrefix {text}"), why)
        }
    }
}
