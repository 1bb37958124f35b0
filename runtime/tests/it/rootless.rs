//! Validators that an ordinary user runs, without any right to control groups.
//!
//! The tests run as root start themselves again as a user that owns nothing but one directory; run
//! by an ordinary user they need no such step.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_runtime::{
    Isolation, Judgement, Limits, Reason, Sandbox, SandboxConfig, SandboxError, judge,
};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::support::{Fixture, groups, helper, stdout};

/// A user id that nobody has.
const SOMEBODY: u32 = 1_899_999_999;

/// True when the calling test has been run as an ordinary user by this and has nothing left to do.
fn ran_as_somebody(test: &str) -> bool {
    if !geteuid().is_root() {
        return false;
    }
    let home = TempDir::new().expect("make a temporary directory");
    let at = |name: &str| home.path().join(name);
    // What was built may lie where nobody else may look.
    for (from, to) in [
        (
            std::env::current_exe().expect("this program has a path"),
            "tests",
        ),
        (helper().program, "helper"),
    ] {
        fs::copy(from, at(to)).expect("copy a program");
        fs::set_permissions(at(to), PermissionsExt::from_mode(0o755)).expect("chmod");
    }
    fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).expect("chmod");
    chown(home.path(), Some(SOMEBODY), Some(SOMEBODY)).expect("chown");
    let output = Command::new("setpriv")
        .arg(format!("--reuid={SOMEBODY}"))
        .arg(format!("--regid={SOMEBODY}"))
        .args([
            "--clear-groups",
            "--inh-caps=-all",
            "--ambient-caps=-all",
            "--",
        ])
        .arg(at("tests"))
        .args([
            &format!("rootless::{test}"),
            "--exact",
            "--nocapture",
            "--include-ignored",
        ])
        .env("GDO_TEST_HELPER", at("helper"))
        .env("TMPDIR", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .current_dir(home.path())
        .output()
        .expect("this test needs setpriv: apt-get install util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{more}"
    );
    true
}

#[test]
fn an_ordinary_user_runs_validators_and_is_told_what_is_missing() {
    if ran_as_somebody("an_ordinary_user_runs_validators_and_is_told_what_is_missing") {
        return;
    }
    let fixture = Fixture::with_isolation(Isolation::Degraded);
    for (script, expected) in [
        ("exit 0", Judgement::Pass),
        ("exit 1", Judgement::Fail),
        ("exit 7", Judgement::Inconclusive(Reason::Exit(7))),
    ] {
        let outcome = fixture.run(script);
        assert_eq!(judge(&outcome), expected, "{outcome:?}");
        assert_eq!(outcome.degraded, fixture.sandbox.missing());
    }
    let outcome = fixture.run(
        "cat /gdo/base/file /gdo/candidate/file
         echo x 2>/dev/null > /gdo/base/file && echo wrote base
         echo x 2>/dev/null > /bin/new && echo wrote root
         mount -t tmpfs none /tmp 2>/dev/null && echo mounted
         wget -q -T 1 http://127.0.0.1/ 2>/dev/null && echo network
         grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
         cat /proc/self/oom_score_adj; nproc
         echo '{}' > /gdo/out/report.json",
    );
    let expected = "basecandidateCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n1000\n1\n";
    assert_eq!(stdout(&outcome), expected, "{outcome:?}");
    assert_eq!(outcome.report.as_deref(), Some("{}\n"));
}

#[test]
fn an_ordinary_users_validators_are_bounded_all_the_same() {
    if ran_as_somebody("an_ordinary_users_validators_are_bounded_all_the_same") {
        return;
    }
    let fixture = Fixture::with_isolation(Isolation::Degraded);
    let limits = Limits {
        wall_ms: 1_500,
        cpu_ms: 1_000,
        memory_mib: 32,
        pids: 20,
        ..Limits::default()
    };
    let outcome = fixture.run_within(limits, "b() { b | b & b; }; b; sleep 60");
    assert_ne!(judge(&outcome), Judgement::Pass, "fork bomb: {outcome:?}");
    let outcome = fixture.run_within(limits, "exec tail -n 1 /dev/zero");
    assert_ne!(judge(&outcome), Judgement::Pass, "memory: {outcome:?}");
    let outcome = fixture.run_within(limits, "sleep 60");
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::TimedOut),
        "{outcome:?}"
    );
    let long = Limits {
        wall_ms: 20_000,
        ..limits
    };
    let outcome = fixture.run_within(long, "while :; do :; done");
    // Without control groups nobody counts for an ordinary user, and the kernel's limit ends it by a
    // plain SIGKILL.
    let expected = if outcome.degraded.is_empty() {
        Reason::CpuExceeded
    } else {
        Reason::Signal(9)
    };
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(expected),
        "{outcome:?}"
    );
    assert!(outcome.resources.wall_ms < 20_000, "{outcome:?}");
    assert_eq!(judge(&fixture.run("exit 0")), Judgement::Pass);
}

#[test]
fn full_isolation_is_refused_by_name_where_it_cannot_be_had() {
    if ran_as_somebody("full_isolation_is_refused_by_name_where_it_cannot_be_had") {
        return;
    }
    let degraded = Fixture::with_isolation(Isolation::Degraded);
    if degraded.sandbox.missing().is_empty() {
        // A user to whom the system has given control groups lacks nothing.
        assert_eq!(judge(&degraded.run("exit 0")), Judgement::Pass);
        return;
    }
    let full = Sandbox::new(SandboxConfig {
        helper: helper(),
        state_dir: degraded.path("full"),
        isolation: Isolation::Full,
    });
    match full.expect_err("something is missing") {
        SandboxError::Isolation { missing } => assert_eq!(missing, degraded.sandbox.missing()),
        other => panic!("{other}"),
    }
}

/// Runs the calling test again where only control groups of version 2 are to be seen; true when
/// there is nothing left to do.
fn ran_with_version_2(test: &str) -> bool {
    let alone = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if alone || !geteuid().is_root() {
        return false;
    }
    let view = "mount --make-rprivate / && umount -R /sys/fs/cgroup \
                && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", view, "sh"])
        .arg(std::env::current_exe().expect("this program has a path"))
        .args([&format!("rootless::{test}"), "--exact", "--nocapture"])
        .output()
        .expect("this test needs unshare: apt-get install util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{more}"
    );
    true
}

#[test]
fn with_version_2_alone_processor_time_is_counted_and_nothing_is_left() {
    if ran_with_version_2("with_version_2_alone_processor_time_is_counted_and_nothing_is_left") {
        return;
    }
    let fixture = Fixture::with_isolation(Isolation::Degraded);
    let outcome = fixture.run("exit 0");
    assert_eq!(judge(&outcome), Judgement::Pass, "{outcome:?}");
    if geteuid().is_root() {
        // Version 2 counts processor time without any controller.
        let limits = Limits {
            cpu_ms: 300,
            wall_ms: 30_000,
            ..Limits::default()
        };
        let outcome = fixture.run_within(limits, "while :; do :; done");
        let expected = Judgement::Inconclusive(Reason::CpuExceeded);
        assert_eq!(judge(&outcome), expected, "{outcome:?}");
    }
    fixture.sandbox.cool();
    assert_eq!(groups(&fixture.state_dir()), Vec::<PathBuf>::new());
}
