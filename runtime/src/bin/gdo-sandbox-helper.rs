//! The sandbox helper as a program of its own, for tests and for tools that are not `gdo`.

fn main() -> std::process::ExitCode {
    gdo_runtime::sandbox_main()
}
