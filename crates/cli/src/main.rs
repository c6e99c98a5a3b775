//! The `downbeat` command: thin, and the only place that names a concrete store or model.
//!
//! In reading order:
//! - [`args`]: what can be typed; [`exit`], [`error`]: what comes back.
//! - [`place`], [`config`]: which project, and with which settings.
//! - [`store`], [`models`]: the concrete parts; [`api`]: a store that another process has.
//! - [`spawned`]: agents as processes, seen from either side.
//! - [`predecessor`]: the command line and the files of the program before this one.
//! - [`commands`]: one file for each command.
//! - [`output`], [`diagnostics`], [`logs`], [`live`]: what people and programs see.

mod api;
mod args;
mod askable;
mod commands;
mod config;
mod context;
mod diagnostics;
mod error;
mod exit;
mod live;
mod logs;
mod models;
mod output;
mod place;
mod predecessor;
mod signals;
mod spawned;
mod store;

use std::process::ExitCode;

use downbeat_runtime::guard;
use downbeat_runtime::spawn::launch;

fn main() -> ExitCode {
    // A guard is a process per command: it must cost nothing and start nothing.
    if std::env::args_os().nth(1).is_some_and(|word| word == guard::ARGUMENT) {
        return guard::main();
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == launch::ARGUMENT) {
        return launch::main();
    }
    commands::main()
}
