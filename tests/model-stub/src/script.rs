//! Which rule answers.

use std::sync::{Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::question::Question;
use crate::rule::Rule;
use crate::server::StubError;

/// An ordered list of rules, and how often each was used.
#[derive(Debug)]
pub(crate) struct Script {
    lines: Vec<Line>,
    used: Mutex<Vec<u64>>,
    issued: Regex,
}

#[derive(Debug)]
struct Line {
    rule: Rule,
    when: Option<Regex>,
}

impl Script {
    pub(crate) fn new(rules: Vec<Rule>) -> Result<Self, StubError> {
        let used = Mutex::new(vec![0; rules.len()]);
        let lines = rules.into_iter().map(Line::new).collect::<Result<_, _>>()?;
        let issued = Regex::new(r"stub_(\d+)_\d+")
            .map_err(|error| StubError::Pattern { pattern: "stub_".to_owned(), source: error })?;
        Ok(Self { lines, used, issued })
    }

    /// The first rule that applies and is not used up, with its number; none if there is no such rule.
    ///
    /// A conversation that runs already, seen by the tool results that come back, stays with the rule
    /// that began it: the ids of its tool calls tell which.
    pub(crate) fn pick(&self, question: &Question) -> Option<(usize, &Rule)> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let running = question.tool_results > 0;
        let began = if running { self.began(question) } else { None };
        let number = self.lines.iter().enumerate().position(|(number, line)| {
            let uses = used.get(number).copied().unwrap_or(0);
            let left = line.rule.times.is_none_or(|times| uses < times);
            if line.rule.turn.is_some() {
                return left && line.applies(question);
            }
            match began {
                Some(began) => began == number,
                None => (left || (running && uses > 0)) && line.applies(question),
            }
        })?;
        let line = self.lines.get(number)?;
        if (!running || line.rule.turn.is_some())
            && let Some(uses) = used.get_mut(number)
        {
            *uses = uses.saturating_add(1);
        }
        Some((number, &line.rule))
    }

    fn began(&self, question: &Question) -> Option<usize> {
        let text = question.body.to_string();
        let number = self.issued.captures_iter(&text).last()?.get(1)?.as_str().parse().ok()?;
        (number < self.lines.len()).then_some(number)
    }
}

impl Line {
    fn new(rule: Rule) -> Result<Self, StubError> {
        let when = rule
            .when
            .as_deref()
            .map(|pattern| {
                RegexBuilder::new(pattern)
                    .case_insensitive(true)
                    .dot_matches_new_line(true)
                    .build()
                    .map_err(|source| StubError::Pattern { pattern: pattern.to_owned(), source })
            })
            .transpose()?;
        Ok(Self { rule, when })
    }

    fn applies(&self, question: &Question) -> bool {
        let rule = &self.rule;
        let schema = || question.schema.as_ref().map(Value::to_string).unwrap_or_default();
        rule.vendor.is_none_or(|vendor| vendor == question.vendor())
            && rule.turn.is_none_or(|turn| turn == question.tool_results)
            && self.when.as_ref().is_none_or(|when| when.is_match(&question.text))
            && (rule.schema_has.is_empty() || {
                let schema = schema();
                rule.schema_has.iter().all(|word| schema.contains(word))
            })
    }
}
