//! Dapps of a few lines of shell, in an image of nothing but a static busybox.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::clone::Clone;
use crate::seen::Seen;

const BUSYBOX: &str = "/bin/busybox";
const TOOLS: [&str; 4] = ["sh", "cat", "sleep", "yes"];

/// The limits of the dapps of the tests, as a table of TOML.
const LIMITS: &str = "{ wall_ms = 5000, cpu_ms = 2000, memory_mib = 32, pids = 16, \
                      output_kib = 64, tmp_mib = 1 }";

/// Writes a dapp that judges `notes/` by a shell script, and the rule that asks for it. The script
/// runs in the candidate's tree; its exit code is the verdict.
///
/// # Panics
/// busybox-static is missing, or the image cannot be made.
#[track_caller]
pub fn write_shell_dapp(clone: &Clone, name: &str, script: &str) {
    let folder = format!(".gdo/dapps/{name}");
    clone.write(&format!("{folder}/dapp.toml"), manifest(name));
    let root = clone.path().join(".git/image-root");
    make_root(&root, script);
    let writer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dapps/oci-layout.sh");
    let layout = clone.path().join(".git/image-layout");
    let mut command = Command::new(writer);
    command.arg(&root).arg(&layout);
    let _ = Seen::of(command.args(["/bin/sh", "/bin/validate"])).accepted();
    let source = format!("oci:{}", layout.display());
    let import = ["image", "import", "--dapp", name, &source, "--no-push"];
    let _ = clone.gdo(&import).accepted();
    push_layers(clone, &folder);
    fs::remove_dir_all(&root).expect("it is ours");
    fs::remove_dir_all(&layout).expect("it is ours");
    let rule = format!(
        "\n[[rule]]\npath = \"notes/\"\nlane = \"final\"\nwriters = [\"any\"]\ndapps = [\"{name}\"]\n"
    );
    let policy = clone.read(".gdo/policy.toml");
    clone.write(".gdo/policy.toml", policy + &rule);
}

/// Has git-lfs push the layers of the image below `folder`, ahead of the proposal that names them.
#[track_caller]
fn push_layers(clone: &Clone, folder: &str) {
    let attributes = clone.read(&format!("{folder}/image/.gitattributes"));
    let layers = attributes
        .lines()
        .filter_map(|line| line.split_once(" filter=lfs"));
    for (path, _) in layers {
        let oid = path.rsplit('/').next().unwrap_or_default();
        clone.run(&["lfs", "push", "--object-id", "origin", oid]);
    }
}

/// The manifest of a dapp that judges `notes/`.
#[must_use]
pub fn manifest(name: &str) -> String {
    format!(
        "contract = 1\nname = \"{name}\"\nversion = \"1.0.0\"\n[validator]\n\
         engine = \"container\"\nimage = \"image\"\nreads = [\"notes/**\"]\nlimits = {LIMITS}\n"
    )
}

fn make_root(root: &Path, script: &str) {
    let linked = Command::new("ldd").arg(BUSYBOX).output();
    let is_static = linked.is_ok_and(|output| !output.status.success());
    assert!(
        Path::new(BUSYBOX).is_file() && is_static,
        "{BUSYBOX} must be static; apt install busybox-static"
    );
    fs::create_dir_all(root.join("bin")).expect("a new directory");
    fs::create_dir(root.join("tmp")).expect("a new directory");
    fs::copy(BUSYBOX, root.join("bin/busybox")).expect("it is readable");
    for tool in TOOLS {
        symlink("busybox", root.join("bin").join(tool)).expect("a new directory");
    }
    let validate = root.join("bin/validate");
    fs::write(&validate, format!("cd /gdo/candidate\n{script}\n")).expect("a new directory");
    fs::set_permissions(&validate, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
