//! The validator in shell: its cases, and its image, which any directory builds to the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_dapp_sdk::testing::{Scratch, run_cases};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shell-example")
}

fn build_image(out: &Path) {
    let output = Command::new(example().join("image.sh"))
        .arg(out)
        .output()
        .expect("sh runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
}

#[test]
fn the_shipped_cases_come_out_as_expected() {
    let script = example().join("validate.sh");
    let script = script.to_str().expect("a checkout has a UTF-8 path");
    // The shell of the image: its tools are those of busybox.
    assert_eq!(
        run_cases(&example().join("cases"), &["busybox", "sh", script]),
        3
    );
    let nowhere = Command::new("busybox")
        .args(["sh", script, "/nonexistent"])
        .output();
    assert_eq!(
        nowhere.expect("busybox is installed").status.code(),
        Some(70)
    );
}

#[test]
fn its_image_is_complete_and_the_same_every_time() {
    let scratch = Scratch::new();
    let (first, second) = (scratch.path().join("first"), scratch.path().join("second"));
    build_image(&first);
    build_image(&second);
    let index = |dir: &Path| fs::read_to_string(dir.join("index.json")).expect("written");
    assert_eq!(index(&first), index(&second));
    let blobs = fs::read_dir(first.join("blobs/sha256")).expect("written");
    let mut sizes = Vec::new();
    for blob in blobs {
        let path = blob.expect("readable").path();
        let bytes = fs::read(&path).expect("readable");
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("hex");
        assert_eq!(gdo_core::id::Digest::of(&bytes).to_string(), name);
        sizes.push(bytes.len());
    }
    sizes.sort_unstable();
    assert_eq!(sizes.len(), 3, "config, manifest, layer");
    assert!(sizes[2] < 8 << 20, "a layer fits into a plain blob");
}
