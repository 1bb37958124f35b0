//! The system calls a validator may make.
//!
//! An allow-list: what is not named here answers ENOSYS, which libraries take as "an old kernel"
//! and work around, where EPERM would make some of them give up. There is no `socket`, `connect`,
//! `mount`, `ptrace`, `mknod`, `bpf`, `keyctl`, `io_uring_*`, `unshare`, `setns` or `personality`,
//! and no way to change the processor affinity or to make the whole machine sync.
//!
//! The filter is loaded before the container reports that it is ready, hence `sendmsg`, `recvmsg`,
//! `accept4`, `recvfrom` and `shutdown`: without `socket` and `socketpair` they have nothing to act
//! on once the validator runs, for every other descriptor was closed.

use libcontainer::oci_spec::OciSpecError;
use libcontainer::oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use nix::libc;

/// Every flag of `clone` that makes a namespace.
const CLONE_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64
    | CLONE_NEWTIME;

/// Not in libc for every target; the value is part of the kernel's interface.
const CLONE_NEWTIME: u64 = 0x80;

#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    // files
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat",
    "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir",
    "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents",
    "getdents64", "getxattr", "ioctl", "lchown", "lgetxattr", "link", "linkat", "listxattr",
    "llistxattr", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat",
    "openat2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync_file_range",
    "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes",
    "vmsplice", "write", "writev",
    // waiting
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd", "eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "signalfd",
    "signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    // memory
    "brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mlockall", "mmap",
    "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
    "pkey_mprotect",
    // processes, threads, signals
    "alarm", "arch_prctl", "capget", "execve", "execveat", "exit", "exit_group", "fork",
    "futex", "futex_waitv", "get_robust_list", "getegid", "geteuid", "getgid", "getgroups",
    "getitimer", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid",
    "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "kill", "pause",
    "pidfd_open", "pidfd_send_signal", "prlimit64", "restart_syscall", "rseq", "rt_sigaction",
    "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_yield", "set_robust_list", "set_tid_address", "setitimer",
    "setpgid", "setpriority", "setrlimit", "setsid", "sigaltstack", "tgkill", "tkill", "vfork",
    "wait4", "waitid",
    // time and the machine
    "clock_getres", "clock_gettime", "clock_nanosleep", "getcpu", "getrandom", "gettimeofday",
    "nanosleep", "sysinfo", "time", "times", "uname",
    // needed between the loading of this filter and the program's start
    "accept4", "recvfrom", "recvmsg", "sendmsg", "shutdown",
];

/// The filter for this machine's architecture.
pub(crate) fn filter() -> Result<LinuxSeccomp, OciSpecError> {
    let allow =
        |names: &[&str], args: Vec<LinuxSeccompArg>| -> Result<LinuxSyscall, OciSpecError> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let builder = LinuxSyscallBuilder::default()
                .names(names)
                .action(LinuxSeccompAction::ScmpActAllow);
            if args.is_empty() {
                builder.build()
            } else {
                builder.args(args).build()
            }
        };
    let syscalls = vec![
        allow(ALLOWED, Vec::new())?,
        // Threads and children, but no namespaces; clone3 hides its flags behind a pointer and is
        // left out, so libraries fall back to clone.
        allow(
            &["clone"],
            // The runtime specification calls the mask `value` and what is left of the argument
            // `valueTwo`; libcontainer 0.7.0 takes them the other way round, and written as
            // specified the rule would allow everything.
            vec![argument(
                0,
                LinuxSeccompOperator::ScmpCmpMaskedEq,
                0,
                Some(CLONE_NAMESPACES),
            )?],
        )?,
        // Everything prctl does is harmless here but one thing: undoing that the container dies
        // with its helper.
        allow(
            &["prctl"],
            vec![argument(
                0,
                LinuxSeccompOperator::ScmpCmpNe,
                libc::PR_SET_PDEATHSIG as u64,
                None,
            )?],
        )?,
        allow(
            &["prctl"],
            vec![
                argument(
                    0,
                    LinuxSeccompOperator::ScmpCmpEq,
                    libc::PR_SET_PDEATHSIG as u64,
                    None,
                )?,
                argument(
                    1,
                    LinuxSeccompOperator::ScmpCmpEq,
                    libc::SIGKILL as u64,
                    None,
                )?,
            ],
        )?,
    ];
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::ENOSYS as u32)
        .architectures(vec![architecture()])
        .syscalls(syscalls)
        .build()
}

fn argument(
    index: usize,
    op: LinuxSeccompOperator,
    value: u64,
    value_two: Option<u64>,
) -> Result<LinuxSeccompArg, OciSpecError> {
    let builder = LinuxSeccompArgBuilder::default()
        .index(index)
        .op(op)
        .value(value);
    match value_two {
        Some(second) => builder.value_two(second).build(),
        None => builder.build(),
    }
}

const fn architecture() -> Arch {
    if cfg!(target_arch = "aarch64") {
        Arch::ScmpArchAarch64
    } else if cfg!(target_arch = "riscv64") {
        Arch::ScmpArchRiscv64
    } else {
        Arch::ScmpArchX86_64
    }
}
