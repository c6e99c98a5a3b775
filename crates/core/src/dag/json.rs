//! Reading JSON of unknown origin without keeping more of it than a DAG can have.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::limits::{MAX_EDGES, MAX_METADATA_BYTES, MAX_TASKS};

/// How many values a text may have when it is read to be explained: a DAG of the largest size in its
/// simplest form has half as many.
const MAX_VALUES: usize = 8_000_000;

/// Reads an object as `T`; a derived struct alone would also take an array of its fields.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Reader<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Reader(PhantomData))
}

/// Reads a list, and gives up at the first element beyond `LIMIT`.
pub(super) fn at_most<'de, D, T, const LIMIT: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Reader<T, const LIMIT: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Reader<T, LIMIT> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {LIMIT}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while let Some(element) = list.next_element()? {
                if kept.len() == LIMIT {
                    return Err(A::Error::invalid_length(LIMIT + 1, &self));
                }
                kept.push(element);
            }
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(Reader::<T, LIMIT>(PhantomData))
}

/// Reads a list of objects, and gives up at the first one beyond `LIMIT`.
pub(super) fn objects<'de, D, T, const LIMIT: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Object<T>(T);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            object(deserializer).map(Self)
        }
    }
    let list = at_most::<D, Object<T>, LIMIT>(deserializer)?;
    Ok(list.into_iter().map(|element| element.0).collect())
}

/// Reads metadata, and gives up when it has more values than could be written within its limit.
pub(super) fn metadata<'de, D>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error>
where
    D: Deserializer<'de>,
{
    let left = Cell::new(MAX_METADATA_BYTES);
    match Bounded::new(&left).deserialize(deserializer)? {
        Value::Object(map) => Ok(map.into_iter().collect()),
        _ => Err(D::Error::custom("metadata must be an object")),
    }
}

/// A text read as JSON, as far as a DAG can use it.
pub(super) struct Loose {
    /// What stands there, without the tasks and edges beyond their limits.
    pub(super) value: Value,
    /// How many tasks there are, kept or not.
    pub(super) tasks: usize,
    /// How many edges there are, kept or not.
    pub(super) edges: usize,
}

/// Why a text could not be read as JSON.
pub(super) enum Unread {
    /// It is none.
    Syntax(serde_json::Error),
    /// It has more values than memory is given for.
    TooMuch,
}

/// Reads a whole text, of any shape.
pub(super) fn read(text: &str) -> Result<Loose, Unread> {
    let left = Cell::new(MAX_VALUES);
    let (tasks, edges) = (Cell::new(0), Cell::new(0));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Bounded {
        left: &left,
        top: Some((&tasks, &edges)),
        list: None,
    };
    let read = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match read {
        Ok(value) => Ok(Loose {
            value,
            tasks: tasks.get(),
            edges: edges.get(),
        }),
        Err(_) if left.get() == 0 => Err(Unread::TooMuch),
        Err(error) => Err(Unread::Syntax(error)),
    }
}

/// Reads any value while `left` lasts. A key that comes twice in an object is an error.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
    /// Set for the draft itself: where to count its tasks and edges.
    top: Option<(&'a Cell<usize>, &'a Cell<usize>)>,
    /// Set for the draft's lists: where to count, and how many to keep.
    list: Option<(&'a Cell<usize>, usize)>,
}

impl<'a> Bounded<'a> {
    fn new(left: &'a Cell<usize>) -> Self {
        Self {
            left,
            top: None,
            list: None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom("too many values"));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = Self::new(self.left);
        let keep = self.list.map_or(usize::MAX, |(_, keep)| keep);
        let mut kept = Vec::new();
        let mut found = 0;
        while found < keep {
            let Some(value) = list.next_element_seed(inner)? else {
                break;
            };
            kept.push(value);
            found += 1;
        }
        if found == keep {
            while list.next_element::<IgnoredAny>()?.is_some() {
                found += 1;
            }
        }
        if let Some((count, _)) = self.list {
            count.set(found);
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let list = match (self.top, key.as_str()) {
                (Some((tasks, _)), "nodes") => Some((tasks, MAX_TASKS)),
                (Some((_, edges)), "edges") => Some((edges, MAX_EDGES)),
                _ => None,
            };
            let inner = Self {
                list,
                ..Self::new(self.left)
            };
            let value = entries.next_value_seed(inner)?;
            if map.contains_key(&key) {
                let key = super::fault::shorten(&key);
                return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
