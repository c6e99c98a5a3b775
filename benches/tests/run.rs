//! The benchmark as a program: what it prints is what programs read, and it leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests are test code")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn bench(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_downbeat-bench"));
    command.arg("--directory").arg(directory).args(arguments);
    command
}

fn object(line: &str) -> Value {
    let line: Value = serde_json::from_str(line).unwrap();
    let fields = line.as_object().unwrap();
    for text in ["case", "cache", "reference"] {
        assert!(fields[text].is_string(), "{text} in {line}");
    }
    for number in ["tasks", "agents", "per_second"] {
        assert!(fields[number].is_number(), "{number} in {line}");
    }
    for maybe in ["p50_us", "p99_us", "reference_per_second", "ratio"] {
        assert!(fields[maybe].is_number() || fields[maybe].is_null(), "{maybe} in {line}");
    }
    if let (Some(ratio), Some(reference)) =
        (fields["ratio"].as_f64(), fields["reference_per_second"].as_f64())
    {
        let per_second = fields["per_second"].as_f64().unwrap();
        assert!(per_second > 0.0 && (per_second / reference / ratio - 1.0).abs() < 1e-6, "{line}");
    }
    line
}

#[test]
fn each_line_is_one_object_with_its_reference() {
    let place = tempfile::tempdir().unwrap();
    let cases = ["machine", "drain", "chain", "wake", "contend"].map(|case| ["--case", case]).concat();
    let caches = ["--cache", "sled", "--cache", "redis", "--cache", "memory"];
    let output = bench(place.path(), &["--quick", "--json", "--tasks", "200"])
        .args(caches)
        .args(cases)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", output.status);
    let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(object).collect();

    let find = |case: &str, cache: &str, reference: &str| {
        let found = lines
            .iter()
            .find(|line| line["case"] == case && line["cache"] == cache && line["reference"] == reference);
        found.unwrap_or_else(|| panic!("{case} on {cache} beside {reference}"))
    };
    assert!(find("PING", "redis", "")["p50_us"].as_f64().unwrap() > 0.0);
    for (case, cache, reference) in [
        ("plan", "redis", "bulk enqueue"),
        ("drain", "memory", "scheduling in memory"),
        ("drain", "sled", "bare shared fdatasync"),
        ("drain, carried", "sled", "raw sled batches"),
        ("drain", "redis", "pair"),
        ("drain, carried", "redis", "fused"),
        ("chain", "redis", "pair that unblocks"),
        ("chain, carried", "sled", "raw sled batches"),
        ("wake-up, from the settle", "redis", "wake-up of a blocked reader"),
        ("contend, one connection, carried", "redis", "fused"),
        ("contend, a connection each", "redis", "pair"),
    ] {
        let line = find(case, cache, reference);
        assert_eq!(line["tasks"], 200, "{line}");
        assert!(line["ratio"].as_f64().unwrap() > 0.0, "{line}");
    }
    let drained = find("drain", "redis", "pair");
    assert!(drained["server_cpu_us_per_task"].as_f64().unwrap() > 0.0, "{drained}");
    assert!(drained["bytes_per_task"].as_f64().unwrap() > 0.0, "{drained}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "stores are removed");
}

#[test]
fn ctrl_c_leaves_no_server_and_no_store() {
    let place = tempfile::tempdir().unwrap();
    let mut running =
        bench(place.path(), &["--json", "--cache", "redis", "--case", "machine", "--case", "drain"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    // A first line: the server is there, and the drain of many tasks begins.
    let mut said = String::new();
    BufReader::new(running.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    object(&said);
    let run = std::fs::read_dir(place.path()).unwrap().next().unwrap().unwrap().path();
    let server: i32 = std::fs::read_to_string(run.join("redis/redis.pid")).unwrap().trim().parse().unwrap();
    assert!(kill(Pid::from_raw(server), None).is_ok(), "the server runs");

    kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGINT).unwrap();

    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(kill(Pid::from_raw(server), None).is_err(), "the server is gone");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "stores are removed");
}
