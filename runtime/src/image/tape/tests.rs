//! Archives that are written by hand, since no tool writes them.

use std::io::Read as _;

use super::{Archive, Entry, Fault, Kind};

/// A header block with a right checksum.
fn header(flag: u8, name: &str, size: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    super::header::set_mode(&mut block, 0o644);
    block
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    data.resize(data.len().div_ceil(512) * 512, 0);
    data
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}", data.len());
    [header(b'0', name, size.as_bytes()), padded(data)].concat()
}

fn extended(flag: u8, data: &str) -> Vec<u8> {
    let size = format!("{:011o}", data.len());
    [header(flag, "x", size.as_bytes()), padded(data.as_bytes())].concat()
}

/// A record with its length.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let digits = |length: usize| length.to_string().len();
    let length = rest + digits(rest + digits(rest));
    format!("{length} {key}={value}\n")
}

fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Fault> {
    let mut archive = Archive::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = archive.next()? {
        let mut data = Vec::new();
        archive.read_to_end(&mut data)?;
        found.push((entry, data));
    }
    Ok(found)
}

fn good(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    read(bytes)
        .map_err(|fault| panic!("{fault:?}"))
        .expect("it panicked before")
}

#[track_caller]
fn bad(bytes: &[u8], word: &str) {
    let fault = read(bytes).map(|found| found.len()).expect_err(word);
    let said = format!("{fault:?}");
    assert!(said.contains(word), "expected {word} in: {said}");
}

#[test]
fn entries_and_their_content_are_read() {
    let long = "d/".repeat(150) + "name";
    let bytes = [
        file("a", b"content"),
        header(b'5', "dir/", b"0"),
        extended(b'L', &format!("{long}\0")),
        file("short", &[7; 513]),
        extended(b'x', &(record("path", "a/b") + &record("size", "3"))),
        header(b'0', "c", b"777"),
        padded(b"abc"),
        vec![0; 10240],
    ]
    .concat();
    let found = good(&bytes);
    let names: Vec<String> = found.iter().map(|(entry, _)| entry.shown()).collect();
    assert_eq!(names, ["a", "dir/", &long, "a/b"]);
    assert_eq!(found[1].0.kind, Kind::Directory);
    assert_eq!(
        (found[0].1.as_slice(), found[2].1.len()),
        (&b"content"[..], 513)
    );
    assert_eq!(found[3].1, b"abc");
    for (entry, data) in &found {
        let at = usize::try_from(entry.offset).expect("small");
        assert_eq!(
            &bytes[at..at + data.len()],
            data.as_slice(),
            "the offset is the content's"
        );
    }
    assert!(good(b"").is_empty(), "no entry is an archive, too");
    assert_eq!(
        good(&file("a", b"")).len(),
        1,
        "an end without zeros is one"
    );
}

#[test]
fn numbers_that_readers_read_differently_are_refused() {
    let with = |size: &[u8]| [header(b'0', "a", size), vec![0; 1024]].concat();
    bad(&with(&[0xff; 12]), "negative");
    bad(&with(b"-1"), "octal");
    let mut huge = [0; 12];
    (huge[0], huge[3]) = (0x80, 1);
    bad(&with(&huge), "too large");
    let mut large = [0; 12];
    (large[0], large[5]) = (0x80, 1);
    bad(&with(&large), "middle of a file");
    let mut sum = file("a", b"");
    sum[0] = b'b';
    bad(&sum, "checksum");
}

#[test]
fn what_is_cut_off_or_goes_on_behind_the_end_is_refused() {
    let whole = [file("a", &[1; 600]), vec![0; 1024]].concat();
    assert_eq!(good(&whole).len(), 1);
    for (length, word) in [
        (511, "header"),
        (600, "of a file"),
        (1100, "of a file"),
        (1535, "of a file"),
    ] {
        bad(&whole[..length], word);
    }
    bad(
        &[whole.clone(), b"more".to_vec()].concat(),
        "behind its end",
    );
    bad(&[whole, file("b", b"")].concat(), "behind its end");
    bad(
        &extended(b'x', &record("path", "a")),
        "behind an extended header",
    );
    let zeros = [extended(b'x', &record("path", "a")), vec![0; 1024]].concat();
    bad(&zeros, "behind an extended header");
}

#[test]
fn names_that_stand_twice_or_hold_odd_bytes_are_refused() {
    let twice = [
        extended(b'L', "one"),
        extended(b'x', &record("path", "two")),
        file("three", b""),
    ];
    bad(&twice.concat(), "twice");
    bad(
        &[extended(b'x', &record("path", "a\0b")), file("c", b"")].concat(),
        "NUL",
    );
    bad(
        &[extended(b'L', &"x".repeat(5000)), file("c", b"")].concat(),
        "longer than",
    );
    bad(
        &[extended(b'g', &record("path", "a")), file("c", b"")].concat(),
        "global",
    );
    let link = header(b'2', "link", b"0");
    bad(&link, "links to nothing");
}

#[test]
fn headers_without_end_take_no_memory() {
    let mut endless = header(b'x', "x", b"77777777777");
    endless.extend([0; 4096]);
    bad(&endless, "longer than");
    let many: Vec<u8> = (0..3000)
        .flat_map(|_| extended(b'g', &record("comment", "x")))
        .collect();
    bad(&many, "longer than");
}

#[test]
fn kinds_that_no_image_needs_are_refused() {
    bad(&header(b'S', "sparse", b"0"), "sparse");
    let sparse = record("GNU.sparse.major", "1");
    bad(
        &[extended(b'x', &sparse), file("a", b"")].concat(),
        "sparse",
    );
    for flag in *b"DMNV9" {
        bad(&header(flag, "odd", b"0"), "not allowed");
    }
    for flag in *b"12345" {
        bad(
            &[header(flag, "odd", b"10"), vec![0; 512]].concat(),
            "is no file",
        );
    }
}
