//! Large files through stock git-lfs: pushed, refused when missing, cloned, over every way in.

use std::fs;

use gdo_tests::disk::SmallDisk;
use gdo_tests::program::noise;
use gdo_tests::sshd::Sshd;
use gdo_tests::{Clone, Org, Seen, lfs};

/// What goes through the tests: larger than what is ever held at once.
const BYTES: usize = 3 << 20;

fn org() -> Org {
    let org = Org::new("blank");
    lfs::install(org.environment());
    org
}

/// A push through git-lfs must not complain about anything.
#[track_caller]
fn push_quietly(clone: &Clone) -> Seen {
    let seen = clone.propose(&[]).accepted();
    seen.shows("(checkpoint ");
    for word in [
        "error",
        "rror:",
        "warning",
        "ocking",
        "fatal",
        "not implemented",
    ] {
        seen.hides(word);
    }
    seen
}

#[test]
fn large_files_go_with_stock_git_lfs_and_come_back_byte_for_byte() {
    let org = org();
    let clone = org.clone("alice");
    let content = noise(BYTES);
    lfs::commit(&clone, "*.img", "disk.img", &content);
    push_quietly(&clone);
    let pointer = org.file("disk.img").expect("it is on main");
    assert!(
        pointer.starts_with("version https://git-lfs.github.com/spec/v1\n"),
        "the tree holds a pointer: {pointer}"
    );

    let other = org.clone("other");
    assert_eq!(lfs::read(&other, "disk.img"), content);
    // What is here already is not sent again.
    lfs::commit(&clone, "*.img", "copy.img", &content);
    push_quietly(&clone);
    other.pull();
    assert_eq!(lfs::read(&other, "copy.img"), content);
    org.check();
}

#[test]
fn large_files_go_over_ssh() {
    let org = org();
    let sshd = Sshd::serving(&org);
    let key = org.environment().home().join("alice.pub");
    let set = ["config", "--global", "core.sshCommand", &sshd.client(&org)];
    let _ = Seen::of(&mut org.environment().git(org.temp(), &set)).accepted();
    let url = sshd.url("makers.git");
    let clone = Clone::new(org.environment(), &url, org.temp().join("alice"), &key);
    let content = noise(BYTES);
    lfs::commit(&clone, "*.img", "disk.img", &content);
    push_quietly(&clone);
    let other = Clone::new(org.environment(), &url, org.temp().join("other"), &key);
    assert_eq!(lfs::read(&other, "disk.img"), content);
    org.check();
}

#[test]
fn a_clone_leaves_the_images_of_dapps_where_they_are() {
    let org = org();
    for (name, from) in [
        ("by-path", org.ledger().display().to_string()),
        ("by-http", org.url().to_owned()),
    ] {
        let clone = ["clone", "-q", &from, name];
        let _ = Seen::of(&mut org.environment().git(org.temp(), &clone)).accepted();
        let path = org.temp().join(name);
        let git = |words: &[&str]| Seen::of(&mut org.environment().git(&path, words)).accepted();
        assert_eq!(git(&["status", "--porcelain"]).text, "", "{name}");
        // One line for each pointer; a hyphen says that its object was not brought.
        let listed = git(&["lfs", "ls-files"]).text;
        assert!(listed.contains(" - .gdo/dapps/policy/image/"), "{listed}");
    }
}

#[test]
fn a_proposal_whose_large_file_is_missing_is_refused_with_the_command_that_brings_it() {
    let org = org();
    let clone = org.clone("alice");
    lfs::commit(&clone, "*.img", "images/disk.img", &noise(BYTES));
    let oid = lfs::oid(&clone, "images/disk.img");
    let without_lfs = ["push", "--no-verify", "origin", "HEAD:refs/for/main"];
    let seen = Seen::of(&mut clone.git(&without_lfs)).refused();
    seen.shows(&format!(
        "images/disk.img: its large file sha256:{oid} ({BYTES} bytes) is not on this node"
    ));
    let command = format!("git lfs push --object-id origin {oid}");
    seen.shows(&command)
        .shows("git lfs push --all origin")
        .shows("[remote rejected]");
    assert_eq!(org.file("images/disk.img"), None);

    let words: Vec<&str> = command.split(' ').skip(1).collect();
    clone.run(&words);
    let seen = Seen::of(&mut clone.git(&without_lfs)).accepted();
    seen.shows("(checkpoint 1)");
    org.check();
}

#[test]
fn a_malformed_pointer_is_refused_by_name() {
    let org = org();
    let clone = org.clone("alice");
    let oid = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 03\n");
    clone.commit(&[("bad.img", &text)]);
    // git-lfs would look for the object first.
    let without_lfs = ["push", "--no-verify", "origin", "HEAD:refs/for/main"];
    let seen = Seen::of(&mut clone.git(&without_lfs)).refused();
    seen.shows("bad.img: ")
        .shows("expected the three lines of a Git LFS v1 pointer")
        .shows("git lfs track 'bad.img'");
    assert_eq!(org.file("bad.img"), None);
    org.check();
}

#[test]
fn a_pointer_with_another_size_than_its_object_is_refused_by_name() {
    let org = org();
    let clone = org.clone("alice");
    lfs::commit(&clone, "*.img", "disk.img", &noise(BYTES));
    push_quietly(&clone);
    clone.pull();
    let oid = lfs::oid(&clone, "disk.img");
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 7\n");
    clone.commit(&[("short.bin", &text)]);
    // git-lfs would be refused already.
    let without_lfs = ["push", "--no-verify", "origin", "HEAD:refs/for/main"];
    let seen = Seen::of(&mut clone.git(&without_lfs)).refused();
    seen.shows(&format!(
        "short.bin: its pointer says 7 bytes, but sha256:{oid} has {BYTES}"
    ));
    org.check();
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_ended() {
    let org = org();
    let clone = org.clone("alice");
    let content = noise(BYTES);
    lfs::commit(&clone, "*.img", "disk.img", &content);
    push_quietly(&clone);
    let oid = lfs::oid(&clone, "disk.img");

    let skip = ["-c", "filter.lfs.smudge=git-lfs smudge --skip -- %f"];
    let process = ["-c", "filter.lfs.process=git-lfs filter-process --skip"];
    let words = [&skip[..], &process, &["clone", "-q", org.url(), "cut"]].concat();
    let _ = Seen::of(&mut org.environment().git(org.temp(), &words)).accepted();
    let cut = org.temp().join("cut");
    let part = cut.join(".git/lfs/incomplete");
    fs::create_dir_all(&part).expect("the clone is ours");
    let half = content.len() / 2;
    fs::write(part.join(format!("{oid}.part")), &content[..half]).expect("the clone is ours");

    let mut pull = org.environment().git(&cut, &["lfs", "pull"]);
    let seen = Seen::of(pull.env("GIT_TRACE", "1")).accepted();
    seen.shows(&format!(
        "server accepted resume download request: \"{oid}\" from byte {half}"
    ));
    assert_eq!(fs::read(cut.join("disk.img")).expect("it came"), content);
}

#[test]
fn a_node_that_needs_no_large_file_opens_no_store() {
    // Without git-lfs a clone asks for no object.
    let org = Org::new("blank");
    let clone = org.clone("alice");
    clone.commit(&[("a.md", "hello\n")]);
    clone.propose(&[]).accepted().shows("(checkpoint 1)");
    assert!(
        !org.log().contains("chunk store is open"),
        "nobody needed it"
    );
    org.check();
}

#[test]
fn a_disk_that_is_full_refuses_the_upload_in_words_and_takes_it_when_there_is_room() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let disk = SmallDisk::mount(temp.path().join("disk"), 96);
    let mut org = Org::stopped_at("blank", disk.path().join("node"));
    org.start();
    lfs::install(org.environment());
    let clone = org.clone("alice");
    let content = noise(16 << 20);
    lfs::commit(&clone, "*.img", "disk.img", &content);
    // git-lfs would try each upload eight times, later and later.
    clone.run(&["config", "lfs.transfer.maxretries", "1"]);
    // From less than uploads must leave to more than that, but too little for the file.
    for left in [0, 4 << 20, 11 << 20, 14 << 20, 20 << 20] {
        let filler = disk.fill(left);
        let seen = clone.propose(&[]).refused();
        seen.shows("the node's disk is full");
        fs::remove_file(filler).expect("it is ours");
        assert_eq!(org.status()["height"], 0, "the node goes on");
    }
    clone.propose(&[]).accepted().shows("(checkpoint 1)");
    let other = org.clone("other");
    assert_eq!(lfs::read(&other, "disk.img"), content);
    org.check();
    org.stop();
}

#[test]
fn what_was_uploaded_is_there_after_a_kill() {
    let mut org = org();
    let clone = org.clone("alice");
    let content = noise(BYTES);
    lfs::commit(&clone, "*.img", "disk.img", &content);
    clone.run(&["lfs", "push", "origin", "HEAD"]);
    org.kill();
    org.start();
    clone.run(&["remote", "set-url", "origin", org.url()]);
    let without_lfs = ["push", "--no-verify", "origin", "HEAD:refs/for/main"];
    let seen = Seen::of(&mut clone.git(&without_lfs)).accepted();
    seen.shows("(checkpoint 1)");
    let other = org.clone("other");
    assert_eq!(lfs::read(&other, "disk.img"), content);
    org.check();
}

#[test]
fn what_a_proposal_names_makes_room_for_the_next_upload() {
    let mut org = Org::stopped("blank");
    lfs::install(org.environment());
    let file = org.dir().join("node.toml");
    let text = fs::read_to_string(&file).expect("init writes it");
    fs::write(&file, format!("{text}http.staging_mib_max = 4\n")).expect("it is ours");
    org.start();
    let clone = org.clone("alice");
    for round in 1..=3 {
        let path = format!("{round}.img");
        let content = noise(BYTES + round);
        lfs::commit(&clone, "*.img", &path, &content);
        push_quietly(&clone);
        clone.pull();
    }
    lfs::commit(&clone, "*.img", "too-large.img", &noise(5 << 20));
    let seen = clone.propose(&[]).refused();
    seen.shows("http.staging_mib_max");
    org.check();
}
