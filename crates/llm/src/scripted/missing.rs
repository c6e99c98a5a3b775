//! What to say when a script has no answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::exchange::{Asked, Exchange};
use super::request::Request;

/// How many differences are listed.
const MAX_LISTED: usize = 20;

/// Which request it is, and what the nearest scripted one has in its place.
pub(super) fn reason(script: &str, exchanges: &[Exchange], request: &Request) -> String {
    let mut out = format!(
        "`{script}` has no answer left to this request kind=`{}` key=`{}`",
        request.kind, request.key
    );
    let same_kind = exchanges.iter().filter(|exchange| exchange.asked.kind() == request.kind);
    let compared = same_kind.map(|exchange| (exchange, exchange.asked.differences(request)));
    let Some((nearest, differences)) = compared.min_by_key(|(_, differences)| differences.len()) else {
        let _ = write!(out, "\nno exchange is of this kind; there are {}", kinds(exchanges));
        return out;
    };
    let what = match nearest.asked {
        Asked::Request(_) => "request",
        Asked::Match(..) => "match",
    };
    if differences.is_empty() {
        let _ = write!(
            out,
            "\nthe {what} in {} is for it, and its answer is used up times={}",
            nearest.place, nearest.times
        );
        return out;
    }
    let _ = write!(out, "\nthe nearest is the {what} in {}, which differs at:", nearest.place);
    for difference in differences.iter().take(MAX_LISTED) {
        let _ = write!(out, "\n  {difference}");
    }
    if differences.len() > MAX_LISTED {
        let _ = write!(out, "\n  and at {} more places", differences.len() - MAX_LISTED);
    }
    out
}

/// `2 execute, 1 select`.
fn kinds(exchanges: &[Exchange]) -> String {
    let mut counts = BTreeMap::new();
    for exchange in exchanges {
        *counts.entry(exchange.asked.kind()).or_insert(0_usize) += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    counts.join(", ")
}
