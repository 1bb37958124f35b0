//! Validators that try to get out, to take more than they may, or to hide that they did.

use std::time::Instant;

use gdo_runtime::{Judgement, Limits, Outcome, Reason, judge};

use crate::support::{Fixture, stdout};

fn small() -> Limits {
    Limits {
        wall_ms: 5_000,
        cpu_ms: 4_000,
        memory_mib: 24,
        pids: 16,
        output_kib: 16,
        tmp_mib: 4,
    }
}

/// Runs a script that prints one line for each attack that succeeded and then says so.
fn assert_holds(outcome: &Outcome) {
    assert_eq!(
        stdout(outcome),
        "held\n",
        "{}",
        String::from_utf8_lossy(&outcome.stderr)
    );
    assert_eq!(judge(outcome), Judgement::Pass);
}

#[test]
fn no_network_is_reachable_and_no_socket_can_be_made() {
    let fixture = Fixture::new();
    assert_holds(&fixture.run(
        "nc -w 1 127.0.0.1 22 && echo loopback
         wget -q -T 1 http://1.1.1.1/ && echo outside
         ping -c 1 -W 1 127.0.0.1 >/dev/null && echo ping
         ip link show && echo netlink
         grep -qE 'eth|en|wl' /proc/net/dev && echo interface
         echo held",
    ));
}

#[test]
fn nothing_outside_of_tmp_and_out_can_be_written() {
    let fixture = Fixture::new();
    assert_holds(&fixture.run(
        "for path in / /bin /bin/busybox /dev /dev/new /gdo /gdo/base /gdo/base/file /gdo/new \
             /gdo/candidate /gdo/candidate/new /gdo/context.json /proc /proc/sys/kernel/hostname \
             /proc/self/oom_score_adj/x /sys; do
           (echo x > $path) 2>/dev/null && echo wrote $path
           (echo x > $path/new) 2>/dev/null && echo wrote below $path
           mkdir $path/dir 2>/dev/null && echo made below $path
           chmod 777 $path 2>/dev/null && echo chmod $path
           rm -f $path/file 2>/dev/null; test -e /gdo/base/file || echo removed
         done
         echo x > /tmp/file && echo x > /gdo/out/file || echo cannot write at all
         echo held",
    ));
    assert_eq!(
        std::fs::read(fixture.path("base/file")).expect("read"),
        b"base"
    );
}

#[test]
fn programs_in_tmp_and_in_the_inputs_cannot_be_executed() {
    let fixture = Fixture::new();
    std::fs::copy("/bin/busybox", fixture.path("candidate/busybox")).expect("copy busybox");
    assert_holds(&fixture.run(
        "cp /bin/busybox /tmp/busybox; /tmp/busybox true 2>/dev/null && echo tmp
         cp /bin/busybox /gdo/out/busybox 2>/dev/null
         /gdo/out/busybox true 2>/dev/null && echo out
         /gdo/candidate/busybox true 2>/dev/null && echo candidate
         echo held",
    ));
}

#[test]
fn devices_mounts_and_namespaces_cannot_be_made() {
    let fixture = Fixture::new();
    assert_holds(&fixture.run(
        "mknod /tmp/sda b 8 0 2>/dev/null && echo block
         mknod /tmp/mem c 1 1 2>/dev/null && echo char
         mount -t tmpfs none /tmp 2>/dev/null && echo mount
         mount -o remount,rw / 2>/dev/null && echo remount
         mount -o remount,rw,bind /gdo/base 2>/dev/null && echo remount base
         unshare -r true 2>/dev/null && echo user namespace
         unshare -m true 2>/dev/null && echo mount namespace
         unshare -n true 2>/dev/null && echo net namespace
         echo held",
    ));
}

#[test]
fn a_validator_has_no_capability_no_new_privileges_and_a_filter() {
    let fixture = Fixture::new();
    let outcome = fixture.run("grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid)' /proc/self/status");
    let status = stdout(&outcome);
    for line in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{line}:\t0000000000000000\n")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    assert!(status.contains("Seccomp:\t2\n"), "{status}");
    assert!(status.contains("Uid:\t0\t0\t0\t0\n"), "{status}");
}

#[test]
fn nothing_of_the_machine_shows_through() {
    let fixture = Fixture::new();
    assert_holds(&fixture.run(
        "test -e /sys/kernel && echo sys
         test \"$(hostname)\" = validator || echo hostname
         test \"$(ls /proc | grep -cE '^[0-9]+$')\" -le 4 || echo processes
         ls -l /proc/self/fd | grep -E ' [3-9] -> ' | grep -v /proc/ && echo descriptors
         grep -v '^[0-9]*:[a-z=,]*:/$' /proc/self/cgroup && echo cgroup
         cat /proc/kcore 2>/dev/null | head -c 1 | grep -q . && echo kcore
         cat /proc/1/environ >/dev/null 2>&1 || echo own environment is hidden
         env | grep -qE 'CARGO|HOME=/root' && echo environment
         test -r /dev/sda && echo disk
         test -r /dev/kmsg && echo kmsg
         echo held",
    ));
}

#[test]
fn a_fork_bomb_is_stopped_and_leaves_nothing() {
    let fixture = Fixture::new();
    let limits = Limits {
        wall_ms: 1_500,
        ..small()
    };
    let outcome = fixture.run_within(limits, "b() { b | b & b; }; b; sleep 60");
    assert_ne!(judge(&outcome), Judgement::Pass, "{outcome:?}");
    // The helper is still of use, so its own forks succeed again.
    assert_eq!(judge(&fixture.run("exit 0")), Judgement::Pass);
}

#[test]
fn no_more_processes_than_allowed_exist_at_one_time() {
    let fixture = Fixture::new();
    let limits = Limits { pids: 5, ..small() };
    let outcome = fixture.run_within(
        limits,
        "for i in 1 2 3 4 5 6 7 8; do sleep 2 & done 2>/dev/null; ls /proc | grep -c '^[0-9]'",
    );
    let count: u32 = stdout(&outcome).trim().parse().unwrap_or(5);
    assert!(count <= 5, "{outcome:?}");
}

#[test]
fn a_memory_hog_is_killed_and_the_run_says_nothing() {
    let fixture = Fixture::new();
    let outcome = fixture.run_within(small(), "exec tail -n 1 /dev/zero");
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::OutOfMemory),
        "{outcome:?}"
    );
}

#[test]
fn memory_of_a_killed_child_is_noticed_when_the_first_process_exits_0() {
    let fixture = Fixture::new();
    let outcome = fixture.run_within(small(), "tail -n 1 /dev/zero; exit 0");
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::OutOfMemory),
        "{outcome:?}"
    );
}

#[test]
fn files_in_tmp_count_as_memory_and_are_bounded() {
    let fixture = Fixture::new();
    let outcome = fixture.run_within(
        small(),
        "dd if=/dev/zero of=/tmp/big bs=64k count=1024 2>/dev/null && echo unbounded
         dd if=/dev/zero of=/gdo/out/big bs=64k count=1024 2>/dev/null && echo unbounded
         dd if=/dev/zero of=/dev/shm/big bs=64k count=1024 2>/dev/null && echo unbounded
         echo held",
    );
    assert_holds(&outcome);
}

#[test]
fn runaway_time_is_ended_at_the_limit() {
    let fixture = Fixture::new();
    let limits = Limits {
        wall_ms: 300,
        ..small()
    };
    let begun = Instant::now();
    let outcome = fixture.run_within(limits, "trap '' TERM INT; sleep 60");
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::TimedOut),
        "{outcome:?}"
    );
    assert!(
        begun.elapsed().as_secs() < 20,
        "a limit of 300 ms took {:?}",
        begun.elapsed()
    );
    assert!(outcome.resources.wall_ms >= 300);
}

#[test]
fn processor_time_is_counted_over_all_processes() {
    let fixture = Fixture::new();
    let limits = Limits {
        cpu_ms: 300,
        wall_ms: 30_000,
        ..small()
    };
    let outcome = fixture.run_within(
        limits,
        "for i in 1 2 3; do (while :; do :; done) & done; wait",
    );
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::CpuExceeded),
        "{outcome:?}"
    );
    assert!(
        (300..3_000).contains(&outcome.resources.cpu_ms),
        "{outcome:?}"
    );
}

#[test]
fn a_flood_of_output_is_cut_and_ends_the_run() {
    let fixture = Fixture::new();
    for script in [
        "yes",
        "yes >&2",
        "yes | head -c 20000; exit 0",
        "yes | head -c 10000; yes | head -c 10000 >&2; exit 0",
    ] {
        let outcome = fixture.run_within(small(), script);
        let expected = Judgement::Inconclusive(Reason::OutputTruncated);
        assert_eq!(judge(&outcome), expected, "{script}");
        assert_eq!(
            outcome.stdout.len() + outcome.stderr.len(),
            16 << 10,
            "{script}"
        );
    }
}

#[test]
fn exactly_the_allowed_output_passes() {
    let fixture = Fixture::new();
    let outcome = fixture.run_within(small(), "yes | head -c 16384; exit 0");
    assert_eq!(judge(&outcome), Judgement::Pass, "{outcome:?}");
    assert_eq!(outcome.stdout.len(), 16 << 10);
}

#[test]
fn a_report_that_is_a_trap_is_not_followed() {
    let fixture = Fixture::new();
    for trap in [
        "ln -s /etc/passwd /gdo/out/report.json",
        "ln -s /gdo/base/file /gdo/out/report.json",
        "mkfifo /gdo/out/report.json",
        "mkdir /gdo/out/report.json",
        "chmod 000 /gdo/out",
    ] {
        let outcome = fixture.run(&format!("{trap}; exit 0"));
        assert_eq!(outcome.report, None, "{trap}");
    }
    let outcome = fixture.run_within(small(), "yes | head -c 16385 > /gdo/out/report.json");
    assert_eq!(
        judge(&outcome),
        Judgement::Inconclusive(Reason::OutputTruncated),
        "{outcome:?}"
    );
}

#[test]
fn background_processes_end_with_the_first_one() {
    let fixture = Fixture::new();
    let begun = Instant::now();
    let outcome = fixture.run("setsid sleep 60 & (sleep 60 >/dev/null 2>&1 &) ; exit 0");
    assert_eq!(judge(&outcome), Judgement::Pass, "{outcome:?}");
    assert!(begun.elapsed().as_secs() < 20);
}

/// Tries system calls that must not be there and prints the number of each that is.
const FORBIDDEN: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define TRY(name, ...) \
    do { errno = 0; syscall(SYS_##name, ##__VA_ARGS__); \
         if (errno != ENOSYS) printf("%s\n", #name); } while (0)
int main(void) {
    static long zero[64];
    TRY(add_key, 0, 0, 0, 0, 0); TRY(bpf, 0, zero, 64); TRY(chroot, "/"); TRY(clone3, zero, 64);
    TRY(connect, 1, zero, 16); TRY(delete_module, "x", 0); TRY(fsopen, "tmpfs", 0);
    TRY(init_module, 0, 0, ""); TRY(io_uring_setup, 1, zero); TRY(kcmp, 1, 1, 0, 0, 0);
    TRY(kexec_load, 0, 0, 0, 0); TRY(keyctl, 0, 0); TRY(memfd_create, "x", 0);
    TRY(mknodat, -1, "x", 0, 0); TRY(mount, 0, "/", 0, 0, 0); TRY(move_mount, -1, "", -1, "", 0);
    TRY(name_to_handle_at, -1, "", 0, 0, 0); TRY(open_by_handle_at, -1, zero, 0);
    TRY(open_tree, -1, "", 0); TRY(perf_event_open, zero, 0, 0, -1, 0); TRY(personality, 0);
    TRY(pidfd_getfd, -1, 0, 0); TRY(pivot_root, "/", "/"); TRY(process_vm_readv, 1, 0, 0, 0, 0, 0);
    TRY(process_vm_writev, 1, 0, 0, 0, 0, 0); TRY(ptrace, 0, 0, 0, 0); TRY(reboot, 0, 0, 0, 0);
    TRY(request_key, 0, 0, 0, 0); TRY(sched_setaffinity, 0, 8, zero); TRY(setdomainname, "x", 1);
    TRY(sethostname, "x", 1); TRY(setns, -1, 0); TRY(socket, 2, 1, 0); TRY(socketpair, 1, 1, 0, zero);
    TRY(swapon, "x", 0); TRY(sync); TRY(syncfs, 0); TRY(umount2, "/", 0);
    TRY(unshare, CLONE_NEWUSER); TRY(userfaultfd, 0);
    /* Allowed, but not with these arguments. */
    int flags[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
                   CLONE_NEWPID, CLONE_NEWNET, 0x80};
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        errno = 0;
        long pid = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) _exit(0);
        if (errno != ENOSYS) printf("clone %x\n", flags[i]);
    }
    if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) == 0) puts("the leash can be taken off");
    if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0) puts("the leash can be made longer");
    int leash = 0;
    prctl(PR_GET_PDEATHSIG, &leash, 0, 0, 0);
    if (leash != SIGKILL) printf("the leash is %d\n", leash);
    puts("held");
    return 0;
}
"#;

#[test]
fn system_calls_that_lead_out_are_not_there_and_the_leash_holds() {
    let fixture = Fixture::new();
    let source = fixture.path("forbidden.c");
    std::fs::write(&source, FORBIDDEN).expect("write the program");
    let built = std::process::Command::new("cc")
        .args(["-static", "-O1", "-o"])
        .arg(fixture.image.rootfs.join("bin/forbidden"))
        .arg(&source)
        .output()
        .expect("this test needs a C compiler: apt-get install gcc libc6-dev");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    assert_holds(&fixture.run("exec /bin/forbidden"));
}

#[test]
fn the_kernel_kills_the_validator_before_its_helper_and_that_cannot_be_changed() {
    let fixture = Fixture::new();
    assert_holds(&fixture.run(
        "test \"$(cat /proc/self/oom_score_adj)\" = 1000 || cat /proc/self/oom_score_adj
         (echo 0 > /proc/self/oom_score_adj) 2>/dev/null && echo lowered
         taskset -p ff 1 >/dev/null 2>&1; test \"$(nproc)\" = 1 || echo more processors
         echo held",
    ));
}
