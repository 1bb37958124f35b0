//! The cases that ship with the dapp, through its real program.

use std::path::Path;

use gdo_dapp_sdk::testing::run_cases;

#[test]
fn the_shipped_cases_come_out_as_expected() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let program = env!("CARGO_BIN_EXE_gdo-dapp-accounting");
    assert!(run_cases(&cases, &[program, "validate", "--root"]) >= 5);
}
