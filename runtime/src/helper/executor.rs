//! The last steps inside the container, before its program takes over.

use std::collections::HashMap;
use std::ffi::CString;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::errno::Errno;
use nix::sys::prctl::{set_dumpable, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::execv;

use crate::process::reset_signals;

/// Exit code when the program exists but cannot be executed; any code but 0 and 1 is inconclusive.
const CANNOT_EXECUTE: i32 = 126;

/// libcontainer's executor, and a container that dies with its helper.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundToHelper;

impl Executor for BoundToHelper {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let args = spec
            .process()
            .as_ref()
            .and_then(|process| process.args().clone());
        reset_signals();
        let problem = execute(&args.unwrap_or_default());
        // stderr is already the validator's: whoever reads its output reads this.
        eprintln!("gdo: the validator's program cannot be executed: {problem}");
        std::process::exit(CANNOT_EXECUTE);
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        // The helper is this process's parent. Had it died before this line, the report that the
        // container is ready would fail and the container would end by itself.
        set_pdeathsig(Signal::SIGKILL)
            .map_err(|errno| ExecutorValidationError::ArgValidationError(errno.to_string()))?;
        // As its program will make it anyway: only then may an ordinary user's helper settle what
        // is in its /proc entry.
        let _ = set_dumpable(true);
        (DefaultExecutor {}).validate(spec)
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        (DefaultExecutor {}).setup_envs(envs)
    }
}

/// Replaces this process by the program; returns only what hindered it.
///
/// Not `execvp`: what the kernel cannot execute, a program for another machine for example, that
/// would hand to a shell, and a shell that reads machine code may well end with 0.
fn execute(args: &[String]) -> String {
    let Some(name) = args.first() else {
        return "no program is named".into();
    };
    let words: Result<Vec<CString>, _> = args
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect();
    let Ok(words) = words else {
        return "an argument holds a NUL byte".into();
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let places: Vec<String> = if name.contains('/') {
        vec![name.clone()]
    } else {
        path.split(':')
            .map(|directory| format!("{directory}/{name}"))
            .collect()
    };
    let mut problem = Errno::ENOENT;
    for place in places {
        let Ok(place) = CString::new(place) else {
            continue;
        };
        let Err(errno) = execv(&place, &words);
        if errno != Errno::ENOENT {
            problem = errno;
            break;
        }
    }
    format!("{name}: {problem}")
}
