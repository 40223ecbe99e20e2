//! Records as lines, in the two forms that tools for Dapr know.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// The longest line, with its end. Source: the project's security goals.
const LINE_BYTES_MAX: usize = 4 << 10;

/// What is cut from a text that is too long is marked with this.
const CUT: &str = "…";

/// Formats records. Source: Dapr's log, which has it from logrus.
#[derive(Debug)]
pub(super) struct Lines {
    json: bool,
    /// What every record has.
    own: [(&'static str, String); 5],
}

/// A record as texts.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, String>,
}

impl Lines {
    pub(super) fn new(app_id: &str, json: bool) -> Lines {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let own = [
            ("app_id", app_id.to_owned()),
            ("instance", host),
            ("scope", "dapr.runtime".to_owned()),
            ("type", "log".to_owned()),
            ("ver", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Lines { json, own }
    }

    fn line(&self, level: &Level, time: SystemTime, mut fields: Fields) -> String {
        for (name, value) in &self.own {
            fields.others.entry(name).or_insert_with(|| value.clone());
        }
        let time = humantime::format_rfc3339_nanos(time).to_string();
        let level = match *level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let mut text_bytes_max = LINE_BYTES_MAX;
        loop {
            let line = match self.json {
                true => json(&time, level, &fields),
                false => text(&time, level, &fields),
            };
            if line.len() <= LINE_BYTES_MAX {
                return line;
            }
            // Escapes and the number of fields decide how much is left for each.
            text_bytes_max /= 2;
            fields.cut(text_bytes_max);
        }
    }
}

impl Fields {
    fn cut(&mut self, bytes_max: usize) {
        for text in self.others.values_mut().chain([&mut self.message]) {
            if text.len() > bytes_max {
                text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(CUT.len())));
                text.push_str(CUT);
            }
        }
    }
}

fn text(time: &str, level: &str, fields: &Fields) -> String {
    let mut line = format!("time={time:?} level={level} msg={}", Quoted(&fields.message));
    for (name, value) in &fields.others {
        line += &format!(" {name}={}", Quoted(value));
    }
    line.push('\n');
    line
}

fn json(time: &str, level: &str, fields: &Fields) -> String {
    let own = [("time", time), ("level", level), ("msg", &fields.message)];
    let others = fields.others.iter().map(|(name, value)| (*name, value.as_str()));
    let all = own.into_iter().chain(others);
    let object: Map<String, Value> =
        all.map(|(name, value)| (name.to_owned(), value.into())).collect();
    format!("{}\n", Value::Object(object))
}

/// A value of a field, in quotes if it has anything but these characters. Source: logrus.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |it: char| it.is_ascii_alphanumeric() || "-._/@^+".contains(it);
        match self.0.chars().all(plain) {
            true => f.write_str(self.0),
            false => write!(f, "{:?}", self.0),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writer.write_str(&self.line(event.metadata().level(), SystemTime::now(), fields))
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => drop(self.others.insert(name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: bool, message: &str, others: &[(&'static str, &str)]) -> String {
        let mut lines = Lines::new("cart", json);
        lines.own[1].1 = "pod-1".to_owned();
        lines.own[4].1 = "1.2.3".to_owned();
        let others = others.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let fields = Fields { message: message.to_owned(), others };
        lines.line(&Level::WARN, SystemTime::UNIX_EPOCH, fields)
    }

    #[test]
    fn a_record_has_the_form_of_dapr() {
        let more = [("component", "a b"), ("scope", "dapr.runtime.http-info")];
        assert_eq!(
            line(false, "say \"hi\"\nnow", &more),
            "time=\"1970-01-01T00:00:00.000000000Z\" level=warning msg=\"say \\\"hi\\\"\\nnow\" \
             app_id=cart component=\"a b\" instance=pod-1 scope=dapr.runtime.http-info type=log \
             ver=1.2.3\n"
        );
        assert!(line(false, "plain/word", &[]).contains(" msg=plain/word app_id=cart "));
        let json: Value = serde_json::from_str(&line(true, "say \"hi\"", &more)).unwrap();
        assert_eq!(json["msg"], "say \"hi\"");
        assert_eq!(json["scope"], "dapr.runtime.http-info");
        for name in ["time", "level", "type", "instance", "ver", "app_id"] {
            assert!(json[name].is_string(), "{name}");
        }
    }

    #[test]
    fn no_line_is_longer_than_four_kibibytes() {
        for json in [true, false] {
            for message in ["é\u{1b}\n".repeat(9000), "x".repeat(9000)] {
                let line = line(json, &message, &[("error", &message), ("useragent", &message)]);
                assert!(line.len() <= LINE_BYTES_MAX && line.len() > 500, "{}", line.len());
                assert_eq!(line.matches('\n').count(), 1);
                assert!(line.ends_with('\n') && !line.contains('\u{1b}'));
            }
        }
    }
}
