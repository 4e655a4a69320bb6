//! Structures that are read from JSON objects and from nothing else.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What a JSON object holds. The structure alone would also be read from a list, as its fields in order, and
/// another reader of the same bytes would see nothing of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Window {
        start: u8,
    }

    #[test]
    fn a_list_is_no_object() {
        let read = |json| serde_json::from_str::<Object<Window>>(json);
        assert_eq!(read(r#"{"start":1}"#).unwrap(), Object(Window { start: 1 }));
        assert!(serde_json::from_str::<Window>("[1]").is_ok(), "what it is for");
        assert!(read("[1]").is_err());
    }
}
