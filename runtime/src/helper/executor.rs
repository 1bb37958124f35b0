//! The last steps inside the container, before its program takes over.

use std::collections::HashMap;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// Exit code when the program exists but cannot be executed; any code but 0 and 1 is inconclusive.
const CANNOT_EXECUTE: i32 = 126;

/// libcontainer's executor, and a container that dies with its helper.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundToHelper;

impl Executor for BoundToHelper {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let Err(problem) = (DefaultExecutor {}).exec(spec) else {
            return Ok(());
        };
        // stderr is already the validator's: whoever reads its output reads this.
        eprintln!("gdo: the validator's program cannot be executed: {problem}");
        std::process::exit(CANNOT_EXECUTE);
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        // The helper is this process's parent. Had it died before this line, the report that the
        // container is ready would fail and the container would end by itself.
        set_pdeathsig(Signal::SIGKILL)
            .map_err(|errno| ExecutorValidationError::ArgValidationError(errno.to_string()))?;
        (DefaultExecutor {}).validate(spec)
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        (DefaultExecutor {}).setup_envs(envs)
    }
}
