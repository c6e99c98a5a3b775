//! A guard as a program of its own, for programs that cannot be one: what links the library sets
//! `Program::guard` to it. The `downbeat` command is its own guard.

use std::process::ExitCode;

fn main() -> ExitCode {
    downbeat_process::guard::main()
}
