//! Images that were made to do harm, and what is said of them.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use gdo_runtime::image::import::{Caps, Options};
use serde_json::json;
use tar::EntryType;

use crate::import::{Imports, objects_in, sample};
use crate::support::{Layer, Packing, write_layout};

/// What is said of an image with one such layer.
fn refusal(layer: Layer) -> String {
    let imports = Imports::new();
    let layers = [(Packing::Gzip, layer.bytes())];
    write_layout(&imports.path("in"), &layers, &json!({}));
    let found = imports.import(&imports.named("oci", "in"), "out", &Options::default());
    assert!(!imports.path("out/index.json").exists());
    assert_eq!(
        objects_in(&imports.path("objects")),
        0,
        "a refused layer is no object"
    );
    found.expect_err("it is refused").to_string()
}

#[test]
fn evil_layers_are_refused_by_the_name_of_their_entry() {
    let hard = |layer: Layer, target: &str| layer.raw(EntryType::Link, "b", target, 0o644, b"");
    for (layer, path, word) in [
        (Layer::new().file("../evil", 0o644, b"x"), "../evil", ".."),
        (
            Layer::new()
                .symlink("a", "/etc")
                .file("a/passwd", 0o644, b"x"),
            "a/passwd",
            "leads out",
        ),
        (
            Layer::new().symlink("a", "../..").file("a/x", 0o644, b"x"),
            "a/x",
            "leads out",
        ),
        (
            Layer::new()
                .symlink("a", "/etc")
                .file("a/.wh.passwd", 0o644, b""),
            "a/.wh.passwd",
            "leads out",
        ),
        (hard(Layer::new(), "/etc/passwd"), "b", "not there"),
        (hard(Layer::new(), "../../etc/passwd"), "b", ".."),
        (
            Layer::new().raw(EntryType::Char, "dev/null", "", 0o666, b""),
            "dev/null",
            "device",
        ),
        (
            Layer::new().raw(EntryType::Fifo, "pipe", "", 0o666, b""),
            "pipe",
            "pipes",
        ),
        (
            Layer::new().file("bin/su", 0o4755, b"x"),
            "bin/su",
            "--allow-setid",
        ),
        (
            Layer::new().file("bin/wall", 0o2755, b"x"),
            "bin/wall",
            "--allow-setid",
        ),
        (
            Layer::new().raw(EntryType::GNUSparse, "holes", "", 0o644, b""),
            "holes",
            "sparse",
        ),
        (
            Layer::new().file("a/.wh.", 0o644, b""),
            "a/.wh.",
            "hides nothing",
        ),
    ] {
        let problem = refusal(layer);
        assert!(
            problem.contains(path) && problem.contains(word),
            "expected {path}, {word} in: {problem}"
        );
    }
    let imports = Imports::new();
    let layer = Layer::new().file("bin/su", 0o4755, b"x").bytes();
    write_layout(&imports.path("in"), &[(Packing::Gzip, layer)], &json!({}));
    let options = Options {
        allow_set_id: true,
        ..Options::default()
    };
    imports
        .import(&imports.named("oci", "in"), "out", &options)
        .expect("it is allowed");
}

#[test]
fn a_link_of_one_layer_and_a_file_of_the_next_do_not_lead_out_together() {
    let imports = Imports::new();
    let layers = [
        (Packing::Gzip, Layer::new().symlink("a", "/etc").bytes()),
        (
            Packing::Gzip,
            Layer::new().file("a/passwd", 0o644, b"x").bytes(),
        ),
    ];
    write_layout(&imports.path("in"), &layers, &json!({}));
    let problem = imports.import(&imports.named("oci", "in"), "out", &Options::default());
    let problem = problem.expect_err("it leads out").to_string();
    assert!(
        problem.contains("a/passwd") && problem.contains("leads out"),
        "{problem}"
    );
}

/// A header as nobody's tool writes it: with these bytes as its size.
fn odd_size(size: &[u8; 12]) -> Vec<u8> {
    let mut layer = Layer::new().file("a", 0o644, b"").bytes();
    layer[124..136].copy_from_slice(size);
    layer[148..156].copy_from_slice(b"        ");
    let sum: u32 = layer[..512].iter().map(|byte| u32::from(*byte)).sum();
    layer[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    layer
}

#[test]
fn negative_and_giant_sizes_and_bytes_behind_the_end_are_refused() {
    let giant = [0x80, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0];
    let small = Layer::new().file("a", 0o644, b"x").bytes();
    for (tar, word) in [
        (odd_size(&[0xff; 12]), "negative"),
        (odd_size(&giant), "middle of a file"),
        (
            [small.clone(), vec![0; 1024], small.clone()].concat(),
            "behind its end",
        ),
        (small[..600].to_vec(), "middle of a file"),
        (b"this is not tar".repeat(100), "not a tar archive"),
    ] {
        let imports = Imports::new();
        write_layout(&imports.path("in"), &[(Packing::Gzip, tar)], &json!({}));
        let problem = imports.import(&imports.named("oci", "in"), "out", &Options::default());
        let problem = problem.expect_err(word).to_string();
        assert!(problem.contains(word), "expected {word} in: {problem}");
        assert_eq!(objects_in(&imports.path("objects")), 0);
    }
}

#[test]
fn bombs_end_at_the_caps_and_leave_nothing() {
    let imports = Imports::new();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let header = Layer::new()
        .file("zeros", 0o644, &vec![0; 100 << 20])
        .bytes();
    gzip.write_all(&header)
        .expect("writing to memory cannot fail");
    let packed = gzip.finish().expect("writing to memory cannot fail");
    assert!(packed.len() < 200_000, "a bomb is small");
    write_layout(&imports.path("in"), &[(Packing::Gzip, header)], &json!({}));
    let source = imports.named("oci", "in");
    let ratio = Options {
        caps: Caps {
            ratio_max: 100,
            ..Caps::default()
        },
        ..Options::default()
    };
    let total = Options {
        caps: Caps {
            total_bytes_max: 1 << 20,
            ..Caps::default()
        },
        ..Options::default()
    };
    let entries = Options {
        caps: Caps {
            entries_max: 0,
            ..Caps::default()
        },
        ..Options::default()
    };
    for (options, word) in [
        (ratio, "too large"),
        (total, "too large"),
        (entries, "entries"),
    ] {
        let problem = imports
            .import(&source, "out", &options)
            .expect_err(word)
            .to_string();
        assert!(problem.contains(word), "expected {word} in: {problem}");
        assert_eq!(objects_in(&imports.path("objects")), 0);
    }
    // Eleven kilobytes of JSON brackets are no document, and no stack is deep enough for all.
    fs::write(imports.path("in/index.json"), "[".repeat(11_000)).expect("write");
    let problem = imports
        .import(&source, "out", &Options::default())
        .expect_err("deep");
    assert!(problem.to_string().contains("index.json"), "{problem}");
}

#[test]
fn damage_of_any_file_of_the_source_is_noticed() {
    let imports = Imports::new();
    write_layout(&imports.path("in"), &sample(), &json!({}));
    let source = imports.named("oci", "in");
    for entry in fs::read_dir(imports.path("in/blobs/sha256")).expect("list") {
        let path = entry.expect("list").path();
        let good = fs::read(&path).expect("read");
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for bad in [
            flipped,
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), b" "].concat(),
            Vec::new(),
        ] {
            fs::write(&path, bad).expect("write");
            let problem = imports
                .import(&source, "out", &Options::default())
                .expect_err("damaged");
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("UTF-8");
            assert!(problem.to_string().contains(name), "{name}: {problem}");
        }
        fs::write(&path, good).expect("write");
    }
    imports.good(&source, "fine");
}

#[test]
fn an_archive_that_leads_out_of_itself_is_refused() {
    let imports = Imports::new();
    for layer in [
        Layer::new().file("../oci-layout", 0o644, b"{}"),
        Layer::new().symlink("oci-layout", "../../etc/passwd"),
        Layer::new().raw(EntryType::Char, "oci-layout", "", 0o644, b""),
    ] {
        fs::write(imports.path("in.tar"), layer.bytes()).expect("write");
        for kind in ["oci-archive", "docker-archive"] {
            let problem =
                imports.import(&imports.named(kind, "in.tar"), "out", &Options::default());
            problem.expect_err("it is refused");
        }
    }
}
