//! Images, projections and sandboxes for tests.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use gdo_runtime::{
    HelperCommand, Image, ImageCache, Isolation, Limits, Outcome, RunRequest, Sandbox,
    SandboxConfig, default_state_dir,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// The architecture of this machine, as images name it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A layer in the making.
pub(crate) struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Layer {
        Layer(Builder::new(Vec::new()))
    }

    /// An entry with exactly these bytes as its path, which `tar` itself would refuse to write.
    pub(crate) fn raw(
        mut self,
        kind: EntryType,
        path: &str,
        link: &str,
        mode: u32,
        data: &[u8],
    ) -> Layer {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_mtime(1_000_000_000);
        let fields = header.as_old_mut();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0
            .append(&header, data)
            .expect("writing to memory cannot fail");
        self
    }

    pub(crate) fn file(self, path: &str, mode: u32, data: &[u8]) -> Layer {
        self.raw(EntryType::Regular, path, "", mode, data)
    }

    pub(crate) fn directory(self, path: &str) -> Layer {
        self.raw(EntryType::Directory, path, "", 0o755, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Layer {
        self.raw(EntryType::Symlink, path, target, 0o777, b"")
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("writing to memory cannot fail")
    }
}

/// How a layer is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn put(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = sha256(bytes);
    let name = digest
        .strip_prefix("sha256:")
        .expect("the digest was just made so");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("make the blob directory");
    fs::write(blobs.join(name), bytes).expect("write a blob");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Writes an OCI layout with these layers for this machine and returns its manifest's descriptor.
pub(crate) fn write_layout(layout: &Path, layers: &[(Packing, Vec<u8>)], config: &Value) -> Value {
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    for (packing, tar) in layers {
        diff_ids.push(sha256(tar));
        descriptors.push(match packing {
            Packing::Plain => put(layout, "application/vnd.oci.image.layer.v1.tar", tar),
            Packing::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(tar).expect("writing to memory cannot fail");
                let bytes = gzip.finish().expect("writing to memory cannot fail");
                put(
                    layout,
                    "application/vnd.oci.image.layer.v1.tar+gzip",
                    &bytes,
                )
            }
        });
    }
    let configuration = json!({
        "architecture": architecture(), "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let configuration = put(
        layout,
        "application/vnd.oci.image.config.v1+json",
        configuration.to_string().as_bytes(),
    );
    let manifest = json!({
        "schemaVersion": 2, "config": configuration, "layers": descriptors,
    });
    let manifest = put(
        layout,
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    write_index(layout, std::slice::from_ref(&manifest));
    manifest
}

pub(crate) fn write_index(layout: &Path, manifests: &[Value]) {
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .expect("write");
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(layout.join("index.json"), index.to_string()).expect("write index.json");
}

/// A layer with Debian's static busybox and its shell.
pub(crate) fn busybox() -> Layer {
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(path).ok())
        .expect("these tests need a static busybox: apt-get install busybox-static");
    assert!(
        !program[..4096].windows(7).any(|bytes| bytes == b"ld-linu"),
        "/bin/busybox is linked dynamically: apt-get install busybox-static"
    );
    let mut layer = Layer::new()
        .directory("bin/")
        .file("bin/busybox", 0o755, &program);
    for applet in [
        "sh", "cat", "ls", "echo", "id", "mount", "mknod", "ping", "wget", "nc", "sleep", "dd",
        "touch", "ln", "mkfifo", "yes", "env", "hostname", "stat", "nproc", "head", "kill", "ps",
        "unshare", "chmod", "mkdir", "rm", "grep", "sync", "tail", "pwd", "cp", "true", "false",
        "nice", "taskset", "df", "setsid", "ip",
    ] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer
}

/// Everything one test needs: an image cache, two trees, a sandbox.
pub(crate) struct Fixture {
    pub(crate) sandbox: Sandbox,
    pub(crate) image: Image,
    state_dir: StateDir,
    pub(crate) dir: TempDir,
}

/// A state directory, looked at after the sandbox that is declared before it is gone.
pub(crate) struct StateDir(pub(crate) PathBuf);

impl Drop for StateDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(
                !self.0.exists(),
                "something is left in {}",
                self.0.display()
            );
        }
    }
}

/// Path of the helper program that belongs to this crate.
pub(crate) fn helper() -> HelperCommand {
    let copy = std::env::var_os("GDO_TEST_HELPER").map(PathBuf::from);
    let own = || PathBuf::from(env!("CARGO_BIN_EXE_gdo-sandbox-helper"));
    HelperCommand::program(&copy.unwrap_or_else(own))
}

pub(crate) fn sandbox(state_dir: &Path, isolation: Isolation) -> Sandbox {
    Sandbox::new(SandboxConfig {
        helper: helper(),
        state_dir: state_dir.to_path_buf(),
        isolation,
    })
    .expect("make a sandbox")
}

impl Fixture {
    /// A busybox image and a projection of one file each.
    pub(crate) fn new() -> Fixture {
        Fixture::with_isolation(Isolation::Full)
    }

    pub(crate) fn with_isolation(isolation: Isolation) -> Fixture {
        let dir = TempDir::new().expect("make a temporary directory");
        let layout = dir.path().join("image");
        let config = json!({"Env": ["FROM_IMAGE=yes", "TZ=Mars"], "Cmd": ["/bin/sh"]});
        write_layout(&layout, &[(Packing::Gzip, busybox().bytes())], &config);
        let image = ImageCache::new(&dir.path().join("cache"))
            .prepare(&layout)
            .expect("prepare the image");
        for tree in ["base", "candidate"] {
            fs::create_dir(dir.path().join(tree)).expect("make a tree");
            fs::write(dir.path().join(tree).join("file"), tree).expect("write a file");
        }
        fs::write(dir.path().join("context.json"), r#"{"version":1}"#).expect("write context");
        let state_dir = StateDir(default_state_dir(dir.path()));
        let sandbox = sandbox(&state_dir.0, isolation);
        Fixture {
            sandbox,
            image,
            state_dir,
            dir,
        }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state_dir.0.clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A run of a shell script.
    pub(crate) fn script(&self, script: &str) -> RunRequest {
        RunRequest::new(
            &self.image,
            &self.path("base"),
            &self.path("candidate"),
            &self.path("context.json"),
        )
        .with_command(vec!["/bin/sh".into(), "-c".into(), script.into()])
    }

    pub(crate) fn run(&self, script: &str) -> Outcome {
        self.sandbox
            .run(&self.script(script))
            .expect("the run gives an outcome")
    }

    pub(crate) fn run_within(&self, limits: Limits, script: &str) -> Outcome {
        let request = self.script(script).with_limits(limits);
        self.sandbox
            .run(&request)
            .expect("the run gives an outcome")
    }
}

/// What a run wrote to stdout, as text.
pub(crate) fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// Every control group of this state directory's sandbox, wherever it lies; a sandbox's groups are
/// named by the hash of the directory.
pub(crate) fn groups(state_dir: &Path) -> Vec<PathBuf> {
    let hash = gdo_core::id::Digest::of(state_dir.as_os_str().as_encoded_bytes()).short(12);
    let found = std::process::Command::new("find")
        .args([
            "/sys/fs/cgroup",
            "-type",
            "d",
            "-name",
            &format!("{hash}-*"),
        ])
        .output()
        .expect("run find");
    String::from_utf8_lossy(&found.stdout)
        .lines()
        .map(PathBuf::from)
        .collect()
}
