//! Where a model is asked.

use std::net::IpAddr;

use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use reqwest::Url;

use super::vendor::Vendor;
use crate::opening::Opening;

/// The variable that allows addresses without encryption that are not on this machine.
pub(crate) const ALLOW_HTTP: &str = "DOWNBEAT_ALLOW_HTTP";

/// A checked base address: encrypted, or on this machine, or explicitly allowed not to be.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: Url,
    /// Whether it is on this machine.
    pub(crate) is_local: bool,
}

impl Address {
    /// The address and the model that `opening` means.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: an address is none, or is not safe to send a key to.
    pub(crate) fn of(opening: &Opening<'_>, vendor: &Vendor) -> Result<(Self, String), LlmError> {
        let argument = opening.argument.unwrap_or_default();
        let environment = opening.environment;
        let (text, origin, model) = match vendor.address {
            None => {
                let (url, model) =
                    argument.split_once('#').filter(|(_, model)| !model.is_empty()).ok_or_else(|| {
                        unusable(format!(
                            "`{}` does not say which model: write `openai-compatible:URL#MODEL`",
                            clip(opening.name, 200)
                        ))
                    })?;
                (url, "the name", model)
            }
            Some(address) => {
                let said =
                    vendor.address_variables.iter().find_map(|name| Some((environment.get(name)?, *name)));
                let (text, origin) = said.unwrap_or((address, "the default"));
                (text, origin, argument)
            }
        };
        let allow_http =
            environment.get(ALLOW_HTTP).is_some_and(|value| matches!(value, "1" | "true" | "yes"));
        let address = Self::parse(text, allow_http)
            .map_err(|reason| unusable(format!("the address in {origin} {reason}")))?;
        if model.len() > 200 || model.chars().any(char::is_control) {
            return Err(unusable(
                "the name of the model is too long, or has control characters in it".to_owned(),
            ));
        }
        Ok((address, model.to_owned()))
    }

    fn parse(text: &str, allow_http: bool) -> Result<Self, String> {
        let text = text.trim();
        // Ollama's own variable has no scheme: `127.0.0.1:11434`.
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        // The text itself may hold a password: it is not quoted.
        let mut url = Url::parse(&text).map_err(|error| format!("is not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name or password: put the key into the key's variable".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a `?` or `#` in it: write it without".to_owned());
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        // Ollama listens on all addresses when it is told 0.0.0.0; it is asked on this machine.
        if host == "0.0.0.0" {
            url.set_host(Some("127.0.0.1")).map_err(|error| format!("has no host: {error}"))?;
        }
        let is_local = host == "localhost"
            || host == "0.0.0.0"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if is_local || allow_http => {}
            "http" => {
                return Err(format!(
                    "would send goals, files and the key unencrypted to {host}: write https://, or set \
                     {ALLOW_HTTP}=1"
                ));
            }
            scheme => return Err(format!("begins with {scheme}:, not with https:")),
        }
        Ok(Self { url, is_local })
    }

    /// `path`, below this address. A version that both have is not repeated.
    pub(crate) fn join(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/');
        let version = path.split('/').next().filter(|part| part.starts_with("v1")).unwrap_or_default();
        let rest = if !version.is_empty() && base.ends_with(&format!("/{version}")) {
            path.get(version.len()..).unwrap_or_default().trim_start_matches('/')
        } else {
            path
        };
        let joined = format!("{base}/{rest}");
        url.set_path(&joined);
        url
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }
}

fn unusable(reason: String) -> LlmError {
    LlmError::Unusable { reason }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::encrypted("https://example.com", true)]
    #[case::loopback("http://127.0.0.2:8080", true)]
    #[case::loopback_six("http://[::1]:8080/v1", true)]
    #[case::named("http://localhost", true)]
    #[case::without_scheme("127.0.0.1:11434", true)]
    #[case::plain("http://example.com", false)]
    #[case::looks_local("http://localhost.example.com", false)]
    #[case::looks_loopback("http://127.0.0.1.example.com", false)]
    #[case::password("https://u:p@example.com", false)]
    #[case::user_hides_the_host("http://127.0.0.1@example.com", false)]
    #[case::file("file:///etc/passwd", false)]
    #[case::no_url("https://", false)]
    #[case::query("https://example.com?key=x", false)]
    fn only_what_is_safe_to_send_a_key_to(#[case] text: &str, #[case] good: bool) {
        let read = Address::parse(text, false);
        assert_eq!(read.is_ok(), good, "{read:?}");
        assert!(!read.err().is_some_and(|reason| reason.contains("u:p")));
    }

    #[test]
    fn plain_http_is_possible_for_those_who_say_so() {
        assert!(!Address::parse("http://gpu.lan:8000", true).unwrap().is_local);
    }

    #[rstest]
    #[case("https://h", "v1/messages", "https://h/v1/messages")]
    #[case("https://h/v1/", "v1/messages", "https://h/v1/messages")]
    #[case("https://h/api/v1", "v1/responses", "https://h/api/v1/responses")]
    #[case("https://h/x", "v1beta/models/m:go", "https://h/x/v1beta/models/m:go")]
    fn a_path_is_joined_whole(#[case] base: &str, #[case] path: &str, #[case] whole: &str) {
        assert_eq!(Address::parse(base, false).unwrap().join(path).as_str(), whole);
    }
}
