//! Why something was not done, as RFC 9457 says it: `application/problem+json`.

use downbeat_core::cache::CacheError;
use downbeat_core::dag::DagError;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why something was not done.
///
/// `code` is stable and what programs look at; `detail` is for a person. Of a [`CacheError`] all fields are there
/// beside them, so that a client can make the very same error of them again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// As HTTP says it.
    pub(crate) status: StatusCode,
    /// Which problem, in a word.
    pub(crate) code: String,
    /// What happened, and what to do about it.
    pub(crate) detail: String,
    /// What else is known about it.
    pub(crate) fields: Box<Map<String, Value>>,
}

impl Problem {
    /// A problem without any more fields.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), detail: detail.into(), fields: Box::default() }
    }

    /// With one more field.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Not what the document says is to be sent, each fault with its JSON pointer.
    pub(crate) fn faults(code: &str, status: StatusCode, what: &str, faults: Vec<(String, String)>) -> Self {
        let (count, first) = (faults.len(), faults.first().cloned().unwrap_or_default());
        let place = if first.0.is_empty() { String::new() } else { format!("{}: ", first.0) };
        let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
        let faults =
            faults.into_iter().map(|(pointer, detail)| json!({ "pointer": pointer, "detail": detail }));
        Self::new(status, code, format!("{what}: {place}{}{more}", first.1))
            .with("errors", Value::Array(faults.collect()))
    }

    /// As it is sent.
    pub(crate) fn to_json(&self) -> Value {
        let mut problem = Map::new();
        problem.insert("type".to_owned(), json!(format!("urn:downbeat:problem:{}", self.code)));
        problem.insert("title".to_owned(), json!(title(&self.code)));
        problem.insert("status".to_owned(), json!(self.status.as_u16()));
        problem.insert("detail".to_owned(), json!(self.detail));
        problem.insert("code".to_owned(), json!(self.code));
        for (name, value) in &*self.fields {
            // `status` of a goal is not that of the answer.
            let name = if problem.contains_key(name) { format!("its_{name}") } else { name.clone() };
            problem.insert(name, value.clone());
        }
        Value::Object(problem)
    }

    /// A problem that was sent.
    pub(crate) fn from_json(status: StatusCode, problem: &Value) -> Option<Self> {
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut fields = Box::new(problem.as_object()?.clone());
        for name in ["type", "title", "status", "detail", "code"] {
            fields.remove(name);
            if let Some(value) = fields.remove(&format!("its_{name}")) {
                fields.insert(name.to_owned(), value);
            }
        }
        Some(Self { status, code: text("code")?, detail: text("detail").unwrap_or_default(), fields })
    }

    /// The cache's own error that it tells of; an error about the request or the service else.
    pub(crate) fn into_error(mut self) -> CacheError {
        self.fields.insert("code".to_owned(), json!(self.code));
        match serde_json::from_value(Value::Object(*self.fields)) {
            Ok(error) => error,
            Err(_) if self.status.is_server_error() => CacheError::Failed { reason: self.detail },
            Err(_) => CacheError::Invalid { reason: format!("{} ({})", self.detail, self.code) },
        }
    }
}

/// A code as a phrase.
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// The status that goes with a code: the one table of them.
pub(crate) fn status_of(code: &str) -> StatusCode {
    match code {
        "malformed_json" | "schema_violation" | "invalid_parameter" => StatusCode::BAD_REQUEST,
        "unauthorized" => StatusCode::UNAUTHORIZED,
        "cross_origin" | "foreign_user" => StatusCode::FORBIDDEN,
        "goal_not_found" | "task_not_found" | "agent_not_found" | "record_not_found" | "not_found" => {
            StatusCode::NOT_FOUND
        }
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "request_timeout" => StatusCode::REQUEST_TIMEOUT,
        "goal_exists" | "goal_unfinished" | "tasks_taken" | "agent_name_taken" | "agent_replaced"
        | "lease_lost" | "illegal_move" | "conflict" => StatusCode::CONFLICT,
        "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "unsupported_media_type" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "foreign_host" => StatusCode::MISDIRECTED_REQUEST,
        "invalid" | "invalid_body" | "unsound_dag" => StatusCode::UNPROCESSABLE_ENTITY,
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A problem with the status of its code.
pub(crate) fn problem(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(status_of(code), code, detail)
}

impl From<CacheError> for Problem {
    fn from(error: CacheError) -> Self {
        let detail = error.to_string();
        let mut fields = match serde_json::to_value(&error) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let code = match fields.remove("code") {
            Some(Value::String(code)) => code,
            _ => "failed".to_owned(),
        };
        Self { status: status_of(&code), code, detail, fields: Box::new(fields) }
    }
}

impl From<DagError> for Problem {
    fn from(error: DagError) -> Self {
        let faults = error.faults.iter().map(|fault| (fault.pointer.clone(), fault.kind.to_string()));
        Self::faults("unsound_dag", status_of("unsound_dag"), "the DAG is not sound", faults.collect())
    }
}

#[cfg(test)]
mod tests {
    use downbeat_core::goal::GoalStatus;
    use downbeat_core::ids::{AgentName, GoalId, TaskId, Token};

    use super::*;

    #[test]
    fn an_error_goes_through_a_problem_unchanged() {
        let errors = [
            CacheError::LeaseLost {
                task: TaskId::new("a").unwrap(),
                presented: Token::from_u64(1),
                current: Token::from_u64(2),
                holder: Some(AgentName::new("two").unwrap()),
            },
            CacheError::GoalUnfinished { goal: GoalId::new("g").unwrap(), status: GoalStatus::Active },
            CacheError::TasksTaken {
                goal: GoalId::new("g").unwrap(),
                taken: vec![(TaskId::new("a").unwrap(), GoalId::new("h").unwrap())],
            },
            CacheError::Unavailable { reason: "x".to_owned(), source: None },
            CacheError::Corrupt { key: "k".to_owned(), source: None },
        ];
        for error in errors {
            let said = format!("{error:?}");
            let problem = Problem::from(error);
            assert_ne!(problem.status, StatusCode::OK);
            let sent = problem.to_json();
            assert_eq!(sent["status"], problem.status.as_u16());
            let heard = Problem::from_json(problem.status, &sent).unwrap();
            assert_eq!(heard, problem);
            assert_eq!(format!("{:?}", heard.into_error()), said);
        }
    }

    #[test]
    fn a_problem_that_no_cache_has_is_about_the_request() {
        let said = problem("body_too_large", "too large").into_error();
        assert!(matches!(said, CacheError::Invalid { reason } if reason.contains("too large")));
    }
}
