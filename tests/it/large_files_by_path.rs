//! Large files of clones by path: stock git-lfs asks nobody there, and reads plain files beside the
//! repository.

use std::fs;
use std::path::PathBuf;

use gdo_tests::disk::SmallDisk;
use gdo_tests::program::noise;
use gdo_tests::{Clone, Org, Seen, lfs};

const BYTES: usize = 3 << 20;

fn org() -> Org {
    let org = Org::new("blank");
    lfs::install(org.environment());
    org
}

/// A node with more in its `node.toml`.
fn org_with(setting: &str) -> Org {
    let mut org = Org::stopped("blank");
    lfs::install(org.environment());
    set(&org, setting);
    org.start();
    org
}

fn set(org: &Org, setting: &str) {
    let file = org.dir().join("node.toml");
    let text = fs::read_to_string(&file).expect("init writes it");
    let others = text.lines().filter(|line| !line.starts_with("chunks."));
    let text: String = others.map(|line| format!("{line}\n")).collect();
    fs::write(&file, format!("{text}{setting}\n")).expect("it is ours");
}

/// What a clone of the repository's path says; it may fail.
fn clone_path(org: &Org, options: &[&str], name: &str) -> Seen {
    let path = org.ledger().to_string_lossy().into_owned();
    let words = [&["clone", "-q"], options, &[&path, name]].concat();
    Seen::of(&mut org.environment().git(org.temp(), &words))
}

fn by_path(org: &Org, name: &str) -> Clone {
    let seen = clone_path(org, &[], name).accepted();
    seen.hides("rror");
    let key = org.environment().home().join("alice.pub");
    Clone::at(org.environment(), org.temp().join(name), &key)
}

/// Pushes a new version of `disk.img` and gives it.
fn push_version(clone: &Clone, bytes: usize) -> Vec<u8> {
    let content = noise(bytes);
    lfs::commit(clone, "*.img", "disk.img", &content);
    clone.propose(&[]).accepted().shows("(checkpoint ");
    content
}

fn copy_of(org: &Org, clone: &Clone) -> PathBuf {
    lfs::object_file(org.ledger(), &lfs::oid(clone, "disk.img"))
}

#[test]
fn large_files_go_to_a_path_and_come_back_from_it() {
    let mut org = org();
    let alice = by_path(&org, "alice");
    let first = push_version(&alice, BYTES);
    let other = by_path(&org, "other");
    assert_eq!(lfs::read(&other, "disk.img"), first);
    let over_http = org.clone("over-http");
    assert_eq!(
        lfs::read(&over_http, "disk.img"),
        first,
        "the store has it, too"
    );

    alice.pull();
    let second = push_version(&alice, BYTES + 1);
    other.pull();
    assert_eq!(lfs::read(&other, "disk.img"), second);
    org.check();
    // A path needs no node that runs, and gives older versions, too.
    org.stop();
    let third = by_path(&org, "third");
    third.run(&["checkout", "-q", "HEAD~1"]);
    assert_eq!(lfs::read(&third, "disk.img"), first);
}

#[test]
fn what_came_over_http_is_in_a_clone_by_path_and_images_of_dapps_take_no_room() {
    let org = org();
    let alice = org.clone("alice");
    let content = push_version(&alice, BYTES);
    let other = by_path(&org, "other");
    assert_eq!(lfs::read(&other, "disk.img"), content);
    let copies = fs::read_dir(org.ledger().join("lfs/objects")).expect("laid out");
    assert_eq!(copies.count(), 1, "the large file and nothing of .gdo");
    org.check();
}

#[test]
fn copies_stay_within_their_bound_and_the_operator_hears_what_has_none() {
    let org = org_with("chunks.plain_mib_max = 7");
    let clone = org.clone("alice");
    let first = push_version(&clone, BYTES);
    let first_copy = copy_of(&org, &clone);
    clone.pull();
    push_version(&clone, BYTES + 1);
    assert!(first_copy.exists(), "there is room for an older one");
    clone.pull();
    let last = push_version(&clone, BYTES + 2);
    assert!(!first_copy.exists(), "the oldest goes first");
    assert_eq!(lfs::read(&by_path(&org, "fits"), "disk.img"), last);
    assert_eq!(
        org.status()["warnings"]
            .to_string()
            .matches("plain")
            .count(),
        0
    );

    clone.pull();
    let content = push_version(&clone, 8 << 20);
    let _ = clone_path(&org, &[], "does-not-fit").refused();
    let warnings = org.status()["warnings"].to_string();
    assert!(warnings.contains("chunks.plain_mib_max = 7"), "{warnings}");
    let files = format!("lfs.url={}/info/lfs", org.url());
    let _ = clone_path(&org, &["-c", &files], "told").accepted();
    let told = fs::read(org.temp().join("told/disk.img"));
    assert_eq!(told.expect("it came"), content);
    // The store has everything all the same.
    let over_http = org.clone("over-http");
    over_http.run(&["checkout", "-q", "HEAD~3"]);
    assert_eq!(lfs::read(&over_http, "disk.img"), first);
    org.check();
}

#[test]
fn a_bound_that_is_raised_or_set_to_nothing_holds_from_the_next_start() {
    let mut org = org_with("chunks.plain_mib_max = 0");
    let alice = by_path(&org, "alice");
    let content = push_version(&alice, BYTES);
    let copy = copy_of(&org, &alice);
    assert!(!copy.exists(), "what git-lfs brought is in the store alone");
    assert_eq!(
        org.status()["warnings"]
            .to_string()
            .matches("plain")
            .count(),
        0
    );
    org.stop();
    set(&org, "chunks.plain_mib_max = 4");
    org.start();
    org.wait_for_log("laid out plain copies");
    assert_eq!(lfs::read(&by_path(&org, "other"), "disk.img"), content);
    org.check();
}

#[test]
fn a_copy_that_is_damaged_is_told_from_a_good_one_and_mended() {
    let org = org();
    let alice = org.clone("alice");
    let content = push_version(&alice, BYTES);
    let copy = copy_of(&org, &alice);
    let mut damaged = content.clone();
    damaged[BYTES / 2] ^= 1;
    fs::write(&copy, damaged).expect("ours");
    let _ = clone_path(&org, &[], "damaged").refused();
    let seen = org.gdo(&["chunks", "verify"]).accepted();
    seen.shows("1 plain copies for clones by path were broken");
    assert_eq!(lfs::read(&by_path(&org, "mended"), "disk.img"), content);
    org.check();
}

#[test]
fn a_file_of_another_content_in_the_place_of_an_object_is_no_hindrance() {
    let org = org();
    let alice = by_path(&org, "alice");
    lfs::commit(&alice, "*.img", "disk.img", &noise(BYTES));
    let place = copy_of(&org, &alice);
    fs::create_dir_all(place.parent().expect("a directory")).expect("ours");
    fs::write(&place, vec![0; BYTES]).expect("ours");
    // git-lfs finds a file of the right size there and sends nothing.
    let command = format!(
        "lfs push --object-id origin {}",
        lfs::oid(&alice, "disk.img")
    );
    alice.propose(&[]).refused().shows(&command);
    alice.run(&command.split(' ').collect::<Vec<_>>());
    alice.propose(&[]).accepted().shows("(checkpoint 1)");
    assert_eq!(lfs::read(&by_path(&org, "other"), "disk.img"), noise(BYTES));
    org.check();
}

#[test]
fn a_copy_stays_while_what_the_store_has_is_broken() {
    let mut org = org();
    let alice = org.clone("alice");
    let content = push_version(&alice, BYTES);
    let copy = copy_of(&org, &alice);
    org.stop();
    let packs = fs::read_dir(org.dir().join("chunks/packs")).expect("the store has packs");
    let packs = packs.map(|entry| entry.expect("an entry").path());
    let pack = packs.max().expect("a pack");
    let mut bytes = fs::read(&pack).expect("readable");
    // The large file came last.
    let late = bytes.len() - BYTES / 2;
    bytes[late] ^= 1;
    fs::write(&pack, bytes).expect("ours");
    let _ = org.gdo(&["chunks", "verify"]).refused();
    set(&org, "chunks.plain_mib_max = 0");
    org.start();
    alice.run(&["remote", "set-url", "origin", org.url()]);
    alice.pull();
    // Nothing of it is the same, so that it mends nothing.
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    lfs::commit(&alice, "*.img", "disk.img", &other);
    let _ = alice.propose(&[]).accepted();
    assert!(!copy_of(&org, &alice).exists(), "nothing is to be laid out");
    assert_eq!(fs::read(&copy).expect("it is all there is"), content);
    org.gdo(&["chunks", "fetch"])
        .accepted()
        .shows("1 objects fetched");
    let _ = org.gdo(&["chunks", "verify"]).accepted();
}

/// Whether a copy is being written, or its writing was cut off.
fn is_amid_a_copy(org: &Org) -> bool {
    let Ok(objects) = fs::read_dir(org.ledger().join("lfs/objects")) else {
        return false;
    };
    objects
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with("incoming-"))
}

#[test]
fn a_kill_while_a_copy_is_written_leaves_none_that_is_not_whole() {
    let mut org = org();
    let alice = org.clone("alice");
    // A machine that is busy may let the copy end before the kill: then again with another.
    let was_cut_off = (0..5).any(|round| {
        let content = noise((64 << 20) + round);
        lfs::commit(&alice, "*.img", "disk.img", &content);
        let copy = copy_of(&org, &alice);
        let mut push = alice.start_push(&[]);
        while !is_amid_a_copy(&org) && push.try_wait().expect("it was started").is_none() {
            std::thread::yield_now();
        }
        org.kill();
        let _ = push.wait();
        let was_cut_off = is_amid_a_copy(&org);
        assert!(!copy.exists() || fs::read(&copy).expect("readable") == content);
        org.start();
        alice.run(&["remote", "set-url", "origin", org.url()]);
        let _ = alice.propose(&[]).accepted();
        let clone = by_path(&org, &format!("other-{round}"));
        assert_eq!(lfs::read(&clone, "disk.img"), content);
        alice.pull();
        was_cut_off
    });
    assert!(was_cut_off, "no kill came while a copy was written");
    org.check();
}

#[test]
fn copies_make_room_when_the_disk_is_short() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let disk = SmallDisk::mount(temp.path().join("disk"), 160);
    let mut org = Org::stopped_at("blank", disk.path().join("node"));
    org.start();
    lfs::install(org.environment());
    let clone = org.clone("alice");
    push_version(&clone, 16 << 20);
    let copy = copy_of(&org, &clone);
    assert!(copy.exists(), "there was room for it");
    // Less than an upload must leave, until the copy goes.
    let _filler = disk.fill(8 << 20);
    clone.pull();
    let second = push_version(&clone, 1 << 20);
    assert!(!copy.exists(), "it went to make room");
    let warnings = org.status()["warnings"].to_string();
    assert!(warnings.contains("or the disk is short"), "{warnings}");
    assert_eq!(lfs::read(&org.clone("other"), "disk.img"), second);
    org.check();
    org.stop();
}
