//! One bash for one document.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use gdo_tests::program::Environment;

/// What follows the output of every command.
const MARK: &str = "--- the command ended with";

/// A bash that runs commands one at a time.
#[derive(Debug)]
pub struct Shell {
    bash: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    environment: Environment,
    work: PathBuf,
}

impl Shell {
    /// Starts a bash in the new directory `work`, with `gdo` on its path.
    ///
    /// # Panics
    /// bash is missing.
    #[track_caller]
    pub fn start(environment: &Environment, gdo: &Path, work: &Path) -> Self {
        let programs = environment.home().join("bin");
        std::fs::create_dir(&programs).expect("a new home");
        std::fs::create_dir(work).expect("a new directory");
        symlink(gdo, programs.join("gdo")).expect("a new directory");
        std::fs::write(environment.home().join("gitconfig"), "").expect("a new home");
        let mut path = OsString::from(&programs);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut bash = environment
            .command("bash")
            .args(["--noprofile", "--norc"])
            .env("PATH", path)
            .env_remove("BASH_ENV")
            .current_dir(work)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash must be installed");
        let mut input = bash.stdin.take().expect("it is piped");
        let output = BufReader::new(bash.stdout.take().expect("it is piped"));
        writeln!(input, "exec 2>&1").expect("bash reads");
        Self {
            bash,
            input,
            output,
            environment: environment.clone(),
            work: work.to_owned(),
        }
    }

    /// Runs a command; gives what stands on the screen then, line by line, and the exit code.
    ///
    /// # Panics
    /// The command ends the shell.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> (Vec<String>, i32) {
        // What it leaves on the last line must not hide the mark.
        let wrapped = format!("{{ {command}\n}} </dev/null\nprintf '\\n{MARK} %s\\n' $?\n");
        self.input
            .write_all(wrapped.as_bytes())
            .expect("bash reads");
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.output.read_until(b'\n', &mut line);
            assert!(
                read.is_ok_and(|bytes| bytes > 0),
                "'{command}' ended the shell"
            );
            let line = String::from_utf8_lossy(&line);
            if let Some(code) = line.strip_prefix(MARK) {
                if lines.last().is_some_and(String::is_empty) {
                    lines.pop();
                }
                return (lines, code.trim().parse().expect("a number"));
            }
            lines.push(seen(&line));
        }
    }
}

/// A line as it stands on the screen: what a carriage return overwrites is gone.
fn seen(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let last = line.rsplit('\r').next().unwrap_or(line);
    last.replace("\u{1b}[K", "").trim_end().to_owned()
}

impl Drop for Shell {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.work)
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.path().join("format").is_file() {
                let mut stop = self.environment.gdo(&["node", "stop"]);
                // Of a document that failed, there may be none to stop.
                let _ = stop.arg(entry.path()).output();
            }
        }
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}
