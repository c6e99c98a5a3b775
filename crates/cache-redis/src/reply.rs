//! What a server answers: a word, then values.

use std::collections::HashMap;
use std::str::FromStr;

use downbeat_core::cache::CacheError;
use downbeat_core::time::Timestamp;
use redis::Value;
use serde::de::DeserializeOwned;

/// What was answered is not what a verb answers.
pub(crate) fn corrupt(what: &str) -> CacheError {
    CacheError::Corrupt { key: what.to_owned(), source: None }
}

fn broken(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CacheError {
    CacheError::Corrupt { key: what.to_owned(), source: Some(source.into()) }
}

/// A value as text.
pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A value as a list; none for a value of another kind.
pub(crate) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(name, value)| [name, value]).collect(),
        _ => Vec::new(),
    }
}

/// A status, a phase: what is one word in JSON.
pub(crate) fn word<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, CacheError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| broken(what, error))
}

pub(crate) fn json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, CacheError> {
    serde_json::from_str(text).map_err(|error| broken(what, error))
}

pub(crate) fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, CacheError>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| broken(what, error))
}

/// A script's answer, to be taken apart from the left.
#[derive(Debug)]
pub(crate) struct Reply {
    script: &'static str,
    pub(crate) word: String,
    rest: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn new(script: &'static str, value: Value) -> Result<Self, CacheError> {
        let mut rest = list(value).into_iter();
        let word = rest.next().and_then(text).ok_or_else(|| corrupt(&format!("answer of {script}")))?;
        Ok(Self { script, word, rest })
    }

    /// It says what no answer of this script says.
    pub(crate) fn unknown(&self) -> CacheError {
        corrupt(&format!("answer of {}: {}", self.script, self.word))
    }

    pub(crate) fn value(&mut self) -> Result<Value, CacheError> {
        self.rest.next().ok_or_else(|| self.unknown())
    }

    pub(crate) fn rest(self) -> impl Iterator<Item = Value> {
        self.rest
    }

    /// The next text, if there is one.
    pub(crate) fn maybe_text(&mut self) -> Option<String> {
        self.rest.next().and_then(text)
    }

    /// What is behind the answer so far, as the answer of another script.
    pub(crate) fn behind(mut self, script: &'static str) -> Result<Self, CacheError> {
        let word = self.maybe_text().ok_or_else(|| corrupt(&format!("answer of {script}")))?;
        Ok(Self { script, word, rest: self.rest })
    }

    pub(crate) fn text(&mut self) -> Result<String, CacheError> {
        let value = self.value()?;
        text(value).ok_or_else(|| self.unknown())
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Value>, CacheError> {
        self.value().map(list)
    }

    /// Texts that are ids of some kind.
    pub(crate) fn ids<T: FromStr>(&mut self) -> Result<Vec<T>, CacheError>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let what = self.script;
        let ids = self.list()?.into_iter();
        ids.map(|id| parse(what, &text(id).ok_or_else(|| corrupt(what))?)).collect()
    }

    pub(crate) fn number(&mut self) -> Result<u64, CacheError> {
        let number = self.text()?;
        parse(self.script, &number)
    }

    pub(crate) fn moment(&mut self) -> Result<Timestamp, CacheError> {
        self.number().map(Timestamp::from_millis)
    }

    /// A moment, or an empty text for none.
    pub(crate) fn maybe_moment(&mut self) -> Result<Option<Timestamp>, CacheError> {
        let text = self.text()?;
        maybe_moment(self.script, &text)
    }
}

/// A moment, or an empty text for none.
pub(crate) fn maybe_moment(what: &str, text: &str) -> Result<Option<Timestamp>, CacheError> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(what, text).map(|millis| Some(Timestamp::from_millis(millis)))
}

/// A hash: names with their values.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Where it came from, for errors.
    pub(crate) of: String,
    fields: HashMap<String, String>,
}

impl Fields {
    pub(crate) fn new(of: impl Into<String>, value: Value) -> Self {
        let mut fields = HashMap::new();
        let mut values = list(value).into_iter();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            if let (Some(name), Some(value)) = (text(name), text(value)) {
                fields.insert(name, value);
            }
        }
        Self { of: of.into(), fields }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn maybe(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, CacheError> {
        self.maybe(name).ok_or_else(|| corrupt(&format!("{} {name}", self.of)))
    }

    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<T, CacheError>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text = self.text(name)?;
        parse(&self.of, text).map_err(|error| self.in_field(name, error))
    }

    pub(crate) fn maybe_parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, CacheError>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let parsed = self.maybe(name).filter(|text| !text.is_empty()).map(|text| parse(&self.of, text));
        parsed.transpose().map_err(|error| self.in_field(name, error))
    }

    /// Names the field that an error is about.
    fn in_field(&self, name: &str, error: CacheError) -> CacheError {
        match error {
            CacheError::Corrupt { source, .. } => {
                CacheError::Corrupt { key: format!("{} {name}", self.of), source }
            }
            error => error,
        }
    }

    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T, CacheError> {
        word(&self.of, self.text(name)?).map_err(|error| self.in_field(name, error))
    }

    pub(crate) fn moment(&self, name: &str) -> Result<Timestamp, CacheError> {
        self.parsed(name).map(Timestamp::from_millis)
    }

    pub(crate) fn maybe_moment(&self, name: &str) -> Result<Option<Timestamp>, CacheError> {
        Ok(self.maybe_parsed(name)?.map(Timestamp::from_millis))
    }
}
