//! The Lua: one file per verb, behind the parts that verbs share, all in one library of functions.

use std::fmt::Write;
use std::sync::LazyLock;

use redis::Script as Compiled;

/// A verb as Redis runs it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// The name of its function.
    pub(crate) function: String,
}

/// The library, as `FUNCTION LOAD` takes it.
#[derive(Debug)]
pub(crate) struct Library {
    name: String,
    pub(crate) code: String,
}

macro_rules! parts {
    ($($part:literal)*) => {
        concat!($(include_str!(concat!("../lua/lib/", $part, ".lua")), "\n"),*)
    };
}

/// What verbs share.
const SHARED: &str = parts! {
    "base" "streams" "events" "locks" "top" "held" "goals" "moves" "errors" "tasks" "hand" "upkeep" "best" "agents" "claim"
    "settle" "dags" "forget" "verbs"
};

/// Stands in `SHARED` for the name of the library, which follows from its code.
const NAME: &str = "LIBRARY";

/// The library is named after its code, so that processes of different versions use one server.
pub(crate) static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut code = SHARED.to_owned();
    for (name, flags, body) in FILES {
        // Writing to a text does not fail.
        let _ = writeln!(code, "verb('{name}', {flags}, function(ARGV)\n{body}end)");
    }
    let _ = writeln!(code, "function_of('open', {{}}, function(KEYS, ARGV)\n{OPENING}end)");
    let hash = Compiled::new(&code).get_hash().chars().take(12).collect::<String>();
    let name = format!("downbeat_{hash}");
    let code = format!("#!lua name={name}\n{}", code.replace(NAME, &name));
    Library { name, code }
});

impl Script {
    fn new(name: &'static str) -> Self {
        Self { name, function: format!("{}_{name}", LIBRARY.name) }
    }
}

impl Library {
    /// The command that a line of the code calls.
    pub(crate) fn command_at(&self, line: usize) -> Option<&str> {
        let (_, call) = self.code.lines().nth(line.checked_sub(1)?)?.split_once("call('")?;
        call.split('\'').next()
    }
}

/// May change what is stored.
const WRITES: &str = "{}";
/// Is answered also when memory is full, and by a replica.
const READS: &str = "{ 'no-writes' }";

macro_rules! verbs {
    ($($name:ident $file:literal $flags:ident)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script::new($file));)*

        /// Each verb's file with its flags and what is in it.
        const FILES: &[(&str, &str, &str)] =
            &[$(($file, $flags, include_str!(concat!("../lua/", $file, ".lua")))),*];
    };
}

verbs! {
    AGENTS "agents" READS
    AMEND "amend" WRITES
    APPEND "append" WRITES
    BATCH "batch" WRITES
    BEAT "beat" WRITES
    CLAIM "claim" WRITES
    DAG "dag" READS
    DEREGISTER "deregister" WRITES
    ERRORS "errors" READS
    GOALS "goals" READS
    HOLD "hold" WRITES
    LIST "list" READS
    PLAN "plan" WRITES
    READ "read" READS
    READY "ready" READS
    REGISTER "register" WRITES
    REMEMBER "remember" WRITES
    REMOVE "remove" WRITES
    RENEW "renew" WRITES
    SETTLE "settle" WRITES
    STEER "steer" WRITES
    STORE "store" WRITES
    SWEEP "sweep" WRITES
    TASK "task" READS
    TASKS "tasks" READS
    WATCH "watch" READS
}

/// Takes a new epoch when history may have been lost.
pub(crate) static OPEN: LazyLock<Script> = LazyLock::new(|| Script::new("open"));
const OPENING: &str = include_str!("../lua/open.lua");

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
            let number =
                |argument: &str| argument.strip_prefix("ARGV[")?.strip_suffix(']')?.parse::<u32>().ok();
            used.extend(listed.into_iter().max_by_key(|argument| number(argument)));
        }
        assert_eq!(arguments(header), used, "{name}.lua: header and body");
    }

    #[test]
    fn each_argument_is_in_the_header_exactly_when_it_is_in_the_body() {
        for (name, _, file) in FILES {
            check(name, "KEYS[1] ARGV[1]", file);
        }
        check("open", "", OPENING);
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
        let mut loaded: Vec<&str> = FILES.iter().map(|(name, _, _)| *name).chain(["open"]).collect();
        loaded.sort_unstable();
        assert_eq!(names, loaded);
    }
}
