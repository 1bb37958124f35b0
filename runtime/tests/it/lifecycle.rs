//! What is left: after many runs, after a killed helper, after a killed caller.

use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gdo_runtime::{
    Isolation, Judgement, Sandbox, SandboxConfig, SandboxError, default_state_dir, judge,
};

use crate::support::{Fixture, groups, helper, sandbox};

/// A program argument that no other process of this machine has.
fn unique_seconds() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("61.{}{number:03}", std::process::id())
}

/// The processes whose command line holds `word`, as seen from outside of all containers.
fn processes(word: &str) -> BTreeSet<i32> {
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    fs::read_dir("/proc")
        .expect("list processes")
        .filter_map(|entry| pid(entry.expect("list processes")))
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let args: Vec<_> = line.split(|byte| *byte == 0).collect();
            args.first()
                .is_some_and(|program| program.ends_with(b"sleep"))
                && args.contains(&word.as_bytes())
        })
        .collect()
}

/// Polls a condition that another process brings about.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came to it that {what}");
        std::thread::yield_now();
    }
}

/// The helpers of the sandbox in this state directory, by its own records.
fn helpers(state_dir: &Path) -> Vec<i32> {
    state_entries(state_dir)
        .into_iter()
        .filter(|name| name.ends_with(".json"))
        .filter_map(|name| {
            let text = fs::read(state_dir.join(name)).expect("read a record");
            let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            i32::try_from(record["process"]["pid"].as_i64()?).ok()
        })
        .collect()
}

/// The processes whose parent is `parent`.
fn children(parent: i32) -> Vec<i32> {
    fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

fn signal(pid: i32, name: &str) {
    let status = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .expect("run kill");
    assert!(status.success(), "kill {name} {pid}");
}

fn state_entries(state_dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(state_dir)
        .expect("list the state directory")
        .map(|entry| {
            entry
                .expect("list")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// What can be seen of a helper: it lets nobody trace it, so only root may look.
fn peek<T>(seen: std::io::Result<T>) -> Option<T> {
    match seen {
        Err(error) if !geteuid().is_root() && error.kind() == ErrorKind::PermissionDenied => None,
        seen => Some(seen.expect("look at the helper")),
    }
}

fn assert_nothing_is_left_after(runs: usize) {
    let fixture = Fixture::new();
    let state_dir = fixture.state_dir();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("read mounts");
    let before = mounts();
    assert_eq!(judge(&fixture.run("exit 0")), Judgement::Pass);
    let before_runs = helpers(&state_dir);
    let helper = before_runs[0];
    let of_helper =
        |what: &str| peek(fs::read_dir(format!("/proc/{helper}/{what}"))).map(Iterator::count);
    let descriptors = of_helper("fd");
    let scripts = [
        "exit 0",
        "sleep 60 & exit 1",
        "echo x > /tmp/x; kill -9 1; exit 3",
    ];
    for run in 0..runs {
        let outcome = fixture.run(scripts[run % scripts.len()]);
        assert!(outcome.exit.is_some(), "{outcome:?}");
    }
    assert_eq!(
        helpers(&state_dir),
        before_runs,
        "one helper served all runs"
    );
    assert_eq!(children(helper), Vec::<i32>::new(), "no zombie is left");
    assert!(of_helper("fd") <= descriptors, "descriptors are left open");
    assert_eq!(mounts(), before, "no mount is left");
    let helper_mounts = peek(fs::read_to_string(format!("/proc/{helper}/mountinfo")));
    let stacked = helper_mounts.map(|all| all.lines().filter(|l| l.contains("/gdo/")).count());
    assert!(
        stacked < Some(20),
        "{stacked:?} mounts are left in the helper's view"
    );
    fixture.sandbox.cool();
    assert_eq!(state_entries(&state_dir), ["lock"]);
    assert_eq!(groups(&state_dir), Vec::<PathBuf>::new());
}

#[test]
fn nothing_is_left_after_many_runs() {
    assert_nothing_is_left_after(60);
}

#[test]
#[ignore = "soak: 1,000 runs, half a minute or more"]
fn nothing_is_left_after_a_thousand_runs() {
    assert_nothing_is_left_after(1_000);
}

#[test]
fn a_killed_helper_takes_its_container_along_and_the_next_run_gets_another() {
    let fixture = Fixture::new();
    let state_dir = fixture.state_dir();
    let seconds = unique_seconds();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let mut request = fixture.script(&format!("sleep {seconds} & sleep {seconds}"));
            request.limits.wall_ms = 120_000;
            fixture.sandbox.run(&request)
        });
        eventually("the container runs", || processes(&seconds).len() == 2);
        for helper in helpers(&state_dir) {
            signal(helper, "-KILL");
        }
        let problem = run
            .join()
            .expect("no panic")
            .expect_err("the helper is dead");
        assert!(
            matches!(problem, SandboxError::HelperLost { .. }),
            "{problem}"
        );
    });
    assert_eq!(
        processes(&seconds),
        BTreeSet::new(),
        "the container outlived its helper"
    );
    assert_eq!(state_entries(&state_dir), ["lock"]);
    assert_eq!(groups(&state_dir), Vec::<PathBuf>::new());
    assert_eq!(judge(&fixture.run("exit 0")), Judgement::Pass);
}

#[test]
fn stopping_ends_a_run_at_once_and_refuses_new_ones() {
    let fixture = Fixture::new();
    let seconds = unique_seconds();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let mut request = fixture.script(&format!("exec sleep {seconds}"));
            request.limits.wall_ms = 120_000;
            fixture.sandbox.run(&request)
        });
        eventually("the container runs", || processes(&seconds).len() == 1);
        fixture.sandbox.stop();
        let problem = run.join().expect("no panic").expect_err("it was stopped");
        assert!(matches!(problem, SandboxError::Stopped), "{problem}");
    });
    assert_eq!(processes(&seconds), BTreeSet::new());
    let problem = fixture
        .sandbox
        .run(&fixture.script("exit 0"))
        .expect_err("it was stopped");
    assert!(matches!(problem, SandboxError::Stopped), "{problem}");
}

#[test]
fn many_threads_share_a_sandbox() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let fixture = &fixture;
            scope.spawn(move || {
                for code in [0, 1] {
                    let outcome = fixture.run(&format!("echo {thread}; exit {code}"));
                    assert_eq!(outcome.exit, Some(code));
                    assert_eq!(outcome.stdout, format!("{thread}\n").as_bytes());
                }
            });
        }
    });
}

#[test]
fn one_state_directory_has_one_sandbox() {
    let fixture = Fixture::new();
    let second = Sandbox::new(SandboxConfig {
        helper: helper(),
        state_dir: fixture.state_dir(),
        isolation: Isolation::Full,
    });
    let problem = second.expect_err("the directory is taken");
    assert!(matches!(problem, SandboxError::InUse { .. }), "{problem}");
}

#[test]
fn a_node_under_a_home_that_only_its_owner_may_enter_works() {
    let fixture = Fixture::new();
    // The state of a sandbox may lie there, too.
    let inside = sandbox(&fixture.path("state"), Isolation::Full);
    let home = fixture.path("");
    fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).expect("chmod");
    let request = fixture.script("test -f /gdo/candidate/file");
    for sandbox in [&fixture.sandbox, &inside] {
        let outcome = sandbox.run(&request).expect("an outcome");
        assert_eq!(judge(&outcome), Judgement::Pass, "{outcome:?}");
    }
    let mode = fs::metadata(&home).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody's modes are changed");
}

/// Runs a container for a minute, in a process of its own, unless that is killed before.
#[test]
#[ignore = "a part of the tests about killed callers, which start it"]
fn caller_that_is_killed() {
    let fixture = Fixture::new();
    // By itself it runs a short one and ends.
    let seconds = std::env::var("GDO_TEST_SECONDS").unwrap_or_else(|_| "0.1".into());
    let mut request = fixture.script(&format!("sleep {seconds} & exec sleep {seconds}"));
    request.limits.wall_ms = 120_000;
    // The test that starts this needs to know where to look.
    println!("state {}", fixture.state_dir().display());
    let outcome = fixture
        .sandbox
        .run(&request)
        .expect("nobody has killed anything");
    assert_eq!(judge(&outcome), Judgement::Pass);
}

/// Another process that runs a container, its state directory, and the container's unique word.
fn start_caller() -> (Child, PathBuf, String) {
    use std::io::{BufRead, BufReader};
    let seconds = unique_seconds();
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .args([
            "lifecycle::caller_that_is_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("GDO_TEST_SECONDS", &seconds)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start this program again");
    let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let state_dir = lines
        .map_while(Result::ok)
        .find_map(|line| {
            line.split_once("state ")
                .map(|(_, path)| PathBuf::from(path))
        })
        .expect("the other process says where its state is");
    eventually("the container runs", || processes(&seconds).len() == 2);
    (child, state_dir, seconds)
}

#[test]
fn a_container_ends_with_a_caller_that_is_killed() {
    let (mut caller, state_dir, seconds) = start_caller();
    caller.kill().expect("kill the caller");
    caller.wait().expect("wait for the caller");
    eventually("the container has ended", || processes(&seconds).is_empty());
    let sandbox = sandbox(&state_dir, Isolation::Full);
    assert_eq!(sandbox.swept().helpers, 1);
    assert_eq!(state_entries(&state_dir), ["lock"]);
    drop(sandbox);
    assert_eq!(groups(&state_dir), Vec::<PathBuf>::new());
    assert!(!state_dir.exists());
}

#[test]
fn a_helper_that_hangs_is_swept_with_its_container() {
    let (mut caller, state_dir, seconds) = start_caller();
    let helpers = helpers(&state_dir);
    assert_eq!(helpers.len(), 1);
    // It can neither see that its caller is gone nor end.
    signal(helpers[0], "-STOP");
    caller.kill().expect("kill the caller");
    caller.wait().expect("wait for the caller");
    assert_eq!(processes(&seconds).len(), 2, "the container is still there");
    let sandbox = sandbox(&state_dir, Isolation::Full);
    assert_eq!(processes(&seconds), BTreeSet::new());
    assert!(sandbox.swept().processes >= 1, "{:?}", sandbox.swept());
    assert_eq!(state_entries(&state_dir), ["lock"]);
    drop(sandbox);
    assert_eq!(groups(&state_dir), Vec::<PathBuf>::new());
    assert!(!state_dir.exists());
}

#[test]
fn a_state_directory_for_a_node_directory_is_always_the_same_and_never_shared() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.path("base"), fixture.path("candidate"));
    assert_eq!(default_state_dir(&one), default_state_dir(&one.join(".")));
    assert_ne!(default_state_dir(&one), default_state_dir(&other));
}
