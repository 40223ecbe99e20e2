//! What came of it, as text or as JSON.

use serde_json::{Value, json};
use state_layers::Form;

use super::{
    RekeyArgs,
    pass::{Counts, Pass},
};

/// Prints what was found and done, also after a failure.
pub(super) fn print(args: &RekeyArgs, pass: &Pass) {
    let counts = pass.counts.lock();
    match args.json {
        true => anstream::println!("{:#}", as_json(args, pass, &counts)),
        false => anstream::print!("{}", text(args, pass, &counts)),
    }
}

fn text(args: &RekeyArgs, pass: &Pass, counts: &Counts) -> String {
    let mut lines = vec![format!("{}, keys that begin with {:?}:", args.store, pass.prefix)];
    for (form, count) in &counts.found {
        lines.push(format!("{count:>10}  {}", described(form)));
    }
    let done = if args.dry_run { "to be rewritten" } else { "rewritten" };
    let current = described(&pass.cipher.current());
    lines.push(format!("{done}: {}, {current}", counts.rewritten));
    if counts.plain_left > 0 {
        let count = counts.plain_left;
        lines.push(format!("left alone: {count} that are not encrypted; see --from-plaintext"));
    }
    if counts.passed_over > 0 {
        let count = counts.passed_over;
        lines.push(format!("passed over: {count} keys that are not of an application"));
    }
    if counts.unreadable.count > 0 {
        lines.push(format!("left alone: {} that cannot be decrypted", counts.unreadable.count));
        for (key, reason) in &counts.unreadable.named {
            lines.push(format!("    {key:?}: {reason}"));
        }
        if counts.unreadable.count > counts.unreadable.named.len() as u64 {
            lines.push("    ...".to_owned());
        }
    }
    lines.join("\n") + "\n"
}

fn as_json(args: &RekeyArgs, pass: &Pass, counts: &Counts) -> Value {
    let found = counts.found.iter().map(|(form, count)| {
        let (form, key) = parts(form);
        json!({ "form": form, "encryptionKey": key, "count": count })
    });
    let unreadable = counts.unreadable.named.iter();
    let unreadable = unreadable.map(|(key, reason)| json!({ "key": key, "reason": reason }));
    let current = pass.cipher.current();
    let (form, key) = parts(&current);
    json!({
        "store": args.store,
        "prefix": pass.prefix,
        "dryRun": args.dry_run,
        "current": { "form": form, "encryptionKey": key },
        "keys": counts.keys,
        "found": found.collect::<Vec<_>>(),
        "rewritten": counts.rewritten,
        "notEncrypted": counts.plain_left,
        "passedOver": counts.passed_over,
        "unreadable": counts.unreadable.count,
        "unreadableKeys": unreadable.collect::<Vec<_>>(),
    })
}

/// The form of a value in one word, and the key that it names.
fn parts(form: &Form) -> (&'static str, Option<&str>) {
    match form {
        Form::Steadfast(key) => ("steadfast", Some(key)),
        Form::Dapr(key) => ("dapr", Some(key)),
        Form::Damaged => ("damaged", None),
        Form::Plain => ("plain", None),
    }
}

fn described(form: &Form) -> String {
    match parts(form) {
        (form, Some(key)) => format!("under the key {key:?}, in the form {form}"),
        ("plain", None) => "not encrypted".to_owned(),
        (form, None) => form.to_owned(),
    }
}
