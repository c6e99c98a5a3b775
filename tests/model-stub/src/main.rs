//! `model-stub RULES.json [PORT]`: the scripted model as a process, for trying things by hand.

use std::io::Write;
use std::process::ExitCode;

use downbeat_model_stub::{Rule, Stub};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match start(&arguments) {
        Ok(stub) => {
            // Nobody may be listening to where it is.
            let _ = writeln!(std::io::stdout(), "listening on {}", stub.url());
            stub.serve();
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut message = format!("model-stub: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::from(2)
        }
    }
}

fn start(arguments: &[String]) -> Result<Stub, Box<dyn std::error::Error>> {
    let (path, port) = match arguments {
        [path] => (path, 0),
        [path, port] => (path, port.parse()?),
        _ => return Err("usage: model-stub RULES.json [PORT]".into()),
    };
    let rules: Vec<Rule> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    Ok(Stub::start_on(port, rules)?)
}
