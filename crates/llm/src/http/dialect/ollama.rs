//! Ollama's own chat.
//!
//! Its format, not the one of OpenAI that it has too: only this one takes a schema and the size of the
//! context.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md>

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Dialect, Ending, MAX_TOKENS, Reading, Tokens, alike, bearer, number, string, structured};
use crate::http::conversation::Request;
use crate::http::key::Key;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ollama;

/// The least and the greatest context that is asked for, in tokens.
const CONTEXT: (usize, usize) = (8_192, 131_072);

impl Dialect for Ollama {
    fn path(&self, _model: &str) -> String {
        "api/chat".to_owned()
    }

    fn headers(&self, key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)> {
        bearer(key)
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let messages = alike::messages(request, |call, message| {
            message.insert("tool_name".to_owned(), json!(call.name));
        });
        // Its default is 4,096 tokens, and what is before that is cut off without a word.
        let letters: usize = messages.iter().map(|message| message.to_string().len()).sum();
        let context = (letters / 3).saturating_add(4_096).next_power_of_two().clamp(CONTEXT.0, CONTEXT.1);
        let mut body = json!({
            "model": request.model, "messages": messages, "stream": false,
            "options": { "num_ctx": context, "num_predict": MAX_TOKENS },
        });
        let Some(object) = body.as_object_mut() else { return body };
        if let Some((_, schema)) = request.answer.filter(|_| request.native) {
            object.insert("format".to_owned(), schema.clone());
        }
        alike::offer_tools(request, object);
        body
    }

    fn read(&self, request: &Request<'_>, body: &Value) -> Result<Reading, String> {
        let message = body.get("message").ok_or("it has no `message`")?;
        let text = string(message, "/content");
        let ending = if string(body, "/done_reason") == "length" { Ending::Length } else { Ending::Well };
        Ok(Reading {
            said: message.clone(),
            structured: structured(request, &text),
            text,
            calls: alike::calls(message),
            ending,
            tokens: Tokens {
                input: number(body, "/prompt_eval_count"),
                output: number(body, "/eval_count"),
                cached: 0,
            },
            model: string(body, "/model"),
        })
    }
}
