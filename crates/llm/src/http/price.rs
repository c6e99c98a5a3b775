//! What tokens cost, as far as somebody said so.
//!
//! Prices change and contracts differ: none is built in. Without one, calls and tokens are counted and
//! the cost is 0.

use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;

use super::dialect::Tokens;

/// The variable with the prices: `NAME=IN/OUT[/CACHED]`, in US dollars per million tokens, separated
/// by commas.
pub(crate) const PRICES: &str = "DOWNBEAT_PRICES";

const MILLION: u128 = 1_000_000;

/// The price of one model's tokens, in millionths of a US dollar per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price {
    input: u64,
    output: u64,
    cached: u64,
}

impl Price {
    /// The price of the model that the user calls `name`, among those in `text`.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: all that cannot be read in `text`.
    pub(crate) fn of(name: &str, text: &str) -> Result<Option<Self>, LlmError> {
        let mut found = None;
        let mut faults = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.rsplit_once('=').and_then(|(model, price)| Some((model.trim(), Self::parse(price)?)))
            {
                Some((model, price)) if model == name => found = Some(price),
                Some(_) => {}
                None => faults.push(format!("`{}`", clip(entry, 80))),
            }
        }
        if faults.is_empty() {
            return Ok(found);
        }
        let reason = format!(
            "${PRICES} has what is no price: {}; write `anthropic:MODEL=3/15/0.30`, dollars per million \
             tokens in, out, and from the cache",
            faults.join(", ")
        );
        Err(LlmError::Unusable { reason })
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<u64> = text.split('/').map(|part| micros(part.trim())).collect::<Option<_>>()?;
        match *parts.as_slice() {
            [input, output] => Some(Self { input, output, cached: input }),
            [input, output, cached] => Some(Self { input, output, cached }),
            _ => None,
        }
    }

    /// What these tokens cost, rounded up to a millionth of a dollar.
    fn cost(self, tokens: Tokens) -> u64 {
        let fresh = tokens.input.saturating_sub(tokens.cached);
        let parts = [(fresh, self.input), (tokens.cached, self.cached), (tokens.output, self.output)];
        let sum: u128 = parts.iter().map(|&(count, price)| u128::from(count) * u128::from(price)).sum();
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

/// The usage of one call.
pub(crate) fn usage(tokens: Tokens, price: Option<Price>) -> Usage {
    Usage {
        calls: 1,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cost_micros: price.map_or(0, |price| price.cost(tokens)),
    }
}

/// Dollars in decimal notation as millionths: exact, without floating point.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 6 || part.len() > 6 || !digits(whole) || !digits(part) {
        return None;
    }
    format!("{whole}{part:0<6}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "anthropic:a=3/15/0.30, openai-compatible:http://h:1/v1#m=0.5/1.25";

    #[test]
    fn cost_is_exact_and_rounded_up() {
        let price = Price::of("anthropic:a", TEXT).unwrap();
        let tokens = Tokens { input: 1_000_000, output: 1_000, cached: 500_000 };
        // 0.5 M x $3 + 0.5 M x $0.30 + 0.001 M x $15
        assert_eq!(usage(tokens, price).cost_micros, 1_500_000 + 150_000 + 15_000);
        assert_eq!(usage(Tokens { input: 1, output: 0, cached: 0 }, price).cost_micros, 3);
        let other = Price::of("openai-compatible:http://h:1/v1#m", TEXT).unwrap();
        assert_eq!(usage(Tokens { input: 1, output: 1, cached: 1 }, other).cost_micros, 2);
    }

    #[test]
    fn a_model_without_a_price_costs_nothing_and_is_counted() {
        assert_eq!(Price::of("anthropic:b", TEXT).unwrap(), None);
        let usage = usage(Tokens { input: 5, output: 6, cached: 0 }, None);
        assert_eq!((usage.calls, usage.tokens(), usage.cost_micros), (1, 11, 0));
    }

    #[test]
    fn every_price_that_is_none_is_named() {
        let error = Price::of("x", "a=1/2,b=-1/2,c=1,d=1/2/3/4,=,e=1e9/2,f=/1").unwrap_err().to_string();
        for entry in ["`b=-1/2`", "`c=1`", "`d=1/2/3/4`", "`=`", "`e=1e9/2`", "`f=/1`"] {
            assert!(error.contains(entry), "{error}");
        }
        assert!(!error.contains("`a="), "{error}");
    }
}
