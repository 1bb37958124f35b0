//! Images with stock tools: pushed, pulled, listed, over the distribution API of a real node.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_core::id::Digest;
use gdo_tests::program::{noise, share};
use gdo_tests::{Clone, Org, Seen, lfs};
use serde_json::Value;

/// `skopeo` without a policy of this machine.
#[track_caller]
fn skopeo(org: &Org, arguments: &[&str]) -> Seen {
    let mut command = org.environment().command("skopeo");
    command.arg("--insecure-policy").args(arguments);
    // Else it wants to write below a home that other tests share.
    command.env("XDG_RUNTIME_DIR", org.environment().home());
    Seen::of(&mut command)
}

/// Where images are, as skopeo names them.
fn registry(org: &Org) -> String {
    let url = org.url().strip_prefix("http://").expect("plain HTTP");
    let host = url.split('/').next().expect("a host");
    format!("docker://{host}")
}

/// An OCI layout of one small layer; gives its folder.
#[track_caller]
fn make_layout(org: &Org, name: &str) -> PathBuf {
    let root = org.temp().join(format!("{name}-root"));
    fs::create_dir_all(root.join("bin")).expect("a new directory");
    fs::write(root.join("bin/data"), noise(400_000)).expect("a new directory");
    fs::write(root.join("etc"), format!("{name}\n")).expect("a new directory");
    let layout = org.temp().join(name);
    let writer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dapps/oci-layout.sh");
    let mut command = Command::new(writer);
    let _ = Seen::of(command.arg(&root).arg(&layout).arg("/bin/data")).accepted();
    layout
}

/// The manifests that an `index.json` lists: digest and tag.
fn manifest_digest(layout: &Path) -> String {
    let index = fs::read(layout.join("index.json")).expect("a layout");
    let index: Value = serde_json::from_slice(&index).expect("it is JSON");
    let digest = index["manifests"][0]["digest"].as_str();
    digest.expect("it lists one").to_owned()
}

/// The blobs of a layout, each with the hash of its content.
fn blobs(layout: &Path) -> BTreeMap<String, Digest> {
    let entries = fs::read_dir(layout.join("blobs/sha256")).expect("a layout");
    entries
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let content = fs::read(&path).expect("readable");
            (name.into_owned(), Digest::of(&content))
        })
        .collect()
}

/// Copies an image from the node into a layout, as it is.
#[track_caller]
fn pull(org: &Org, source: &str, back: &Path) {
    let target = format!("oci:{}", back.display());
    let words = ["copy", "--preserve-digests", "--src-tls-verify=false"];
    let _ = skopeo(org, &[&words[..], &[source, &target]].concat()).accepted();
}

/// What the node says of the image of this name.
#[track_caller]
fn listed(org: &Org, name: &str) -> Value {
    let images = control(org, "/v1/images");
    let mut images = images["images"].as_array().into_iter().flatten();
    let found = images.find(|image| image["name"] == name);
    found.expect("it is listed").clone()
}

fn control(org: &Org, path: &str) -> Value {
    let socket = org.dir().join("run/control.sock");
    let mut command = org.environment().command("curl");
    command.args(["-sSf", "--unix-socket"]).arg(socket);
    let seen = Seen::of(command.arg(format!("http://gdo{path}"))).accepted();
    serde_json::from_str(&seen.text).expect("it is JSON")
}

#[test]
fn an_image_goes_in_with_skopeo_and_comes_back_the_same() {
    let org = Org::new("blank");
    let layout = make_layout(&org, "tools");
    let (registry, digest) = (registry(&org), manifest_digest(&layout));
    let from = format!("oci:{}", layout.display());
    let to = format!("{registry}/tools:v1");
    let _ = skopeo(
        &org,
        &[
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &from,
            &to,
        ],
    )
    .accepted();
    org.wait_for_log(&format!("gdo image propose tools@{digest}"));

    for (name, source) in [
        ("by-tag", to.clone()),
        ("by-digest", format!("{registry}/tools@{digest}")),
    ] {
        let back = org.temp().join(name);
        pull(&org, &source, &back);
        assert_eq!(manifest_digest(&back), digest);
        assert_eq!(blobs(&back), blobs(&layout), "{name}");
    }
    // Again: everything is there already.
    let again = format!("{registry}/tools:v2");
    let _ = skopeo(
        &org,
        &[
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &from,
            &again,
        ],
    )
    .accepted();

    // Nobody signed for it, so it is in no list but the node's own of what is staged.
    let words = [
        "list-tags",
        "--tls-verify=false",
        &format!("{registry}/tools"),
    ];
    skopeo(&org, &words).accepted().hides("v1");
    let listed = listed(&org, "tools");
    assert_eq!(listed["source"], "staged");
    assert_eq!(listed["tags"], serde_json::json!(["v1", "v2"]));
    let shown = control(&org, &format!("/v1/images/tools@{digest}"));
    assert_eq!(shown["digest"], digest.as_str());
    assert_eq!(shown["blobs"].as_array().map(Vec::len), Some(2));
    let record = format!("staged/images/tools/{}.json", &digest["sha256:".len()..]);
    assert!(org.dir().join(record).is_file());

    let image = format!("tools@{digest}");
    org.gdo(&["image", "pin", &image]).accepted().shows(&image);
    org.gdo(&["image", "list"]).accepted().shows("pinned ");
    let unpin = ["image", "pin", &image, "--remove"];
    let _ = org.gdo(&unpin).accepted();
    org.gdo(&["image", "list"]).accepted().hides("pinned ");
    org.gdo(&unpin).refused().shows("is not pinned");
    let other = format!("tools@sha256:{}", "0".repeat(64));
    org.gdo(&["image", "pin", &other])
        .refused()
        .shows("not staged");
    org.gdo(&["image", "pin", "tools:v1"])
        .refused()
        .shows("NAME@sha256:");
    org.check();
}

#[test]
#[ignore = "soak: podman is large, and is installed for this alone"]
fn an_image_goes_in_and_out_with_podman() {
    let org = Org::new("blank");
    let store = org.temp().join("podman");
    let podman = |arguments: &[&str]| {
        let mut command = org.environment().command("podman");
        command.arg("--root").arg(store.join("root"));
        command.arg("--runroot").arg(store.join("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        Seen::of(&mut command).accepted()
    };
    let root = org.temp().join("root");
    fs::create_dir(&root).expect("a new directory");
    fs::write(root.join("data"), noise(400_000)).expect("a new directory");
    let archive = org.temp().join("root.tar");
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(&archive).arg("-C").arg(&root).arg(".");
    let _ = Seen::of(&mut tar).accepted();
    let imported = podman(&["import", "--quiet", archive.to_str().expect("UTF-8")]);
    let id = imported.text.trim().trim_start_matches("sha256:");
    let image = format!(
        "{}/tools:v1",
        registry(&org).trim_start_matches("docker://")
    );
    podman(&["push", "--quiet", "--tls-verify=false", id, &image]);
    org.gdo(&["image", "list"])
        .accepted()
        .shows("gdo image propose tools@");
    podman(&["rmi", "--force", id]);
    let back = podman(&["pull", "--quiet", "--tls-verify=false", &image]);
    back.shows(id);
    org.check();
}

#[test]
fn an_image_in_dockers_format_keeps_its_media_types() {
    let org = Org::new("blank");
    let layout = make_layout(&org, "tools");
    let from = format!("oci:{}", layout.display());
    let to = format!("{}/tools:docker", registry(&org));
    let words = [
        "copy",
        "--format",
        "v2s2",
        "--dest-tls-verify=false",
        &from,
        &to,
    ];
    let _ = skopeo(&org, &words).accepted();
    let seen = skopeo(&org, &["inspect", "--raw", "--tls-verify=false", &to]).accepted();
    seen.shows("application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(
        listed(&org, "tools")["media_type"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
}

#[test]
fn an_image_of_the_ledger_is_listed_and_pulled_by_its_tags() {
    let org = Org::new("blank");
    let layout = share().join("dapps/policy/image");
    let (registry, digest) = (registry(&org), manifest_digest(&layout));
    let policy = format!("{registry}/dapps/policy");
    let seen = skopeo(&org, &["list-tags", "--tls-verify=false", &policy]).accepted();
    seen.shows("\"latest\"");
    for source in [format!("{policy}:latest"), format!("{policy}@{digest}")] {
        let back = org.temp().join("back");
        pull(&org, &source, &back);
        assert_eq!(manifest_digest(&back), digest, "{source}");
        assert_eq!(blobs(&back).len(), 3, "{source}");
        fs::remove_dir_all(back).expect("it is ours");
    }
    let mut curl = lfs::curl(org.environment(), &[&catalog_url(&org)]);
    let seen = Seen::of(&mut curl).accepted();
    seen.shows("\"dapps/policy\"").shows("200");

    // Nothing can be pushed to where a dapp's image is read.
    let other = make_layout(&org, "other");
    let from = format!("oci:{}", other.display());
    let to = format!("{policy}:latest");
    let seen = skopeo(&org, &["copy", "--dest-tls-verify=false", &from, &to]).refused();
    seen.shows("come with a proposal alone");
    org.check();
}

/// Proposes a layout as an image of the ledger, its layer as a pointer.
#[track_caller]
fn propose_image(clone: &Clone, layout: &Path, name: &str) {
    let folder = format!(".gdo/images/{name}");
    let target = clone.path().join(&folder);
    fs::create_dir_all(target.parent().expect("it lies in the clone")).expect("ours");
    let mut copy = Command::new("cp");
    let _ = Seen::of(copy.arg("-r").arg(layout).arg(&target)).accepted();
    let bytes = |name: &String| {
        let file = layout.join("blobs/sha256").join(name);
        fs::metadata(file).expect("it was listed").len()
    };
    let layer = blobs(layout).into_keys().max_by_key(bytes);
    let layer = layer.expect("a layout has blobs");
    clone.run(&["lfs", "track", &format!("{folder}/blobs/sha256/{layer}")]);
    clone.commit_all("Add an image");
    clone.propose(&[]).accepted().shows("(checkpoint ");
}

#[test]
fn an_image_that_a_member_proposed_wins_over_one_that_anybody_pushed() {
    let org = Org::new("blank");
    lfs::install(org.environment());
    let clone = org.clone("alice");
    let layout = make_layout(&org, "tools");
    propose_image(&clone, &layout, "tools");
    let (registry, digest) = (registry(&org), manifest_digest(&layout));
    let tools = format!("{registry}/tools:latest");
    let back = org.temp().join("back");
    pull(&org, &tools, &back);
    assert_eq!(blobs(&back), blobs(&layout));
    assert_eq!(listed(&org, "tools")["source"], "ledger");

    let other = make_layout(&org, "other");
    let from = format!("oci:{}", other.display());
    let words = ["copy", "--preserve-digests", "--dest-tls-verify=false"];
    let _ = skopeo(&org, &[&words[..], &[&from, &tools]].concat()).accepted();
    let again = org.temp().join("again");
    pull(&org, &tools, &again);
    assert_eq!(manifest_digest(&again), digest);
    let pushed = format!("{registry}/tools@{}", manifest_digest(&other));
    let by_digest = org.temp().join("by-digest");
    pull(&org, &pushed, &by_digest);
    assert_eq!(blobs(&by_digest), blobs(&other));
    org.check();
}

fn catalog_url(org: &Org) -> String {
    let host = registry(org);
    let host = host.strip_prefix("docker://").expect("skopeo's form");
    format!("http://{host}/v2/_catalog")
}
