//! `gdo chunks fetch`: a node and a clone get large objects from elsewhere.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_tests::program::noise;
use gdo_tests::{Clone, Org, lfs};
use serde_json::Value;

const BYTES: usize = 3 << 20;

/// An organisation with a large file, and a copy of its node directory from then.
fn org() -> (Org, Clone, String, PathBuf) {
    let mut org = Org::new("blank");
    lfs::install(org.environment());
    let clone = org.clone("alice");
    lfs::commit(&clone, "*.img", "disk.img", &noise(BYTES));
    let oid = lfs::oid(&clone, "disk.img");
    let _ = clone.propose(&[]).accepted();
    org.stop();
    let copy = org.temp().join("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(org.dir())
        .arg(&copy)
        .status();
    assert!(copied.expect("cp is there").success());
    (org, clone, oid, copy)
}

fn lose_everything(dir: &Path) {
    fs::remove_dir_all(dir.join("chunks")).expect("the node does not run");
}

#[test]
fn a_node_that_lost_its_store_gets_it_back_from_another_one() {
    let (mut org, _, oid, copy) = org();
    let copy_path = copy.to_str().expect("UTF-8");
    lose_everything(org.dir());
    // The daemon has no store yet: it takes what is brought.
    org.start();
    // By itself it has its plain copies, and nothing of the dapps.
    org.gdo(&["chunks", "fetch"])
        .refused()
        .shows("1 objects fetched")
        .shows("--from");
    let brought = org
        .gdo(&["chunks", "fetch", "--from", copy_path, "--json"])
        .accepted()
        .json();
    let layers = brought["fetched"].as_u64().expect("a number");
    assert!(layers >= 1, "{brought}");
    assert_eq!(brought["here"], 1);
    let _ = org.gdo(&["verify", "--rerun"]).accepted();
    let again = org
        .gdo(&["chunks", "fetch", "--from", copy_path, "--json"])
        .accepted()
        .json();
    assert_eq!(
        (&again["fetched"], &again["here"]),
        (&Value::from(0), &Value::from(layers + 1))
    );
    let clone = org.clone("bob");
    assert_eq!(lfs::read(&clone, "disk.img"), noise(BYTES));

    // The other way, over HTTP, while the one that asks has no daemon.
    lose_everything(&copy);
    org.gdo(&["--dir", copy_path, "chunks", "verify"])
        .refused()
        .shows(&oid)
        .shows("gdo chunks fetch --from");
    let url = org.url().to_owned();
    let words = ["--dir", copy_path, "chunks", "fetch", "--from", &url];
    org.gdo(&words).accepted().shows("objects fetched");
    let _ = org
        .gdo(&["--dir", copy_path, "chunks", "verify"])
        .accepted();
}

#[test]
fn a_broken_object_is_replaced() {
    let (org, _, oid, copy) = org();
    let packs = fs::read_dir(org.dir().join("chunks/packs")).expect("the store has packs");
    let pack = packs
        .map(|entry| entry.expect("an entry").path())
        .max()
        .expect("a pack");
    let mut bytes = fs::read(&pack).expect("readable");
    // The large file came last.
    let late = bytes.len() - BYTES / 2;
    bytes[late] ^= 1;
    fs::write(&pack, bytes).expect("ours");
    org.gdo(&["chunks", "verify"]).refused().shows(&oid);
    let from = copy.to_str().expect("UTF-8");
    let brought = org
        .gdo(&["chunks", "fetch", "--from", from, "--json"])
        .accepted()
        .json();
    assert_eq!(
        (&brought["fetched"], &brought["bytes"]),
        (&Value::from(1), &Value::from(BYTES))
    );
    let _ = org.gdo(&["chunks", "verify"]).accepted();
}

/// A server that answers every request with `answer`; gives its address.
fn liar(answer: fn() -> Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = BufReader::new(stream.try_clone().expect("a handle more")).lines();
            while request
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            // Who hangs up early is the one who asks.
            let _ = stream.write_all(&answer());
        }
    });
    format!("http://{address}/x.git")
}

#[test]
fn a_source_that_lies_is_not_believed() {
    let (mut org, alice, oid, _) = org();
    lose_everything(org.dir());
    let other = liar(|| [b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![7; BYTES]].concat());
    let short = liar(|| b"HTTP/1.0 200 OK\r\n\r\nshort".to_vec());
    let endless = liar(|| [b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![7; 2 * BYTES]].concat());
    let broken = liar(|| b"HTTP/1.0 500 No\r\n\r\nout of order".to_vec());
    let alien = liar(|| b"SSH-2.0-x\r\n".to_vec());
    let sources = [
        (&other, "expected"),
        (&short, ""),
        (&endless, "expected"),
        (&broken, "out of order"),
        (&alien, "no HTTP"),
    ];
    for running in [false, true] {
        if running {
            org.start();
        }
        for (from, words) in sources {
            let seen = org
                .gdo(&["chunks", "fetch", "--from", from, &oid])
                .refused();
            seen.shows(&format!("object sha256:{oid}: ")).shows(words);
        }
    }
    org.gdo(&["chunks", "stat"])
        .accepted()
        .shows("logical  0 B");
    for wrong in ["https://x/y.git", "/nowhere/at/all"] {
        let _ = org.gdo(&["chunks", "fetch", "--from", wrong]).refused();
    }
    let strange = "0".repeat(64);
    org.gdo(&["chunks", "fetch", "--from", &short, &strange])
        .refused()
        .shows("points to no object");
    // A clone that has it is as good as a node.
    let clone = alice.path().to_str().expect("UTF-8");
    org.gdo(&["chunks", "fetch", "--from", clone, &oid])
        .accepted()
        .shows("1 objects fetched");
}

#[test]
fn a_clone_gets_the_images_of_its_dapps_and_works_without_the_node() {
    let (mut org, _, oid, _) = org();
    org.start();
    let clone = org.clone("bob");
    let objects = clone.path().join(".git/lfs/objects");
    let dapp = clone.run(&["grep", "-h", "oid sha256:", "HEAD", "--", ".gdo/dapps"]);
    let dapp = dapp.lines().next().and_then(|line| line.rsplit(':').next());
    let dapp = dapp.expect("the policy dapp has a layer").to_owned();
    assert!(!lfs::object_file(clone.path().join(".git"), &dapp).exists());
    clone
        .gdo(&["chunks", "fetch"])
        .accepted()
        .shows("were here");
    assert!(lfs::object_file(clone.path().join(".git"), &dapp).exists());
    assert!(objects.exists() && lfs::object_file(clone.path().join(".git"), &oid).exists());
    org.stop();
    clone
        .gdo(&["chunks", "fetch", "--no-fetch"])
        .accepted()
        .shows("0 objects fetched");
}
