//! The forms in which images come: compressed, for several platforms, as bare files.

use std::fs;

use gdo_core::id::Digest;
use gdo_runtime::ImageCache;
use gdo_runtime::image::import::{Options, Process};
use serde_json::{Value, json};

use crate::import::{Imports, run, sample};
use crate::support::{Layer, Packing, architecture, write_index, write_layout};

#[test]
fn compressed_layers_stay_when_the_original_is_kept() {
    let imports = Imports::new();
    let descriptor = write_layout(&imports.path("in"), &sample(), &json!({}));
    let options = Options {
        keep_original: true,
        ..Options::default()
    };
    let imported = imports
        .import(&imports.named("oci", "in"), "out", &options)
        .expect("imported");
    let variant = &imported.variants[0];
    assert_eq!(
        descriptor["digest"],
        json!(format!("sha256:{}", variant.manifest))
    );
    assert_eq!(variant.original, None);
    let beginning = fs::read(imports.objects().path(&variant.layers[0].oid)).expect("read");
    assert_eq!(
        &beginning[..2],
        [0x1f, 0x8b],
        "the object is the gzip stream"
    );
    let cache = ImageCache::new(&imports.path("cache"));
    let image = cache
        .prepare_from(&imports.path("out"), &imports.objects())
        .expect("it is prepared");
    assert_eq!(
        fs::read(image.rootfs.join("etc/name")).expect("read"),
        b"upper"
    );
}

#[test]
fn zstd_layers_are_taken_and_run() {
    let imports = Imports::new();
    let tar = Layer::new().file("a", 0o644, b"content").bytes();
    let packed = zstd::encode_all(tar.as_slice(), 3).expect("writing to memory cannot fail");
    let mut manifest = write_layout(
        &imports.path("in"),
        &[(Packing::Plain, tar.clone())],
        &json!({}),
    );
    let file = |digest: &Value| {
        imports
            .path("in/blobs")
            .join(digest.as_str().expect("text").replace(':', "/"))
    };
    let mut value: Value =
        serde_json::from_slice(&fs::read(file(&manifest["digest"])).expect("read")).expect("JSON");
    let digest = format!("sha256:{}", Digest::of(&packed));
    fs::write(file(&json!(digest)), &packed).expect("write");
    value["layers"] = json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
        "digest": digest, "size": packed.len()}]);
    let text = value.to_string();
    manifest["digest"] = json!(format!("sha256:{}", Digest::of(text.as_bytes())));
    manifest["size"] = json!(text.len());
    fs::write(file(&manifest["digest"]), text).expect("write");
    write_index(&imports.path("in"), &[manifest]);
    let imported = imports.good(&imports.named("oci", "in"), "out");
    assert_eq!(imported.variants[0].layers[0].oid, Digest::of(&tar));
    let image = ImageCache::new(&imports.path("cache")).prepare(&imports.path("in"));
    assert_eq!(
        fs::read(image.expect("it runs as it is").rootfs.join("a")).expect("read"),
        b"content"
    );
}

#[test]
fn an_image_for_several_platforms_keeps_them_or_those_that_are_named() {
    let imports = Imports::new();
    let variant = |architecture: &str, content: &[u8]| {
        let layer = Layer::new().file("a", 0o644, content).bytes();
        let mut descriptor =
            write_layout(&imports.path("in"), &[(Packing::Gzip, layer)], &json!({}));
        let file = |digest: &Value| {
            imports
                .path("in/blobs")
                .join(digest.as_str().expect("text").replace(':', "/"))
        };
        let put = |value: &Value| {
            let text = value.to_string();
            let digest = json!(format!("sha256:{}", Digest::of(text.as_bytes())));
            fs::write(file(&digest), &text).expect("write");
            (digest, json!(text.len()))
        };
        let read = |digest: &Value| -> Value {
            serde_json::from_slice(&fs::read(file(digest)).expect("read")).expect("JSON")
        };
        let mut manifest = read(&descriptor["digest"]);
        let mut config = read(&manifest["config"]["digest"]);
        config["architecture"] = json!(architecture);
        (manifest["config"]["digest"], manifest["config"]["size"]) = put(&config);
        (descriptor["digest"], descriptor["size"]) = put(&manifest);
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    };
    let two = [
        variant(architecture(), b"here"),
        variant("sparc64", b"there"),
    ];
    let mut note = two[0].clone();
    note["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    note["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    write_index(&imports.path("in"), &[two[0].clone(), two[1].clone(), note]);
    let imported = imports.good(&imports.named("oci", "in"), "out");
    let platforms: Vec<String> = imported
        .variants
        .iter()
        .map(|one| one.platform.to_string())
        .collect();
    assert_eq!(
        platforms,
        [
            format!("linux/{}", architecture()),
            "linux/sparc64".to_owned()
        ]
    );
    assert!(
        imported
            .notes
            .iter()
            .any(|note| note.contains("attestation")),
        "{:?}",
        imported.notes
    );
    let image = ImageCache::new(&imports.path("cache"));
    let image = image
        .prepare_from(&imports.path("out"), &imports.objects())
        .expect("prepared");
    assert_eq!(fs::read(image.rootfs.join("a")).expect("read"), b"here");
    imports
        .export("out", &imports.named("oci", "exported"))
        .expect("exported");
    run("skopeo", &["inspect", &imports.named("oci", "exported")]);
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--all",
            "--insecure-policy",
            &imports.named("oci", "exported"),
            &imports.named("oci", "all:x"),
        ],
    );
    let again = imports.good(&imports.named("oci", "exported"), "again");
    assert_eq!(again.digest, imported.digest);
    let options = Options {
        platforms: vec!["linux/sparc64".parse().expect("a platform")],
        ..Options::default()
    };
    let one = imports
        .import(&imports.named("oci", "in"), "one", &options)
        .expect("imported");
    assert_eq!(one.variants.len(), 1);
    assert_eq!(one.variants[0].layers, imported.variants[1].layers);
    let options = Options {
        platforms: vec!["plan9/mips".parse().expect("a platform")],
        ..Options::default()
    };
    let none = imports
        .import(&imports.named("oci", "in"), "none", &options)
        .expect_err("not there");
    assert!(none.to_string().contains("linux/sparc64"), "{none}");
}

#[test]
fn a_root_file_system_becomes_an_image_the_same_each_time() {
    let imports = Imports::new();
    let root = imports.path("root");
    fs::create_dir_all(root.join("bin")).expect("make");
    fs::write(root.join("bin/tool"), "#!/bin/sh\n").expect("write");
    let long = "n".repeat(150);
    fs::write(root.join("bin").join(&long), "long").expect("write");
    fs::hard_link(root.join("bin/tool"), root.join("bin/twin")).expect("link");
    std::os::unix::fs::symlink("tool", root.join("bin/link")).expect("link");
    run(
        "chmod",
        &["4755", root.join("bin/tool").to_str().expect("UTF-8")],
    );
    run("mkfifo", &[root.join("pipe").to_str().expect("UTF-8")]);
    let process = Process {
        entrypoint: vec!["/bin/tool".into()],
        cmd: vec!["-v".into()],
        env: vec!["A=b".into()],
        working_dir: Some("/bin".into()),
    };
    let options = Options {
        process: process.clone(),
        ..Options::default()
    };
    let imported = imports
        .import(&imports.named("rootfs", "root"), "out", &options)
        .expect("imported");
    let notes = imported.notes.join("\n");
    assert!(
        notes.contains("pipe") && notes.contains("bin/tool"),
        "{notes}"
    );
    let image = ImageCache::new(&imports.path("cache"));
    let image = image
        .prepare_from(&imports.path("out"), &imports.objects())
        .expect("prepared");
    assert_eq!(image.command, ["/bin/tool", "-v"]);
    assert_eq!(
        (image.env.as_slice(), image.working_dir.as_str()),
        (&["A=b".to_owned()][..], "/bin")
    );
    assert_eq!(
        fs::read(image.rootfs.join("bin/twin")).expect("read"),
        b"#!/bin/sh\n"
    );
    assert_eq!(
        fs::read(image.rootfs.join("bin").join(&long)).expect("read"),
        b"long"
    );
    let again = imports
        .import(&imports.named("rootfs", "root"), "again", &options)
        .expect("imported");
    assert_eq!(again.digest, imported.digest);
    imports
        .export("out", &imports.named("oci", "exported"))
        .expect("exported");
    run("skopeo", &["inspect", &imports.named("oci", "exported")]);
    let bundle = imports.path("bundle");
    let exported = format!("{}:latest", imports.path("exported").display());
    run(
        "umoci",
        &[
            "unpack",
            "--rootless",
            "--image",
            &exported,
            bundle.to_str().expect("UTF-8"),
        ],
    );
    // The same as an archive of GNU tar, compressed.
    run(
        "tar",
        &[
            "-C",
            root.to_str().expect("UTF-8"),
            "-czf",
            imports.path("root.tgz").to_str().expect("UTF-8"),
            ".",
        ],
    );
    let packed = imports
        .import(&imports.named("rootfs", "root.tgz"), "packed", &options)
        .expect("imported");
    assert!(
        packed.notes.join("\n").contains("pipe"),
        "{:?}",
        packed.notes
    );
    let image = ImageCache::new(&imports.path("cache"));
    let image = image
        .prepare_from(&imports.path("packed"), &imports.objects())
        .expect("prepared");
    assert_eq!(
        fs::read(image.rootfs.join("bin").join(&long)).expect("read"),
        b"long"
    );
    let kept = Options {
        allow_set_id: true,
        ..options
    };
    let kept = imports
        .import(&imports.named("rootfs", "root"), "kept", &kept)
        .expect("imported");
    assert_ne!(kept.variants[0].layers, imported.variants[0].layers);
    write_layout(&imports.path("in"), &sample(), &json!({}));
    let options = Options {
        process,
        ..Options::default()
    };
    let foreign = imports.import(&imports.named("oci", "in"), "foreign", &options);
    assert!(
        foreign
            .expect_err("its own")
            .to_string()
            .contains("rootfs: alone")
    );
}

#[test]
fn a_source_with_several_images_is_asked_for_one() {
    let imports = Imports::new();
    let mut one = write_layout(&imports.path("in"), &sample(), &json!({"Cmd": ["/one"]}));
    let mut two = write_layout(&imports.path("in"), &sample(), &json!({"Cmd": ["/two"]}));
    one["annotations"] = json!({"org.opencontainers.image.ref.name": "one"});
    two["annotations"] = json!({"org.opencontainers.image.ref.name": "two"});
    write_index(&imports.path("in"), &[one, two.clone()]);
    let several = imports.import(&imports.named("oci", "in"), "out", &Options::default());
    let several = several.expect_err("which one").to_string();
    assert!(several.contains("one, two"), "{several}");
    let found = imports.good(&imports.named("oci", "in:two"), "two");
    assert_eq!(
        json!(format!(
            "sha256:{}",
            found.variants[0].original.expect("rewritten")
        )),
        two["digest"]
    );
    let index: Value = serde_json::from_slice(&imports.read("two/index.json")).expect("JSON");
    assert_eq!(
        index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"],
        json!("two")
    );
    let absent = imports.import(
        &imports.named("oci", "in:three"),
        "three",
        &Options::default(),
    );
    assert!(
        absent
            .expect_err("no such image")
            .to_string()
            .contains("three")
    );
}
