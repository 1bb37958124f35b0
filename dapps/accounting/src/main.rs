//! The validator of the books: reads two trees, prints what is wrong, answers with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gdo_dapp_sdk::contract::run(gdo_dapp_accounting::validate::validate)
}
