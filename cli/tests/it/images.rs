//! Images on their way from another tool into a ledger, onto a validator's machine and out again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Said, World};

/// A running node with clones; stopped when dropped.
struct Running {
    world: World,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.world.gdo("", &["node", "stop", "node"]);
    }
}

impl Running {
    fn start() -> Self {
        let world = World::new();
        world.ledger();
        world.gdo("", &["node", "start", "node"]).ends(0);
        let mut running = Self {
            world,
            url: String::new(),
        };
        running.find_url();
        running.clone("alice");
        running
    }

    /// The address of the node, which is another one at each start.
    fn find_url(&mut self) {
        let status = self.world.gdo("node", &["status", "--json"]).ends(0);
        let status: Value = serde_json::from_str(&status.out).expect("JSON");
        let url = status["clone_urls"][0].as_str().expect("an address");
        self.url = url.to_owned();
    }

    fn path(&self, inner: &str) -> String {
        let path = self.world.path(inner);
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    }

    fn clone(&self, dir: &str) {
        self.world.run("", "git", &["clone", "-q", &self.url, dir]);
        for (name, value) in [
            ("user.name", "alice"),
            ("user.email", "alice@example.org"),
            ("gpg.format", "ssh"),
            ("commit.gpgsign", "true"),
            ("user.signingkey", &self.path("keys/alice.pub")),
        ] {
            self.world.run(dir, "git", &["config", name, value]);
        }
    }

    /// A root file system with a shell in it.
    fn rootfs(&self) {
        for (file, text) in [("etc/name", "makers\n"), ("bin/tool", "#!/bin/sh\n")] {
            self.world.write(&format!("rootfs/{file}"), text);
        }
    }

    fn json(&self, dir: &str, args: &[&str]) -> Value {
        let said = self.world.gdo(dir, args).ends(0);
        serde_json::from_str(&said.out).expect("JSON")
    }

    #[track_caller]
    fn is_clean(&self, dir: &str) {
        // As if every file had been written just now: git looks at the content again.
        self.world
            .run(dir, "git", &["update-index", "-q", "--really-refresh"]);
        let status = self.world.run(dir, "git", &["status", "--porcelain"]).out;
        assert_eq!(status, "", "the work tree of {dir} is clean");
    }

    fn pull(&self, dir: &str) {
        self.world.run(dir, "git", &["fetch", "-q", "origin"]);
        self.world
            .run(dir, "git", &["reset", "-q", "--hard", "origin/main"]);
    }

    /// Stops the node, lets `change` happen, and starts it.
    fn restart(&mut self, change: impl FnOnce(&World)) {
        self.world.gdo("", &["node", "stop", "node"]).ends(0);
        change(&self.world);
        self.world.gdo("", &["node", "start", "node"]).ends(0);
        self.find_url();
        let url = self.url.clone();
        self.world
            .run("alice", "git", &["remote", "set-url", "origin", &url]);
    }

    /// Pushes a change that the policy dapp judges.
    fn push_note(&self, name: &str) -> Said {
        let world = &self.world;
        world.write(&format!("alice/.gdo/images/{name}.md"), "# A note\n");
        world.run("alice", "git", &["add", ".gdo/images"]);
        world.run("alice", "git", &["commit", "-q", "-m", "Write a note"]);
        let push = ["push", "-o", "wait=20s", "origin", "HEAD:refs/for/main"];
        let output = world
            .program("git", &world.path("alice"))
            .args(push)
            .output();
        let output = output.expect("git starts");
        Said {
            code: output.status.code().expect("no signal ended it"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The layer of the only image below a folder: its file.
fn layer_in(layout: &Path) -> PathBuf {
    let attributes = fs::read_to_string(layout.join(".gitattributes")).expect("there are some");
    let line = attributes.lines().find(|line| line.contains("filter=lfs"));
    let name = line.expect("a layer is a pointer").split(' ').next();
    layout.join(name.expect("a line has words"))
}

#[test]
fn an_imported_image_is_merged_and_comes_out_the_same_in_another_clone() {
    let running = Running::start();
    let world = &running.world;
    running.rootfs();
    let rootfs = format!("rootfs:{}", running.path("rootfs"));
    let args = [
        "image",
        "import",
        "tools",
        &rootfs,
        "--entrypoint",
        "/bin/tool",
    ];
    let said = world.gdo("alice", &args).ends(0);
    said.tells("image     .gdo/images/tools")
        .tells("proposed  ");
    running.is_clean("alice");
    let layer = layer_in(&world.path("alice/.gdo/images/tools"));
    let pointer = fs::read_to_string(&layer).expect("it is a pointer");
    assert!(pointer.starts_with("version https://git-lfs"), "{pointer}");
    let again = world.gdo("alice", &args).ends(0);
    again.tells("unchanged");

    let listed = running.json("alice", &["image", "list", "--json"]);
    let paths: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["path"].as_str())
        .collect();
    assert_eq!(paths, [".gdo/dapps/policy/image", ".gdo/images/tools"]);
    let shown = running.json("alice", &["image", "show", "tools", "--json"]);
    assert_eq!(shown["digest"], listed[1]["digest"]);
    world
        .gdo("alice", &["image", "show", "absent"])
        .ends(2)
        .talks(".gdo/images/tools");

    // Without filters the pointer stands in the work tree, with them the bytes do: both are clean.
    running.clone("bob");
    running.is_clean("bob");
    world.run("bob", "git", &["lfs", "install", "--local"]);
    world.run("bob", "git", &["lfs", "pull"]);
    running.is_clean("bob");
    let left = fs::read_to_string(layer_in(&world.path("bob/.gdo/images/tools")));
    assert_eq!(
        left.expect("read"),
        pointer,
        "images are left where they are"
    );
    let images = ["lfs", "pull", "--exclude=", "--include=.gdo"];
    world.run("bob", "git", &images);
    running.is_clean("bob");
    let bytes = fs::read(layer_in(&world.path("bob/.gdo/images/tools"))).expect("read");
    assert_eq!(
        bytes.len() as u64,
        shown["variants"][0]["layers"][0]["size"]
            .as_u64()
            .expect("a size")
    );

    // A clone that never had the layer asks git-lfs for it, a node its own store.
    running.clone("carol");
    for (dir, out) in [("carol", "exported"), ("node", "from-node")] {
        let target = format!("oci:{}", running.path(out));
        world
            .gdo(dir, &["image", "export", "tools", &target])
            .ends(0);
        let inspected = world.run("", "skopeo", &["inspect", &target]).out;
        let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
        assert_eq!(inspected["Digest"], shown["variants"][0]["manifest"]);
    }
    let source = format!("oci:{}", running.path("exported"));
    let copied = running.json(
        "carol",
        &["image", "import", "copy", &source, "--no-push", "--json"],
    );
    assert_eq!(
        copied["digest"], shown["digest"],
        "in and out gives the same image"
    );
    assert_eq!(copied["proposed"], Value::Bool(false));

    running.pull("alice");
    world
        .gdo("alice", &["image", "rm", "tools"])
        .ends(0)
        .tells("proposed  ");
    let left = running.json("alice", &["image", "list", "--json"]);
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    world.gdo("alice", &["verify"]).ends(0);
}

#[test]
fn layers_that_stand_in_the_tree_become_pointers_in_one_proposal() {
    let running = Running::start();
    let world = &running.world;
    running.rootfs();
    let rootfs = format!("rootfs:{}", running.path("rootfs"));
    let made = ["image", "import", "tools", &rootfs];
    world.gdo("alice", &made).ends(0);
    let target = format!("oci:{}", running.path("exported"));
    world
        .gdo("alice", &["image", "export", "tools", &target])
        .ends(0);
    running.pull("alice");
    // As images stood in ledgers before there was a store.
    world.run("", "mkdir", &["alice/jobs"]);
    world.run("", "cp", &["-R", "exported", "alice/jobs/image"]);
    world.run("alice", "git", &["add", "jobs"]);
    world.run("alice", "git", &["commit", "-q", "-m", "Add an image"]);
    let push = [
        "push",
        "-q",
        "-o",
        "wait=20s",
        "origin",
        "HEAD:refs/for/main",
    ];
    world.run("alice", "git", &push);
    running.pull("alice");

    let show = ["image", "show", "--path", "jobs/image", "--json"];
    let before = running.json("alice", &show);
    let migrated = running.json("alice", &["image", "migrate", "--json"]);
    assert_eq!(migrated["images"], serde_json::json!(["jobs/image"]));
    assert_eq!(migrated["proposed"], Value::Bool(true));
    running.is_clean("alice");
    let after = running.json("alice", &show);
    assert_eq!(
        before["digest"], after["digest"],
        "what names the image stays"
    );
    let layer = layer_in(&world.path("alice/jobs/image"));
    let text = fs::read_to_string(layer).expect("it is text");
    assert!(text.starts_with("version https://git-lfs"), "{text}");
    let again = running.json("alice", &["image", "migrate", "--json"]);
    assert_eq!(again["commit"], Value::Null, "there is nothing left to do");
    world.gdo("alice", &["verify"]).ends(0);
}

#[test]
fn a_validator_runs_from_layers_in_the_store_and_names_one_that_is_missing() {
    let mut running = Running::start();
    let shown = running.json("alice", &["image", "show", "--dapp", "policy", "--json"]);
    let layer = layer_in(&running.world.path("alice/.gdo/dapps/policy/image"));
    let layer = fs::read_to_string(layer).expect("it is text");
    assert!(layer.starts_with("version https://git-lfs"), "{layer}");

    // Nothing is prepared: the image has to come out of the store.
    running.restart(|world| fs::remove_dir_all(world.path("node/cache")).expect("it is a cache"));
    running.pull("alice");
    running
        .push_note("from-the-store")
        .ends(0)
        .talks("policy       pass");
    let world = &running.world;
    world
        .gdo("node", &["verify", "--rerun", "--degraded"])
        .ends(0);
    running.clone("bob");
    world
        .gdo("bob", &["verify", "--rerun", "--degraded"])
        .ends(0)
        .tells("1 validators ran again");
    let run = [
        "dapp",
        "run",
        "policy",
        "--degraded",
        "--base",
        "main^",
        "--candidate",
        "main",
    ];
    world.gdo("bob", &run).ends(0);
    let lint = world.gdo("bob", &["dapp", "lint", ".gdo/dapps/policy"]);
    assert!(!lint.out.contains("error"), "{}", lint.out);

    running.restart(|world| {
        for lost in ["node/cache", "node/chunks"] {
            fs::remove_dir_all(world.path(lost)).expect("it can be removed");
        }
    });
    running.pull("alice");
    let layer = shown["variants"][0]["layers"][0]["digest"]
        .as_str()
        .expect("a digest");
    let said = running.push_note("without-the-store");
    assert!(
        said.err.contains(layer.trim_start_matches("sha256:")) && said.err.contains("git lfs push"),
        "expected {layer} in:\n{}",
        said.err
    );
}

#[test]
fn without_git_lfs_an_import_says_what_to_install_and_a_clone_verifies() {
    let running = Running::start();
    let world = &running.world;
    running.rootfs();
    let tools = world.path("tools");
    fs::create_dir(&tools).expect("directories can be made");
    for tool in ["git", "ssh-keygen", "sh", "cat"] {
        let found = world.run("", "sh", &["-c", "command -v \"$0\"", tool]).out;
        std::os::unix::fs::symlink(found.trim(), tools.join(tool)).expect("links can be made");
    }
    let gdo = |dir: &str, args: &[&str]| {
        let mut command = world.program(env!("CARGO_BIN_EXE_gdo"), &world.path(dir));
        let output = command
            .env("PATH", &tools)
            .args(args)
            .output()
            .expect("gdo starts");
        Said {
            code: output.status.code().expect("no signal ended it"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    let rootfs = format!("rootfs:{}", running.path("rootfs"));
    let import = ["image", "import", "tools", &rootfs];
    gdo("alice", &import)
        .ends(2)
        .talks("apt-get install git-lfs");
    assert!(
        !world.path("alice/.gdo/images").exists(),
        "nothing was done"
    );
    // Whoever has filters set up and git-lfs removed can commit all the same.
    world.run("alice", "git", &["lfs", "install", "--local"]);
    fs::remove_dir_all(world.path("alice/.git/hooks")).expect("hooks can be removed");
    let alone = [&import[..], &["--no-push"]].concat();
    gdo("alice", &alone).ends(0).tells("committed ");
    world.gdo("alice", &["image", "list", "--no-fetch"]).ends(0);
    world.run("alice", "git", &["reset", "-q", "--hard", "origin/main"]);
    world.gdo("alice", &import).ends(0).tells("proposed  ");
    running.clone("bob");
    gdo("bob", &["verify"]).ends(0);
    let target = format!("oci:{}", running.path("exported"));
    gdo("bob", &["image", "export", "tools", &target])
        .ends(2)
        .talks("git lfs pull");
}

#[test]
fn what_cannot_be_imported_leaves_the_clone_as_it_was() {
    let running = Running::start();
    let world = &running.world;
    running.rootfs();
    let rootfs = format!("rootfs:{}", running.path("rootfs"));
    world
        .gdo("alice", &["image", "import", "No", &rootfs])
        .ends(2)
        .talks("cannot be named 'No'");
    world.gdo("alice", &["image", "import", "tools"]).ends(2);
    world
        .gdo("alice", &["image", "import", "tools", "dir:/x"])
        .ends(2)
        .talks("oci-archive:FILE");
    world
        .gdo("node", &["image", "import", "tools", &rootfs])
        .ends(2)
        .talks("git clone");
    let absent = format!("oci:{}", running.path("absent"));
    world
        .gdo("alice", &["image", "import", "tools", &absent])
        .ends(2)
        .talks("oci-layout");
    world.write("bad.tar", &"this is no archive".repeat(100));
    let bad = format!("rootfs:{}", running.path("bad.tar"));
    world
        .gdo("alice", &["image", "import", "tools", &bad])
        .ends(2)
        .talks("not a tar archive");
    running.is_clean("alice");
    let left = fs::read_dir(world.path("alice/.git")).expect("list");
    let left = left.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(left.filter(|name| name.starts_with("gdo-image")).count(), 0);
}

#[test]
fn a_pushed_image_waits_until_a_member_proposes_it() {
    let running = Running::start();
    let world = &running.world;
    running.rootfs();
    let rootfs = format!("rootfs:{}", running.path("rootfs"));
    // Merged under one name, exported, and pushed by a stranger under another one.
    world
        .gdo("alice", &["image", "import", "tools", &rootfs])
        .ends(0);
    let target = format!("oci:{}", running.path("exported"));
    world
        .gdo("alice", &["image", "export", "tools", &target])
        .ends(0);
    let host = running.url.trim_start_matches("http://");
    let host = host.split('/').next().expect("an address has a host");
    let place = format!("docker://{host}/pushed:v1");
    let copy = [
        "copy",
        "-q",
        "--insecure-policy",
        "--dest-tls-verify=false",
        &target,
        &place,
    ];
    world.run("", "skopeo", &copy);
    let listed = running.json("node", &["image", "list", "--json"]);
    let staged = listed
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["path"] == "pushed");
    let propose = staged.expect("it waits")["propose"]
        .as_str()
        .expect("a command")
        .to_owned();
    world
        .gdo("node", &["image", "list"])
        .ends(0)
        .tells(&propose);
    let image = propose
        .strip_prefix("gdo image propose ")
        .expect("the command")
        .to_owned();
    assert!(image.starts_with("pushed@sha256:"), "{image}");

    running.pull("alice");
    world
        .gdo("alice", &["image", "propose", &image, "--tag", "v1"])
        .ends(0)
        .tells("proposed  ");
    let shown = |name: &str| running.json("alice", &["image", "show", name, "--json"]);
    let (pushed, tools) = (shown("pushed"), shown("tools"));
    assert_eq!(
        pushed["variants"][0]["config"],
        tools["variants"][0]["config"]
    );
    assert_eq!(
        pushed["variants"][0]["layers"],
        tools["variants"][0]["layers"]
    );
    assert_eq!(pushed["tag"], "v1");

    let absent = format!("pushed@sha256:{}", "0".repeat(64));
    world
        .gdo("alice", &["image", "propose", &absent])
        .ends(1)
        .talks("kept for a day");
    world
        .gdo("alice", &["image", "propose", "pushed:v1"])
        .ends(2)
        .talks("NAME@sha256:");
    let escape = format!("../x@sha256:{}", "0".repeat(64));
    world
        .gdo("alice", &["image", "propose", &escape])
        .ends(2)
        .talks("cannot be named");
    // From a clone of the node's directory it is asked over the control socket.
    let local = running.path("node/ledger.git");
    world.run("alice", "git", &["remote", "set-url", "origin", &local]);
    world
        .gdo(
            "alice",
            &[
                "image",
                "propose",
                &image,
                "--path",
                "jobs/image",
                "--no-push",
            ],
        )
        .ends(0)
        .tells("committed ");
}
