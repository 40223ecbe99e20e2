//! One YAML document as a tree in which every value knows its place.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use crate::problem::Place;

/// A value and where it is written. Has no `Debug`: the value may be a password.
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
    /// Whether it is a number that is written in another way than [`Content`] has it.
    pub(crate) is_rewritten: bool,
}

/// What YAML can say. Numbers are text already, in the form that JSON in Go gives them.
pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping, and where it is written.
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) text: String,
}

impl Node {
    /// The value as text if it is one word or number. `None` for null, lists and mappings.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.content {
            Content::Bool(it) => Some(it.to_string()),
            Content::Number(it) | Content::Text(it) => Some(it.clone()),
            Content::Null | Content::List(_) | Content::Mapping(_) => None,
        }
    }

    /// The value as text, whatever it is: lists and mappings become compact JSON, null is empty.
    pub(crate) fn flattened(&self) -> String {
        match &self.content {
            Content::Null => String::new(),
            Content::Bool(_) | Content::Number(_) | Content::Text(_) => {
                self.scalar().unwrap_or_default()
            }
            Content::List(_) | Content::Mapping(_) => self.json().to_string(),
        }
    }

    /// The value under `name`, in whichever case that is written. Null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.get_nullable(name).filter(|it| !matches!(it.content, Content::Null))
    }

    /// As [`get`](Node::get), but null counts as present.
    pub(crate) fn get_nullable(&self, name: &str) -> Option<&Node> {
        let same = |(key, _): &&(Key, Node)| key.text.eq_ignore_ascii_case(name);
        self.entries().iter().find(same).map(|(_, value)| value)
    }

    /// The entries of a mapping; none of anything else.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.content {
            Content::Mapping(it) => it,
            _ => &[],
        }
    }

    /// What the value is, in words and without saying it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "empty",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }

    /// Moves the whole tree down, for a document that is not its file's first.
    pub(crate) fn shift(&mut self, lines: u64) {
        self.place.line += lines;
        match &mut self.content {
            Content::List(items) => items.iter_mut().for_each(|it| it.shift(lines)),
            Content::Mapping(entries) => {
                for (key, value) in entries {
                    key.place.line += lines;
                    value.shift(lines);
                }
            }
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
        }
    }

    /// Finds the numbers that are written in another way than they are read, such as `007`, in the
    /// lines of the document.
    pub(crate) fn find_rewritten(&mut self, lines: &[&str]) {
        match &mut self.content {
            Content::Number(read) => {
                let line = usize::try_from(self.place.line)
                    .ok()
                    .and_then(|it| lines.get(it.checked_sub(1)?));
                let before =
                    usize::try_from(self.place.column.saturating_sub(1)).unwrap_or(usize::MAX);
                let rest = line.into_iter().flat_map(|it| it.chars().skip(before));
                let ends = |it: &char| it.is_whitespace() || matches!(it, ',' | ']' | '}');
                let written: String = rest.take_while(|it| !ends(it)).collect();
                // Otherwise it is an anchor, an alias or a tag.
                let is_number =
                    written.starts_with(|it: char| it.is_ascii_digit() || "+-.".contains(it));
                self.is_rewritten = is_number && written != *read;
            }
            Content::List(items) => items.iter_mut().for_each(|it| it.find_rewritten(lines)),
            Content::Mapping(entries) => {
                entries.iter_mut().for_each(|(_, value)| value.find_rewritten(lines));
            }
            Content::Null | Content::Bool(_) | Content::Text(_) => {}
        }
    }

    fn json(&self) -> serde_json::Value {
        match &self.content {
            Content::Null => serde_json::Value::Null,
            Content::Bool(it) => (*it).into(),
            // What is not a number in JSON, such as `.inf`, stays text.
            Content::Number(it) => serde_json::from_str(it).unwrap_or_else(|_| it.clone().into()),
            Content::Text(it) => it.clone().into(),
            Content::List(items) => items.iter().map(Node::json).collect(),
            Content::Mapping(entries) => {
                entries.iter().map(|(key, value)| (key.text.clone(), value.json())).collect()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        let place = Place { line: referenced.line(), column: referenced.column() };
        Ok(Node { place, content: value, is_rewritten: false })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Content, E> {
        Ok(Content::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Content, E> {
        Ok(Content::Number(it.to_string()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Content, E> {
        Ok(Content::Number(it.to_string()))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Content, E> {
        Ok(Content::Number(go_number(it)))
    }

    fn visit_str<E>(self, it: &str) -> Result<Content, E> {
        Ok(Content::Text(it.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = mapping.next_entry::<Node, Node>()? {
            let Some(text) = key.scalar() else {
                return Err(A::Error::custom(format_args!("{} cannot be a key", key.kind())));
            };
            entries.push((Key { place: key.place, text }, value));
        }
        Ok(Content::Mapping(entries))
    }
}

/// Writes a number as Go's `encoding/json` does, since Dapr's YAML passes through it: `1.0` is
/// `1`, and there is an exponent outside of 1e-6 to 1e21. Source: encoding/json `floatEncoder`.
fn go_number(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if size < 1.0 { text } else { text.replace('e', "e+") }
}
