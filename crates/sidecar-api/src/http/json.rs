//! The JSON bodies of requests, read as Go's decoder reads them, because clients rely on it:
//! names of fields in any case, `null` as absent, unknown fields ignored, the last of several
//! fields of one name.
//!
//! Values are slices of the body: they are never decoded.

use std::{borrow::Cow, fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use state::{Format, Metadata, Write};

use crate::{
    ApiError, StoreHandle,
    vocabulary::{self, BULK_LEN_MAX, Options, Wish},
};

/// Defines a struct of optional fields that is read in Go's manner.
macro_rules! go_struct {
    ($(#[$doc:meta])* struct $name:ident<$a:lifetime> { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<$a> {
            $(pub(super) $field: Option<$type>,)*
            lifetime: PhantomData<&$a ()>,
        }

        impl<'de: $a, $a> Deserialize<'de> for $name<$a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields<$a>($name<$a>);

                impl<'de: $a, $a> Visitor<'de> for Fields<$a> {
                    type Value = $name<$a>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<$name<$a>, M::Error> {
                        while let Some(Name(name)) = map.next_key()? {
                            $(if name.eq_ignore_ascii_case(stringify!($field)) {
                                self.0.$field = map.next_value().map_err(|e| in_field(&name, &e))?;
                                continue;
                            })*
                            map.next_value::<IgnoredAny>()?;
                        }
                        Ok(self.0)
                    }
                }

                deserializer.deserialize_map(Fields($name::default()))
            }
        }
    };
}

go_struct! {
    /// One item of a save, or the `request` of one operation of a transaction.
    struct Item<'a> {
        key: Text<'a>,
        value: &'a RawValue,
        etag: Text<'a>,
        metadata: Map,
        options: ItemOptions<'a>,
    }
}

go_struct! {
    struct ItemOptions<'a> {
        concurrency: Text<'a>,
        consistency: Text<'a>,
    }
}

go_struct! {
    /// The body of a bulk get.
    struct GetMany<'a> {
        keys: List<Text<'a>>,
        parallelism: i64,
        metadata: Map,
    }
}

go_struct! {
    /// The body of a transaction.
    struct Transaction<'a> {
        operations: List<Operation<'a>>,
        metadata: Map,
    }
}

go_struct! {
    struct Operation<'a> {
        operation: Text<'a>,
        request: Item<'a>,
    }
}

/// A list of which no more is kept than a request may have: an element takes 3 bytes of a body,
/// and many times that once it is read.
#[derive(Debug)]
pub(super) struct List<T> {
    /// The first of the elements, up to [`BULK_LEN_MAX`].
    pub(super) kept: Vec<T>,
    /// How many there are in all.
    pub(super) len: usize,
}

/// What a request gives to all its items.
#[derive(Debug, Default)]
pub(super) struct Shared<'a> {
    /// From the query and the headers.
    pub(super) options: Options<'a>,
    /// From `metadata.*` of the query; wins over an item's own.
    pub(super) metadata: Metadata,
}

impl<'a> Shared<'a> {
    /// A request about one key and nothing else.
    pub(super) fn wish(self, key: &'a str, etag: &'a str) -> Wish<'a> {
        Wish { key, etag, options: self.options, metadata: self.metadata }
    }
}

impl Item<'_> {
    pub(super) fn put(self, shared: &Shared<'_>, store: &StoreHandle) -> Result<Write, ApiError> {
        // A copy of the exact size: a slice would keep the connection's whole buffer alive.
        let value = Bytes::copy_from_slice(self.value.map_or("null", RawValue::get).as_bytes());
        self.meant(shared, |it| it.put(store, value, Format::Json))
    }

    pub(super) fn delete(
        self,
        shared: &Shared<'_>,
        store: &StoreHandle,
    ) -> Result<Write, ApiError> {
        self.meant(shared, |it| it.delete(store))
    }

    /// What it says, with what is said for all.
    fn meant<T>(
        self,
        shared: &Shared<'_>,
        make: impl FnOnce(Wish<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let options = self.options.unwrap_or_default();
        let options = Options {
            concurrency: options.concurrency.map(|it| it.0),
            consistency: options.consistency.map(|it| it.0),
        };
        let own = self.metadata.unwrap_or_default().0;
        let metadata = vocabulary::merged(own, &shared.metadata)?;
        make(Wish {
            key: self.key.as_ref().map_or("", |it| &it.0),
            etag: self.etag.as_ref().map_or("", |it| &it.0),
            options: options.or(&shared.options),
            metadata,
        })
    }
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List { kept: Vec::new(), len: 0 }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct Elements<T>(List<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<List<T>, S::Error> {
                while self.0.kept.len() < BULK_LEN_MAX {
                    let Some(element) = seq.next_element()? else { break };
                    self.0.kept.push(element);
                }
                self.0.len = self.0.kept.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    self.0.len += 1;
                }
                Ok(self.0)
            }
        }

        deserializer.deserialize_seq(Elements(List::default()))
    }
}

/// A string. A number or a boolean counts as its text, exactly as it was written: an ETag of a
/// store whose versions are numbers is easily sent as one, and so is a `ttlInSeconds`.
///
/// Differs from Dapr: it refuses the request.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Name<'de>>(raw)
                .map(|it| Text(it.0))
                .map_err(de::Error::custom),
            Some(b'{') => Err(de::Error::custom("invalid type: object, expected a string")),
            Some(b'[') => Err(de::Error::custom("invalid type: array, expected a string")),
            Some(b'n') => Ok(Text(Cow::Borrowed(""))),
            _ => Ok(Text(Cow::Borrowed(raw))),
        }
    }
}

/// An object of texts. A `null` in it counts as absent.
#[derive(Debug, Default)]
pub(super) struct Map(pub(super) Metadata);

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Map;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Map, M::Error> {
                let mut entries = Metadata::new();
                while let Some(Name(name)) = map.next_key()? {
                    let value: Option<Text<'de>> =
                        map.next_value().map_err(|e| in_field(&name, &e))?;
                    if let Some(Text(value)) = value {
                        entries.insert(name.into_owned(), value.into_owned());
                    }
                }
                Ok(Map(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// A JSON string, borrowed from the body unless it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'a>, D::Error> {
        struct Borrow;

        impl<'de> Visitor<'de> for Borrow {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrow)
    }
}

fn in_field<E: de::Error>(name: &str, e: &E) -> E {
    // serde_json finds the position at the end of the text and keeps it there.
    E::custom(format!("field \"{name}\": {e}"))
}

/// Reads a body, or `T::default()` from a body that is `null`.
///
/// Differs from Dapr: nothing may follow the first JSON value. Dapr ignores what does, and with
/// it what the caller meant by it.
pub(super) fn parse<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("EOF: the body is empty".to_owned());
    }
    // All of it, once: of bytes, serde_json looks at each text, but not at those in fields that nobody knows.
    let parsed: Option<T> = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text).map_err(|e| e.to_string())?,
        Err(e) => {
            // What is wrong before that is the better reason: the body may be no JSON at all.
            serde_json::from_slice::<Option<T>>(body).map_err(|e| e.to_string())?;
            return Err(format!("invalid unicode code point at byte {}", e.valid_up_to()));
        }
    };
    Ok(parsed.unwrap_or_default())
}

/// If the body is a JSON string, the text in it: `requests.post(url, json="[...]")`, as the
/// how-to guide has it, encodes a text that is JSON already.
pub(super) fn unwrap_string(body: &[u8]) -> Option<String> {
    let starts = body.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'"');
    if starts { serde_json::from_slice(body).ok() } else { None }
}

/// Whether an ETag in a body stands there without quotes and is no number either. The how-to guide
/// builds its bodies with `"etag": {}`, which is right only where versions are numbers.
pub(super) fn has_bare_etag(body: &[u8]) -> bool {
    const NAME: &str = "\"etag\"";
    let body = std::str::from_utf8(body).unwrap_or_default();
    body.match_indices(NAME).any(|(at, _)| {
        let value = body[at + NAME.len()..].trim_start().trim_start_matches(':').trim_start();
        let value = value.split([',', '}']).next().unwrap_or_default().trim_end();
        !value.is_empty() && serde_json::from_str::<&RawValue>(value).is_err()
    })
}

#[cfg(test)]
mod tests;
