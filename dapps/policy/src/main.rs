//! The validator of the ledger's own rules: roster, policy, dapps.

use std::process::ExitCode;

use gdo_dapp_sdk::contract::{Input, run};
use gdo_dapp_sdk::error::Undecided;
use gdo_dapp_sdk::report::Report;

fn main() -> ExitCode {
    run(validate)
}

fn validate(input: &Input, report: &mut Report) -> Result<(), Undecided> {
    if !input.candidate.contains(".gdo/policy.toml") {
        report.file(".gdo/policy.toml", "missing", "expected a policy");
    }
    Ok(())
}
