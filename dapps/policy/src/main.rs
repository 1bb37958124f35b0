//! The validator of the ledger's own rules: reads two trees, prints what is wrong, answers with its
//! exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gdo_dapp_sdk::contract::run(gdo_dapp_policy::validate::validate)
}
