//! What a large object costs in memory on its way in and out; alone in its process.

#[path = "../large/server.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod server;

use std::sync::{Mutex, PoisonError};

use gdo_core::id::Digest;

use server::{Server, noise};

/// What an object may take beside the store's index, or all that may come at once (eight uploads, and
/// eight that rest): buffers, frames and what is in flight.
const GROWTH_KIB_MAX: usize = 64 << 10;
const MIB: usize = 1 << 20;

/// What is measured is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A field of this process's memory, in KiB.
fn memory_kib(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line.expect("the kernel tells").trim_end_matches("kB");
    value.trim().parse().expect("a number")
}

#[test]
fn large_objects_stream_in_both_directions_without_being_held() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let setting = server::Setting {
        staging_mib_max: 1024,
        ..server::Setting::default()
    };
    let server = Server::with(setting);
    let content = noise(1, 256 * MIB);
    let oid = Digest::of(&content);
    let before = memory_kib("VmRSS:");
    // Starts the record of the highest use anew.
    std::fs::write("/proc/self/clear_refs", "5").expect("our own process");
    let api = "/books.git/info/lfs/objects";
    let path = format!("{api}/{oid}/{}", content.len());
    server.ask("PUT", &path, &[], &content).is(200);
    let put = memory_kib("VmHWM:").saturating_sub(before);
    assert!(put < GROWTH_KIB_MAX, "the upload took {put} KiB");

    drop(content);
    let before = memory_kib("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").expect("our own process");
    assert_eq!(server.hash(&format!("{api}/{oid}")), oid);
    let got = memory_kib("VmHWM:").saturating_sub(before);
    assert!(got < GROWTH_KIB_MAX, "the download took {got} KiB");
}

#[test]
fn many_uploads_at_once_are_bounded_together() {
    const UPLOADS: u64 = 24;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let setting = server::Setting {
        staging_mib_max: 1024,
        ..server::Setting::default()
    };
    let server = Server::with(setting);
    let contents: Vec<Vec<u8>> = (0..UPLOADS).map(|seed| noise(seed, 8 * MIB)).collect();
    // The index has its own bound, and is there from the first object on.
    let path = format!("/books.git/info/lfs/objects/{}/0", Digest::of(b""));
    server.ask("PUT", &path, &[], b"").is(200);
    let before = memory_kib("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").expect("our own process");
    // Uploads of images that are open and rest, as many as there may be.
    while server
        .ask("POST", "/v2/tools/blobs/uploads/", &[], b"")
        .status
        != 429
    {}
    std::thread::scope(|scope| {
        for content in &contents {
            let server = &server;
            scope.spawn(move || {
                let oid = Digest::of(content);
                let path = format!("/books.git/info/lfs/objects/{oid}/{}", content.len());
                server.ask("PUT", &path, &[], content).is(200);
            });
        }
    });
    let grown = memory_kib("VmHWM:").saturating_sub(before);
    println!("eight uploads and eight that rest: {grown} KiB");
    assert!(grown < GROWTH_KIB_MAX, "the uploads took {grown} KiB");
}
