//! OpenAI Chat Completions: what servers of other vendors speak, local ones included.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Dialect, Ending, Reading, Tokens, alike, bearer, number, string, structured};
use crate::http::conversation::Request;
use crate::http::key::Key;
use crate::schema::strict;

/// See the module.
#[derive(Debug)]
pub(crate) struct Chat;

impl Dialect for Chat {
    fn path(&self, _model: &str) -> String {
        "v1/chat/completions".to_owned()
    }

    fn headers(&self, key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)> {
        bearer(key)
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let messages = alike::messages(request, |_, _| {});
        let mut body = json!({ "model": request.model, "messages": messages });
        let Some(object) = body.as_object_mut() else { return body };
        if let Some((name, schema)) = request.answer.filter(|_| request.native) {
            let format = json!({ "name": name, "schema": strict(schema), "strict": true });
            object.insert(
                "response_format".to_owned(),
                json!({ "type": "json_schema", "json_schema": format }),
            );
        }
        alike::offer_tools(request, object);
        body
    }

    fn read(&self, request: &Request<'_>, body: &Value) -> Result<Reading, String> {
        let choice = body.pointer("/choices/0").ok_or("it has no `choices`")?;
        let message = choice.get("message").ok_or("its choice has no `message`")?;
        let text = string(message, "/content");
        let refusal = string(message, "/refusal");
        let ending = match string(choice, "/finish_reason").as_str() {
            _ if !refusal.is_empty() => Ending::Refused(refusal),
            "content_filter" => Ending::Refused("the vendor's content filter stopped the answer".to_owned()),
            "length" => Ending::Length,
            _ => Ending::Well,
        };
        Ok(Reading {
            said: message.clone(),
            structured: structured(request, &text),
            text,
            calls: alike::calls(message),
            ending,
            tokens: Tokens {
                input: number(body, "/usage/prompt_tokens"),
                output: number(body, "/usage/completion_tokens"),
                cached: number(body, "/usage/prompt_tokens_details/cached_tokens"),
            },
            model: string(body, "/model"),
        })
    }
}
