//! The Lua: one file per verb, behind the parts that verbs share.

use std::sync::LazyLock;

use redis::Script as Compiled;

/// A verb as Redis runs it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) code: String,
    pub(crate) sha: String,
}

impl Script {
    fn new(name: &'static str, code: String) -> Self {
        let sha = Compiled::new(&code).get_hash().to_owned();
        Self { name, code, sha }
    }
}

macro_rules! parts {
    ($($part:literal)*) => {
        concat!($(include_str!(concat!("../lua/lib/", $part, ".lua")), "\n"),*)
    };
}

/// What every verb but `open` begins with.
pub(crate) const LIBRARY: &str = parts! {
    "base" "streams" "events" "goals" "moves" "errors" "tasks" "upkeep" "best" "agents" "claim" "dags" "forget"
};

macro_rules! verbs {
    ($($name:ident $file:literal)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            let verb = include_str!(concat!("../lua/", $file, ".lua"));
            Script::new($file, format!("{LIBRARY}{verb}"))
        });)*

        /// Each verb's file with what is in it.
        #[cfg(test)]
        const FILES: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../lua/", $file, ".lua")))),*];
    };
}

verbs! {
    AGENTS "agents"
    AMEND "amend"
    APPEND "append"
    BEAT "beat"
    CLAIM "claim"
    DAG "dag"
    DEREGISTER "deregister"
    ERRORS "errors"
    GOALS "goals"
    HOLD "hold"
    LIST "list"
    PLAN "plan"
    READ "read"
    READY "ready"
    REGISTER "register"
    REMEMBER "remember"
    REMOVE "remove"
    RENEW "renew"
    SETTLE "settle"
    STEER "steer"
    STORE "store"
    SWEEP "sweep"
    TASK "task"
    TASKS "tasks"
}

/// Takes a new epoch when history may have been lost.
pub(crate) static OPEN: LazyLock<Script> =
    LazyLock::new(|| Script::new("open", include_str!("../lua/open.lua").to_owned()));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The `KEYS[n]` and `ARGV[n]` of a text.
    fn arguments(text: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for name in ["KEYS[", "ARGV["] {
            for (at, _) in text.match_indices(name) {
                let argument = text.get(at..).unwrap().split_inclusive(']').next().unwrap();
                if argument.trim_start_matches(name).trim_end_matches(']').parse::<u32>().is_ok() {
                    found.insert(argument.to_owned());
                }
            }
        }
        found
    }

    fn check(name: &str, before: &str, file: &str) {
        let (header, body) = file.split_once("]]\n").expect("a header");
        assert!(header.starts_with(&format!("--[[\n{name}: ")), "{name}.lua begins with its contract");
        assert!(header.contains("\nReturns  {\""), "{name}.lua says what it returns");
        // The first of the arguments in a row may be named by a constant.
        let mut used = arguments(&format!("{before}{body}"));
        if file.contains("the first of") {
            let listed = arguments(header);
            used.extend(listed.into_iter().rfind(|argument| argument.starts_with("ARGV")));
        }
        assert_eq!(arguments(header), used, "{name}.lua: header and body");
    }

    #[test]
    fn each_argument_is_in_the_header_exactly_when_it_is_in_the_body() {
        for (name, file) in FILES {
            check(name, include_str!("../lua/lib/base.lua"), file);
        }
        check("open", "", include_str!("../lua/open.lua"));
    }

    #[test]
    fn every_lua_file_is_loaded_once() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/lua");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        let mut loaded: Vec<&str> = FILES.iter().map(|(name, _)| *name).chain(["open"]).collect();
        loaded.sort_unstable();
        assert_eq!(names, loaded);
    }
}
