//! Images that are damaged, hostile, too large, or for somebody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gdo_runtime::image::ImageCaps;
use gdo_runtime::{Image, ImageCache, ImageError};
use serde_json::json;
use tar::EntryType;
use tempfile::TempDir;

use crate::support::{Layer, Packing, write_index, write_layout};

struct Images {
    dir: TempDir,
}

impl Images {
    fn new() -> Images {
        Images {
            dir: TempDir::new().expect("make a temporary directory"),
        }
    }

    fn layout(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn cache(&self) -> ImageCache {
        ImageCache::new(&self.dir.path().join("cache"))
    }

    fn prepare(&self, layers: Vec<Layer>) -> Result<Image, ImageError> {
        let layers: Vec<_> = layers
            .into_iter()
            .enumerate()
            .map(|(at, layer)| {
                let packing = if at % 2 == 0 {
                    Packing::Gzip
                } else {
                    Packing::Plain
                };
                (packing, layer.bytes())
            })
            .collect();
        write_layout(&self.layout(), &layers, &json!({}));
        self.cache().prepare(&self.layout())
    }

    /// The reason for which these layers are refused; nothing may be left of the attempt.
    fn refusal(&self, layers: Vec<Layer>) -> String {
        let problem = self.prepare(layers).expect_err("the image is refused");
        assert!(matches!(problem, ImageError::Refused { .. }), "{problem}");
        let left = fs::read_dir(self.dir.path().join("cache/rootfs"))
            .expect("list")
            .count();
        assert_eq!(left, 0, "a refused image leaves nothing in the cache");
        problem.to_string()
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn layers_lie_over_each_other() {
    let images = Images::new();
    let image = images
        .prepare(vec![
            Layer::new()
                .directory("etc/")
                .file("etc/kept", 0o640, b"kept")
                .file("etc/changed", 0o644, b"old")
                .file("etc/removed", 0o644, b"removed")
                .directory("full/")
                .file("full/hidden", 0o644, b"hidden")
                .file("full/sub/hidden", 0o644, b"hidden"),
            Layer::new()
                .file("etc/changed", 0o755, b"new")
                .file("etc/.wh.removed", 0o644, b"")
                .file("full/own", 0o644, b"own")
                .file("full/sub/own", 0o644, b"own")
                .file("full/.wh..wh..opq", 0o644, b""),
        ])
        .expect("prepare");
    let root = &image.rootfs;
    assert_eq!(text(&root.join("etc/kept")), "kept");
    assert_eq!(text(&root.join("etc/changed")), "new");
    assert!(!root.join("etc/removed").exists());
    assert!(!root.join("full/hidden").exists() && !root.join("full/sub/hidden").exists());
    assert_eq!(text(&root.join("full/own")), "own");
    assert_eq!(text(&root.join("full/sub/own")), "own");
    for mountpoint in ["proc", "dev", "tmp", "gdo/base", "gdo/candidate", "gdo/out"] {
        assert!(root.join(mountpoint).is_dir(), "{mountpoint}");
    }
    assert!(root.join("gdo/context.json").is_file());
}

#[test]
fn modes_become_plain_and_times_stay() {
    let images = Images::new();
    let layer = Layer::new()
        .file("setuid", 0o6755, b"x")
        .file("private", 0o600, b"x");
    let image = images.prepare(vec![layer]).expect("prepare");
    for (name, mode) in [("setuid", 0o755), ("private", 0o644)] {
        let meta = fs::metadata(image.rootfs.join(name)).expect("stat");
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{name}");
        assert_eq!(meta.mtime(), 1_000_000_000);
    }
}

#[test]
fn an_image_is_unpacked_once_and_named_by_its_index() {
    let images = Images::new();
    let image = images
        .prepare(vec![Layer::new().file("a", 0o644, b"a")])
        .expect("prepare");
    let index = fs::read(images.layout().join("index.json")).expect("read");
    assert_eq!(image.digest, gdo_core::id::Digest::of(&index));
    assert!(
        image
            .rootfs
            .parent()
            .expect("it has one")
            .ends_with(image.digest.to_string())
    );
    // Without its blobs it could not be unpacked again.
    fs::remove_dir_all(images.layout().join("blobs")).expect("remove");
    let again = images
        .cache()
        .prepare(&images.layout())
        .expect("from the cache");
    assert_eq!(again, image);
}

#[test]
fn many_at_once_prepare_one_image() {
    let images = Images::new();
    let layer = Layer::new().file("a", 0o644, &vec![7; 1 << 20]);
    write_layout(
        &images.layout(),
        &[(Packing::Gzip, layer.bytes())],
        &json!({}),
    );
    let (cache, layout) = (images.cache(), images.layout());
    let all: Vec<Image> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| cache.prepare(&layout).expect("prepare"));
        let threads: Vec<_> = (0..8).map(|_| start()).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(
        fs::read_dir(images.dir.path().join("cache/rootfs"))
            .expect("list")
            .count(),
        1
    );
}

#[test]
fn entries_that_lead_out_of_the_image_are_refused() {
    let outside = TempDir::new().expect("make a temporary directory");
    fs::write(outside.path().join("victim"), "intact").expect("write");
    let target = outside.path().to_str().expect("a plain path");
    let up = format!("../../../../../../../../{target}");
    for (layer, word) in [
        (Layer::new().file("../evil", 0o644, b"x"), ".."),
        (Layer::new().file("a/../../evil", 0o644, b"x"), ".."),
        (
            Layer::new()
                .symlink("a", target)
                .file("a/victim", 0o644, b"x"),
            "leads out",
        ),
        (
            Layer::new().symlink("a", &up).file("a/victim", 0o644, b"x"),
            "leads out",
        ),
        (
            Layer::new()
                .symlink("a", target)
                .file("a/.wh.victim", 0o644, b""),
            "leads out",
        ),
        (
            Layer::new()
                .symlink("a", target)
                .file("a/.wh..wh..opq", 0o644, b""),
            "leads out",
        ),
        (
            Layer::new().symlink("a", target).directory("a/sub/"),
            "leads out",
        ),
        (
            Layer::new()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("a/x", 0o644, b""),
            "circle",
        ),
        (
            Layer::new().file("a", 0o644, b"").file("a/b", 0o644, b""),
            "not a directory",
        ),
    ] {
        let images = Images::new();
        let problem = images
            .prepare(vec![layer])
            .map(|_| ())
            .expect_err(word)
            .to_string();
        assert!(problem.contains(word), "expected {word} in: {problem}");
        assert_eq!(text(&outside.path().join("victim")), "intact");
        assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 1);
    }
}

#[test]
fn a_link_that_stays_inside_may_be_passed_and_one_that_is_replaced_is_not_followed() {
    let images = Images::new();
    let image = images
        .prepare(vec![
            Layer::new()
                .directory("usr/lib/")
                .symlink("lib", "usr/lib")
                .symlink("x", "/etc/passwd"),
            Layer::new()
                .file("lib/a", 0o644, b"a")
                .file("x", 0o644, b"mine"),
        ])
        .expect("prepare");
    assert_eq!(text(&image.rootfs.join("usr/lib/a")), "a");
    assert!(
        fs::symlink_metadata(image.rootfs.join("x"))
            .expect("stat")
            .is_file()
    );
}

#[test]
fn hard_links_reach_files_of_the_image_only() {
    let outside = TempDir::new().expect("make a temporary directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "intact").expect("write");
    let victim = victim.to_str().expect("a plain path");
    let link = |layer: Layer, target: &str| layer.raw(EntryType::Link, "b", target, 0o644, b"");
    for (layer, word) in [
        (link(Layer::new(), victim), "not there"),
        (link(Layer::new(), "../../etc/passwd"), ".."),
        (link(Layer::new(), "absent"), "not there"),
        (link(Layer::new().directory("d/"), "d"), "not a file"),
        (link(Layer::new().symlink("s", victim), "s"), "not a file"),
        (
            link(
                Layer::new().symlink("s", outside.path().to_str().expect("plain")),
                "s/victim",
            ),
            "leads out",
        ),
    ] {
        let problem = Images::new().refusal(vec![layer]);
        assert!(problem.contains(word), "expected {word} in: {problem}");
    }
    let images = Images::new();
    let layer = link(Layer::new().file("a", 0o644, b"a"), "a");
    let root = images.prepare(vec![layer]).expect("prepare").rootfs;
    let inode = |name: &str| fs::metadata(root.join(name)).expect("stat").ino();
    assert_eq!(inode("a"), inode("b"));
}

#[test]
fn device_nodes_and_pipes_are_refused_by_name() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        let problem =
            Images::new().refusal(vec![Layer::new().raw(kind, "dev/odd", "", 0o666, b"")]);
        assert!(
            problem.contains("dev/odd") && problem.contains("not allowed"),
            "{problem}"
        );
    }
}

#[test]
fn an_image_over_the_caps_is_refused() {
    let images = Images::new();
    let mut bomb = Layer::new();
    for index in 0..20 {
        bomb = bomb.file(&format!("zeros-{index}"), 0o644, &vec![0; 1 << 20]);
    }
    write_layout(
        &images.layout(),
        &[(Packing::Gzip, bomb.bytes())],
        &json!({}),
    );
    for (caps, word) in [
        (
            ImageCaps {
                unpacked_bytes_max: 1 << 20,
                entries_max: 100,
            },
            "unpacked size",
        ),
        (
            ImageCaps {
                unpacked_bytes_max: 1 << 30,
                entries_max: 10,
            },
            "entries",
        ),
    ] {
        let problem = images
            .cache()
            .with_caps(caps)
            .prepare(&images.layout())
            .expect_err("too large");
        assert!(matches!(problem, ImageError::TooLarge { .. }), "{problem}");
        assert!(problem.to_string().contains(word), "{problem}");
    }
}

#[test]
fn every_damaged_blob_is_noticed() {
    let images = Images::new();
    let layer = || {
        vec![(
            Packing::Gzip,
            Layer::new().file("a", 0o644, &[3; 5000]).bytes(),
        )]
    };
    write_layout(&images.layout(), &layer(), &json!({}));
    let blobs: Vec<PathBuf> = fs::read_dir(images.layout().join("blobs/sha256"))
        .expect("list")
        .map(|entry| entry.expect("list").path())
        .collect();
    assert_eq!(blobs.len(), 3, "a manifest, a configuration, a layer");
    for blob in &blobs {
        let good = fs::read(blob).expect("read");
        let mut flipped = good.clone();
        *flipped.last_mut().expect("blobs are not empty") ^= 1;
        let longer = [good.as_slice(), b" "].concat();
        for bad in [flipped, good[..good.len() - 1].to_vec(), longer, Vec::new()] {
            fs::write(blob, bad).expect("write");
            let problem = images
                .cache()
                .prepare(&images.layout())
                .expect_err("it is damaged");
            let name = blob
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a plain name");
            assert!(matches!(problem, ImageError::Damaged { .. }), "{problem}");
            assert!(problem.to_string().contains(name), "{problem}");
        }
        fs::write(blob, good).expect("write");
    }
    images
        .cache()
        .prepare(&images.layout())
        .expect("it is whole again");
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_noticed() {
    let images = Images::new();
    let manifest = |content: &[u8]| {
        let layer = Layer::new().file("a", 0o644, content).bytes();
        write_layout(&images.layout(), &[(Packing::Gzip, layer)], &json!({}))
    };
    let read = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let path = images.layout().join("blobs").join(digest.replace(':', "/"));
        serde_json::from_slice::<serde_json::Value>(&fs::read(path).expect("read")).expect("JSON")
    };
    let (one, other) = (read(&manifest(b"one")), read(&manifest(b"other")));
    let mixed = json!({"schemaVersion": 2, "config": one["config"], "layers": other["layers"]});
    let bytes = mixed.to_string();
    let digest = gdo_core::id::Digest::of(bytes.as_bytes());
    fs::write(
        images.layout().join(format!("blobs/sha256/{digest}")),
        &bytes,
    )
    .expect("write");
    write_index(
        &images.layout(),
        &[json!({"digest": format!("sha256:{digest}"), "size": bytes.len()})],
    );
    let problem = images
        .cache()
        .prepare(&images.layout())
        .expect_err("mixed up");
    assert!(matches!(problem, ImageError::Damaged { .. }), "{problem}");
}

#[test]
fn an_image_without_this_platform_is_told_apart_from_a_broken_one() {
    let images = Images::new();
    let mut manifest = write_layout(
        &images.layout(),
        &[(Packing::Plain, Layer::new().file("a", 0o644, b"a").bytes())],
        &json!({}),
    );
    manifest["platform"] = json!({"architecture": "sparc64", "os": "linux"});
    let foreign = manifest.clone();
    write_index(&images.layout(), std::slice::from_ref(&foreign));
    let problem = images
        .cache()
        .prepare(&images.layout())
        .expect_err("not for this machine");
    assert!(matches!(&problem, ImageError::NoPlatform { found, .. } if found == "linux/sparc64"));
    manifest["platform"] = json!({"architecture": crate::support::architecture(), "os": "linux"});
    write_index(&images.layout(), &[foreign, manifest]);
    images
        .cache()
        .prepare(&images.layout())
        .expect("the second variant is for this machine");
}

#[test]
fn what_is_not_a_layout_is_named() {
    let images = Images::new();
    let absent = images
        .cache()
        .prepare(&images.layout())
        .expect_err("nothing is there");
    assert!(matches!(absent, ImageError::NotALayout { .. }), "{absent}");
    fs::create_dir(images.layout()).expect("make");
    fs::write(images.layout().join("index.json"), "[]").expect("write");
    let odd = images
        .cache()
        .prepare(&images.layout())
        .expect_err("not an index");
    assert!(matches!(odd, ImageError::NotALayout { .. }), "{odd}");
    let zstd = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
                      "digest": "sha256:00", "size": 1});
    write_index(&images.layout(), &[zstd]);
    let digest = images
        .cache()
        .prepare(&images.layout())
        .expect_err("not a digest");
    assert!(matches!(digest, ImageError::Unsupported { .. }), "{digest}");
}

#[test]
fn a_mountpoint_that_is_a_link_becomes_a_directory_of_the_image() {
    let outside = TempDir::new().expect("make a temporary directory");
    let target = outside.path().to_str().expect("a plain path");
    let images = Images::new();
    let layer = Layer::new().symlink("gdo", target).symlink("tmp", target);
    let image = images.prepare(vec![layer]).expect("prepare");
    for name in ["gdo", "tmp"] {
        assert!(
            fs::symlink_metadata(image.rootfs.join(name))
                .expect("stat")
                .is_dir()
        );
    }
    assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 0);
}

#[test]
fn an_absolute_path_is_one_of_the_image() {
    let images = Images::new();
    let layer = Layer::new()
        .directory("/")
        .file("/etc/own", 0o644, b"own")
        .symlink("x", "/etc");
    let root = images.prepare(vec![layer]).expect("prepare").rootfs;
    assert_eq!(text(&root.join("etc/own")), "own");
}

#[test]
fn what_a_killed_process_began_to_unpack_is_swept_and_finished_images_stay() {
    let images = Images::new();
    images
        .cache()
        .sweep()
        .expect("a cache that is not there is fine");
    let image = images
        .prepare(vec![Layer::new().file("a", 0o644, b"a")])
        .expect("prepare");
    let half = images.dir.path().join("cache/rootfs/unfinished-1-0");
    fs::create_dir_all(half.join("rootfs/bin")).expect("make");
    images.cache().sweep().expect("sweep");
    assert!(!half.exists());
    assert_eq!(text(&image.rootfs.join("a")), "a");
}
