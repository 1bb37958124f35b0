//! What a validator may rely on.

use nix::unistd::{Gid, geteuid, setgroups};
use std::os::unix::fs::PermissionsExt;

use gdo_runtime::{Judgement, Limits, Reason, SandboxError, judge};

use crate::support::{Fixture, stdout};

#[test]
fn a_validator_passes_fails_or_says_nothing_by_its_exit_code() {
    let fixture = Fixture::new();
    for (script, expected) in [
        ("exit 0", Judgement::Pass),
        ("exit 1", Judgement::Fail),
        ("exit 70", Judgement::Inconclusive(Reason::Exit(70))),
        ("exit 255", Judgement::Inconclusive(Reason::Exit(255))),
    ] {
        let outcome = fixture.run(script);
        assert_eq!(judge(&outcome), expected, "{script}: {outcome:?}");
        assert!(outcome.degraded.is_empty(), "{outcome:?}");
    }
}

#[test]
fn both_trees_and_the_context_are_there() {
    let fixture = Fixture::new();
    let outcome = fixture.run("cat /gdo/base/file /gdo/candidate/file /gdo/context.json");
    assert_eq!(
        stdout(&outcome),
        r#"basecandidate{"version":1}"#,
        "{outcome:?}"
    );
}

#[test]
fn each_run_sees_its_own_trees() {
    let fixture = Fixture::new();
    for round in 0..3 {
        let tree = fixture.path(&format!("candidate-{round}"));
        std::fs::create_dir(&tree).expect("make a tree");
        std::fs::write(tree.join("file"), format!("round {round}")).expect("write a file");
        let mut request =
            fixture.script("cat /gdo/candidate/file; ls /tmp /gdo/out; echo > /tmp/x");
        request.candidate = tree;
        let outcome = fixture.sandbox.run(&request).expect("an outcome");
        assert_eq!(
            stdout(&outcome),
            format!("round {round}/gdo/out:\n\n/tmp:\n"),
            "{outcome:?}"
        );
    }
}

#[test]
fn the_environment_is_the_images_under_the_contracts() {
    let fixture = Fixture::new();
    let mut request = fixture.script("env; pwd; cat; nproc; id -u");
    request.source_date_epoch = 1_700_000_000;
    request.working_dir = "/gdo".into();
    let text = stdout(&fixture.sandbox.run(&request).expect("an outcome"));
    for line in [
        "FROM_IMAGE=yes",
        "TZ=UTC",
        "LC_ALL=C",
        "PYTHONHASHSEED=0",
        "SOURCE_DATE_EPOCH=1700000000",
        "HOME=/tmp",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in {text}"
        );
    }
    assert!(text.ends_with("/gdo\n1\n0\n"), "{text}");
}

#[test]
fn the_report_and_both_streams_come_back() {
    let fixture = Fixture::new();
    let outcome =
        fixture.run("echo out; echo err >&2; echo '{\"problems\":[]}' > /gdo/out/report.json");
    assert_eq!(outcome.stdout, b"out\n");
    assert_eq!(outcome.stderr, b"err\n");
    assert_eq!(outcome.report.as_deref(), Some("{\"problems\":[]}\n"));
}

#[test]
fn resources_and_stages_are_measured() {
    let fixture = Fixture::new();
    let outcome =
        fixture.run("dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; i=0; while test $i -lt 20000; do i=$((i+1)); done");
    assert!(outcome.resources.cpu_ms >= 5, "{outcome:?}");
    assert!(
        outcome
            .resources
            .memory_peak_bytes
            .is_some_and(|peak| peak >= 8 << 20),
        "{outcome:?}"
    );
    assert!(
        outcome.stages.create_us > 0 && outcome.stages.run_us >= 5_000,
        "{outcome:?}"
    );
}

#[test]
fn a_program_that_is_not_there_is_no_verdict() {
    let fixture = Fixture::new();
    let request = fixture.script("").with_command(vec!["/bin/absent".into()]);
    let problem = fixture
        .sandbox
        .run(&request)
        .expect_err("there is no such program");
    assert!(
        matches!(&problem, SandboxError::Start(text) if text.contains("/bin/absent")),
        "{problem}"
    );
    assert_eq!(judge(&fixture.run("exit 0")), Judgement::Pass);
}

#[test]
fn a_program_for_another_machine_is_no_verdict() {
    let fixture = Fixture::new();
    // An ELF header of class 64 for a machine that does not exist.
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xfe\xca".to_vec();
    program.resize(4096, 0);
    let path = fixture.image.rootfs.join("bin/foreign");
    std::fs::write(&path, program).expect("write a program");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
    let request = fixture.script("").with_command(vec!["/bin/foreign".into()]);
    let outcome = fixture.sandbox.run(&request).expect("it is started");
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::Exit(126)),
        "{outcome:?}"
    );
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("cannot be executed"));
}

#[test]
fn requests_that_contradict_themselves_are_refused_by_name() {
    let fixture = Fixture::new();
    let good = fixture.script("exit 0");
    let mut no_command = good.clone();
    no_command.command.clear();
    let mut no_wall = good.clone();
    no_wall.limits = Limits {
        wall_ms: 0,
        ..Limits::default()
    };
    let mut odd_env = good.clone();
    odd_env.env.push("ODD".into());
    let mut relative = good.clone();
    relative.base = "base".into();
    let mut hidden = good.clone();
    hidden.context = fixture.path("hidden.json");
    std::fs::write(&hidden.context, "{}").expect("write");
    let secret = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&hidden.context, secret).expect("chmod");
    let mut absent = good.clone();
    absent.candidate = fixture.path("absent");
    for (request, word) in [
        (no_command, "command"),
        (no_wall, "wall_ms"),
        (odd_env, "\"ODD\""),
        (relative, "base"),
        (absent, "candidate"),
    ] {
        let problem = fixture.sandbox.run(&request).expect_err(word);
        assert!(problem.to_string().contains(word), "{problem}");
    }
    // Inside, root is somebody else; an ordinary user is itself and may read what is its own.
    let hidden = fixture.sandbox.run(&hidden);
    if geteuid().is_root() {
        let problem = hidden.expect_err("mode 600").to_string();
        assert!(problem.contains("mode 600"), "{problem}");
    } else {
        assert_eq!(hidden.expect("it is readable").exit, Some(0));
    }
}

#[test]
fn signals_limits_and_descriptors_are_as_a_program_expects_them() {
    let fixture = Fixture::new();
    if geteuid().is_root() {
        // As after a login: root is in groups of its own, and the container must not be.
        setgroups(&[Gid::from_raw(0), Gid::from_raw(4242)]).expect("root may");
    }
    let status =
        stdout(&fixture.run("exec grep -E '^Sig(Blk|Ign)|^Groups|^Umask' /proc/self/status"));
    // The kernel lets an ordinary user map its group and not drop it.
    let groups = if geteuid().is_root() { "" } else { "0" };
    assert_eq!(
        status,
        format!(
            "Umask:\t0022\nGroups:\t{groups} \nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
        )
    );
    // The fourth is the listing's own.
    let listing = stdout(&fixture.run("exec ls /proc/self/fd"));
    assert_eq!(listing, "0\n1\n2\n3\n");
}
