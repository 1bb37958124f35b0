//! Archives: members are found whatever stands around them, and nothing that an archive says can
//! do more than spoil that.

use gdo_chunkstore::cut::Limits;

use crate::archive::{
    Noise, archive, base256, header, header_with, member, noise, pax_record, seal,
};
use crate::{cut, cut_in, ends, flat, starts_chunk};

const LEN: usize = 5000;

/// The archive `before` + a large member + what follows it: whether the member was found.
fn finds_member_after(before: &[u8]) -> bool {
    let mut bytes = before.to_vec();
    let at = bytes.len();
    bytes.extend(noise(77, LEN));
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(archive(&[(78, 9000)], 0));
    starts_chunk(&bytes, at) && starts_chunk(&bytes, at + LEN)
}

#[test]
fn members_are_cut_alike_in_archives_that_share_nothing_else() {
    let files = [(1, 1024), (2, 70_000), (3, 10), (4, 400_000), (5, 5000)];
    let mut turned = files;
    turned.reverse();
    let (one, other) = (archive(&files, 1), archive(&turned, 2));
    let chunks: Vec<Vec<u8>> = cut(&one);
    let others: Vec<Vec<u8>> = cut(&other);
    for (seed, len) in files {
        let member = noise(seed, len);
        let of_member = cut_in(&flat(), &member, usize::MAX);
        for chunk in of_member.iter().filter(|_| len >= 1024) {
            assert!(chunks.contains(chunk), "member {seed}");
            assert!(others.contains(chunk), "member {seed}");
        }
    }
}

#[test]
fn small_members_are_gathered_between_large_ones() {
    let mut bytes = Vec::new();
    for seed in 0..20 {
        bytes.extend(member("small", b'0', &noise(seed, 1023), 0));
    }
    let at = bytes.len() + 512;
    bytes.extend(member("large", b'0', &noise(99, 1024), 0));
    let mut flat_before = ends(&cut_in(&flat(), &bytes[..at], usize::MAX));
    flat_before.push(at + 1024);
    let found = ends(&cut(&bytes));
    assert_eq!(found[..flat_before.len()], flat_before);
}

#[test]
fn an_insertion_among_ten_thousand_small_members_changes_few_chunks() {
    let mut one = Vec::new();
    for seed in 0..10_000 {
        one.extend(member("small", b'0', &noise(seed, 100), 0));
    }
    let mut other = one[..512 * 2 * 2930].to_vec();
    other.extend(member("new", b'0', b"new", 0));
    other.extend_from_slice(&one[512 * 2 * 2930..]);
    let old = cut(&one);
    let new = cut(&other)
        .into_iter()
        .filter(|chunk| !old.contains(chunk))
        .count();
    assert!(
        old.len() > 50 && (1..=4).contains(&new),
        "{new} of {}",
        old.len()
    );
}

#[test]
fn the_size_of_a_member_is_understood_in_all_its_spellings() {
    let with = |field: &[u8; 12]| header_with("m", b'0', field, 0).to_vec();
    let mut signed = header("m\u{e9}\u{e9}", b'0', LEN as u64, 0);
    signed[148..156].fill(b' ');
    let sum: i32 = signed.iter().map(|byte| i32::from(*byte as i8)).sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut map = header("m", b'S', LEN as u64, 0);
    map[482] = 1;
    seal(&mut map);
    let (mut more, last) = ([0; 512], [0; 512]);
    more[504] = 1;
    let pax = member("p", b'x', pax_record("size", "5000").as_bytes(), 0);
    let long_pax = pax_record("comment", &"x".repeat(60_000)) + &pax_record("size", "5000");
    let long_pax = member("p", b'x', long_pax.as_bytes(), 0);
    let name = |kind| member("././@LongLink", kind, &[b'n'; 3000], 0);
    let plain = with(b"00000011610\0");
    let wrong = with(b"00000000001\0");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("octal", plain.clone()),
        ("octal with spaces", with(b"      11610 ")),
        ("twelve digits", with(b"000000011610")),
        ("base 256", with(&base256(5000))),
        ("checksum of signed bytes", signed.to_vec()),
        ("no type", header("m", 0, LEN as u64, 0).to_vec()),
        ("unknown type", header("m", b'?', LEN as u64, 0).to_vec()),
        ("sparse", [map, more, last].concat()),
        ("pax size", [pax.clone(), wrong.clone()].concat()),
        (
            "pax size before a long name",
            [pax.clone(), name(b'L'), wrong.clone()].concat(),
        ),
        ("long pax header", [long_pax, wrong].concat()),
        (
            "pax size of a link before",
            [pax, header("l", b'2', 9, 0).to_vec(), plain.clone()].concat(),
        ),
        (
            "long names",
            [name(b'L'), name(b'K'), plain.clone()].concat(),
        ),
        (
            "global header",
            [member("g", b'g', b"11 path=x\n\n", 0), plain.clone()].concat(),
        ),
        (
            "directory with a size",
            [header("d", b'5', 4096, 0).to_vec(), plain.clone()].concat(),
        ),
        (
            "a second archive behind the first",
            [archive(&[(5, 2000)], 0), plain].concat(),
        ),
    ];
    for (case, before) in cases {
        assert!(finds_member_after(&before), "{case}");
    }
}

#[test]
fn what_is_no_archive_from_some_byte_on_is_cut_flat_from_there() {
    let good = archive(&[(1, 3000), (2, 40_000)], 0);
    let good = &good[..512 + 3072 + 512 + 40_448];
    let with = |field: &[u8; 12]| header_with("m", b'0', field, 0).to_vec();
    let mut negative = [0xff; 12];
    negative[11] = 1;
    let mut too_large = base256(5000);
    too_large[3] = 1;
    let mut wrong_sum = header("m", b'0', 5000, 0).to_vec();
    wrong_sum[20] ^= 1;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("negative size", with(&negative)),
        ("more than 64 bits", with(&too_large)),
        ("other signs in a size", with(b"-0000011610\0")),
        ("text behind a size", with(b"0000 011610\0")),
        ("wrong checksum", wrong_sum),
        ("noise", noise(3, 512)),
        ("less than a block", noise(4, 511)),
    ];
    for (case, bad) in cases {
        let mut rest = bad;
        if case != "less than a block" {
            rest.extend(archive(&[(7, 300_000)], 0));
        }
        let bytes = [good, &rest].concat();
        let mut expected = ends(&cut(good));
        let behind = ends(&cut_in(&flat(), &rest, usize::MAX));
        expected.extend(behind.iter().map(|end| good.len() + end));
        assert_eq!(ends(&cut(&bytes)), expected, "{case}");
    }
}

#[test]
fn members_that_end_too_early_are_kept_as_they_are() {
    let whole = archive(&[(1, 3000), (2, 400_000)], 0);
    let pax = member("p", b'x', &noise(4, 60_000), 0);
    let huge = [base256(u64::MAX), base256(u64::MAX - 511), base256(1 << 63)];
    for at in [
        0,
        1,
        511,
        512,
        513,
        3583,
        3584,
        3585,
        4096,
        4097,
        100_000,
        whole.len() - 1,
    ] {
        assert_eq!(cut(&whole[..at]).concat(), whole[..at]);
    }
    for at in [512, 513, 1024, 60_000, 60_415, 60_416] {
        assert_eq!(cut(&pax[..at]).concat(), pax[..at]);
    }
    for size in huge {
        let bytes = [&header_with("m", b'0', &size, 0)[..], &whole].concat();
        let mut expected = vec![512];
        let behind = ends(&cut_in(&flat(), &whole, usize::MAX));
        expected.extend(behind.iter().map(|end| 512 + end));
        assert_eq!(ends(&cut(&bytes)), expected);
    }
}

#[test]
fn nothing_is_read_as_an_archive_where_that_is_turned_off() {
    let bytes = archive(&[(1, 3000), (2, 40_000)], 0);
    let flat = flat();
    assert_eq!(
        flat,
        Limits {
            member: 0,
            ..Limits::default()
        }
    );
    assert!(!ends(&cut_in(&flat, &bytes, usize::MAX)).contains(&512));
    assert!(ends(&cut(&bytes)).contains(&512));
}

#[test]
fn archives_of_any_shape_come_out_as_they_went_in() {
    let mut random = Noise(2026);
    for round in 0..60 {
        let mut bytes = Vec::new();
        for _ in 0..random.below(40) {
            let len = match random.below(4) {
                0 => random.below(1200) as usize,
                1 => random.below(200_000) as usize,
                _ => random.below(9000) as usize,
            };
            let kinds = b"00005xLgS?1";
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            let seed = random.next();
            bytes.extend(member("m", kind, &noise(seed, len), seed & 0xffff));
        }
        if random.below(2) == 0 && !bytes.is_empty() {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        let whole = cut(&bytes);
        assert_eq!(whole.concat(), bytes, "round {round}");
        let pieces = 1 + random.below(70_000) as usize;
        assert_eq!(
            cut_in(&Limits::default(), &bytes, pieces),
            whole,
            "round {round}"
        );
    }
}
