//! Deserializes a settings struct from text by name, with the type of each field as the schema.

use std::{collections::btree_map, fmt, str::FromStr};

use serde::{
    de::{
        self, DeserializeOwned, Expected, IntoDeserializer, Unexpected,
        value::{SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{Properties, Property, PropertyError};
use crate::spelling::nearest;

/// The properties as the one struct they are read into.
pub(super) struct Fields<'a>(pub(super) &'a Properties);

impl<'de> de::Deserializer<'de> for Fields<'de> {
    type Error = PropertyError;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, PropertyError> {
        let entries = Entries { rest: self.0.by_lower_case_name.iter(), current: None };
        visitor.visit_map(entries).map_err(|e| e.located_in(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// The names and aliases of the fields of a settings struct.
///
/// A derived `Deserialize` hands them to its deserializer, so this one takes them and gives up.
pub(super) fn fields_of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    // The error only ends the conversation.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

struct FieldNames<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> de::Deserializer<'de> for FieldNames<'_> {
    type Error = PropertyError;

    fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, PropertyError> {
        Err(de::Error::custom("only the names of the fields are wanted"))
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PropertyError> {
        *self.0 = Some(fields);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    rest: btree_map::Iter<'a, String, Property>,
    current: Option<&'a Property>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = PropertyError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, PropertyError> {
        let Some((name, property)) = self.rest.next() else {
            return Ok(None);
        };
        self.current = Some(property);
        let name: StrDeserializer<'_, PropertyError> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, PropertyError> {
        let property = self.current.take().expect("serde asks for a key before its value");
        seed.deserialize(Text(&property.value)).map_err(|e| e.of(property))
    }
}

/// The text of one property, as whatever type its field has.
struct Text<'a>(&'a str);

macro_rules! numbers {
    ($($method:ident $visit:ident $expected:expr,)*) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, PropertyError> {
            visitor.$visit(number(self.0, $expected)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Text<'de> {
    type Error = PropertyError;

    numbers! {
        deserialize_i8 visit_i8 "a whole number from -128 to 127",
        deserialize_i16 visit_i16 "a whole number from -32768 to 32767",
        deserialize_i32 visit_i32 "a whole number from -2147483648 to 2147483647",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_u8 visit_u8 "a whole number from 0 to 255",
        deserialize_u16 visit_u16 "a whole number from 0 to 65535",
        deserialize_u32 visit_u32 "a whole number from 0 to 4294967295",
        deserialize_u64 visit_u64 "a whole number, not negative",
        deserialize_f32 visit_f32 "a number",
        deserialize_f64 visit_f64 "a number",
    }

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, PropertyError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bool<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, PropertyError> {
        // Source: dapr/kit utils `IsTruthy`.
        let word = self.0.trim().to_ascii_lowercase();
        visitor.visit_bool(matches!(word.as_str(), "y" | "yes" | "true" | "t" | "on" | "1"))
    }

    fn deserialize_option<V: de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, PropertyError> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PropertyError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, PropertyError> {
        let items = self.0.split(',').filter(|_| !self.0.is_empty());
        visitor.visit_seq(SeqDeserializer::new(items.map(Text)))
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PropertyError> {
        let word = self.0.trim();
        let variant = variants.iter().find(|it| it.eq_ignore_ascii_case(word)).unwrap_or(&word);
        let variant: StrDeserializer<'_, PropertyError> = (*variant).into_deserializer();
        visitor.visit_enum(variant)
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, PropertyError> for Text<'de> {
    type Deserializer = Text<'de>;

    fn into_deserializer(self) -> Text<'de> {
        self
    }
}

fn number<N: FromStr + Default>(text: &str, expected: &str) -> Result<N, PropertyError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(N::default());
    }
    text.parse().map_err(|_| PropertyError::expected(expected))
}

impl PropertyError {
    fn ours(message: impl Into<String>) -> PropertyError {
        PropertyError { name: None, line: None, message: message.into(), foreign: false }
    }

    fn expected(what: impl fmt::Display) -> PropertyError {
        PropertyError::ours(format!("should be {what}"))
    }

    /// The same error, now that it is known which property it is about.
    fn of(self, property: &Property) -> PropertyError {
        let (name, line) = (Some(property.name.clone()), property.line);
        // A settings struct's own check may quote the value, which may be a password.
        if self.foreign
            && !property.value.is_empty()
            && self.message.contains(property.value.as_str())
        {
            let message = "has a value that is not allowed".to_owned();
            return PropertyError { name, line, message, foreign: false };
        }
        PropertyError { name, line, ..self }
    }

    /// The same error, with the line if it is about a property that is there after all, and with
    /// the one that may have been meant if it is about one that is not.
    fn located_in(self, properties: &Properties) -> PropertyError {
        let Some(name) = self.name.as_deref().filter(|_| self.line.is_none()) else {
            return self;
        };
        if let Some(line) = properties.line_of(name) {
            return PropertyError { line: Some(line), ..self };
        }
        match nearest(name, properties.names()) {
            Some(written) if properties.get(name).is_none() => {
                let message = format!("{}; is `{written}` meant to be it?", self.message);
                PropertyError { message, line: properties.line_of(written), ..self }
            }
            _ => self,
        }
    }
}

/// Replaces those of serde's messages that would quote a value.
impl de::Error for PropertyError {
    fn custom<T: fmt::Display>(message: T) -> PropertyError {
        PropertyError { foreign: true, ..PropertyError::ours(message.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> PropertyError {
        PropertyError::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> PropertyError {
        PropertyError::expected(expected)
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> PropertyError {
        PropertyError::expected(expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> PropertyError {
        PropertyError::expected(format_args!("one of `{}`", expected.join("`, `")))
    }

    fn missing_field(field: &'static str) -> PropertyError {
        PropertyError { name: Some(field.to_owned()), ..PropertyError::ours("is required") }
    }

    fn duplicate_field(field: &'static str) -> PropertyError {
        let error = PropertyError::ours("is given twice, under two of its names");
        PropertyError { name: Some(field.to_owned()), ..error }
    }
}
