//! Images of other tools, imported, and given back to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_core::id::Digest;
use gdo_runtime::image::describe::describe;
use gdo_runtime::image::export::{Target, export};
use gdo_runtime::image::import::{Imported, Options, Progress, import};
use gdo_runtime::image::{NoLayers, ObjectDir};
use gdo_runtime::{ImageCache, ImageError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Layer, Packing, write_layout};

pub(crate) struct Imports {
    dir: TempDir,
}

impl Imports {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("make a temporary directory"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn named(&self, kind: &str, name: &str) -> String {
        format!("{kind}:{}", self.path(name).display())
    }

    pub(crate) fn objects(&self) -> ObjectDir {
        ObjectDir::new(&self.path("objects"))
    }

    pub(crate) fn import(
        &self,
        source: &str,
        out: &str,
        options: &Options,
    ) -> Result<Imported, ImageError> {
        let source = source.parse().expect("a source");
        import(
            &source,
            &self.path(out),
            &self.objects(),
            options,
            &mut |_| {},
        )
    }

    #[track_caller]
    pub(crate) fn good(&self, source: &str, out: &str) -> Imported {
        let found = self.import(source, out, &Options::default());
        found.unwrap_or_else(|problem| panic!("{source}: {problem}"))
    }

    pub(crate) fn export(&self, layout: &str, target: &str) -> Result<(), ImageError> {
        let target: Target = target.parse().expect("a target");
        export(&self.path(layout), &self.objects(), &target, &mut |_| {})
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

pub(crate) fn objects_in(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let count = |path: PathBuf| if path.is_dir() { objects_in(&path) } else { 1 };
    entries
        .map(|entry| count(entry.expect("list").path()))
        .sum()
}

/// Runs another tool, which must succeed; gives its output.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {program}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn sample() -> Vec<(Packing, Vec<u8>)> {
    let lower = Layer::new()
        .directory("etc/")
        .file("etc/name", 0o644, b"lower")
        .file("etc/gone", 0o644, b"x")
        .file("big", 0o755, &vec![7; 300_000]);
    let upper = Layer::new()
        .file("etc/name", 0o644, b"upper")
        .file("etc/.wh.gone", 0o644, b"")
        .symlink("link", "etc/name");
    vec![
        (Packing::Gzip, lower.bytes()),
        (Packing::Plain, upper.bytes()),
    ]
}

#[test]
fn layers_become_objects_and_configuration_and_diff_ids_stay() {
    let imports = Imports::new();
    let layers = sample();
    write_layout(&imports.path("in"), &layers, &json!({"Cmd": ["/big"]}));
    let imported = imports.good(&imports.named("oci", "in"), "out");
    let [variant] = imported.variants.as_slice() else {
        panic!("one platform")
    };
    assert_eq!(imported.digest, Digest::of(&imports.read("out/index.json")));
    let original = variant.original.expect("it was compressed");
    let manifest: Value =
        serde_json::from_slice(&imports.read(&format!("out/blobs/sha256/{}", variant.manifest)))
            .expect("a manifest");
    assert_eq!(
        manifest["annotations"]["gdo.original"],
        format!("sha256:{original}")
    );
    let before = imports.read(&format!("in/blobs/sha256/{original}"));
    assert_eq!(
        imports.read(&format!("out/blobs/sha256/{original}")),
        before,
        "provenance"
    );
    let config = format!("blobs/sha256/{}", variant.config);
    assert_eq!(
        imports.read(&format!("out/{config}")),
        imports.read(&format!("in/{config}"))
    );
    for ((_, tar), pointer) in layers.iter().zip(&variant.layers) {
        assert_eq!(
            (pointer.oid, pointer.size),
            (Digest::of(tar), tar.len() as u64)
        );
        let text = imports.read(&format!("out/blobs/sha256/{}", pointer.oid));
        assert_eq!(
            text,
            pointer.to_text().as_bytes(),
            "a pointer stands in the layout"
        );
        assert_eq!(
            &fs::read(imports.objects().path(&pointer.oid)).expect("an object"),
            tar
        );
        let line = format!(
            "blobs/sha256/{} filter=lfs diff=lfs merge=lfs -text\n",
            pointer.oid
        );
        let attributes = String::from_utf8(imports.read("out/.gitattributes")).expect("text");
        assert!(attributes.contains(&line), "{attributes}");
    }
    assert!(
        imported
            .notes
            .iter()
            .any(|note| note.contains("@sha256") && note.contains("signatures"))
    );
    let read = |name: &str| Ok(fs::read(imports.path("out").join(name)).ok());
    let description = describe(&read).expect("it describes itself");
    assert_eq!(description.digest, imported.digest);
    assert_eq!(description.tag.as_deref(), Some("latest"));
    assert_eq!(description.variants[0].layers.len(), 2);
}

#[test]
fn an_imported_image_runs_from_its_objects_and_a_missing_one_is_named() {
    let imports = Imports::new();
    write_layout(&imports.path("in"), &sample(), &json!({"Cmd": ["/big"]}));
    let imported = imports.good(&imports.named("oci", "in"), "out");
    let cache = ImageCache::new(&imports.path("cache"));
    let layout = imports.path("out");
    let layer = imported.variants[0].layers[0];
    let missing = cache
        .prepare_from(&layout, &NoLayers)
        .expect_err("nothing has the layers");
    assert!(matches!(missing, ImageError::Missing { pointer, .. } if pointer == layer));
    assert!(
        missing.to_string().contains(&layer.oid.to_string()),
        "{missing}"
    );
    let image = cache
        .prepare_from(&layout, &imports.objects())
        .expect("it is prepared");
    assert_eq!(
        (image.digest, image.command.as_slice()),
        (imported.digest, &["/big".to_owned()][..])
    );
    assert_eq!(
        fs::read(image.rootfs.join("etc/name")).expect("read"),
        b"upper"
    );
    assert!(!image.rootfs.join("etc/gone").exists());
    // An object that is not what its name says is no layer.
    let path = imports.objects().path(&layer.oid);
    let mut bytes = fs::read(&path).expect("read");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(&path, bytes).expect("write");
    let other = ImageCache::new(&imports.path("other"));
    let damaged = other
        .prepare_from(&layout, &imports.objects())
        .expect_err("it is damaged");
    assert!(
        damaged.to_string().contains(&layer.oid.to_string()),
        "{damaged}"
    );
}

#[test]
fn a_pointer_to_another_object_than_the_blob_is_refused() {
    let imports = Imports::new();
    write_layout(&imports.path("in"), &sample(), &json!({}));
    let imported = imports.good(&imports.named("oci", "in"), "out");
    let [lower, upper] = imported.variants[0].layers[..] else {
        panic!("two layers")
    };
    let file = imports.path("out/blobs/sha256").join(lower.oid.to_string());
    fs::write(file, upper.to_text()).expect("write");
    let cache = ImageCache::new(&imports.path("cache"));
    let problem = cache.prepare_from(&imports.path("out"), &imports.objects());
    let problem = problem.expect_err("it points elsewhere").to_string();
    assert!(problem.contains("another object"), "{problem}");
}

#[test]
fn what_was_exported_is_imported_as_the_same_image() {
    let imports = Imports::new();
    write_layout(&imports.path("in"), &sample(), &json!({}));
    let first = imports.good(&imports.named("oci", "in"), "out");
    imports
        .export("out", &imports.named("oci", "exported"))
        .expect("exported");
    imports
        .export("out", &imports.named("oci-archive", "exported.tar"))
        .expect("exported");
    for (source, out) in [
        ("oci", "exported"),
        ("oci-archive", "exported.tar"),
        ("oci", "out"),
    ] {
        let out_again = format!("again-{source}-{out}");
        let again = imports.good(&imports.named(source, out), &out_again);
        assert_eq!(again.digest, first.digest, "{source}:{out}");
        let list = |dir: &str| {
            run(
                "sh",
                &[
                    "-c",
                    "cd \"$0\" && find . -type f -exec sha256sum {} + | sort",
                    imports.path(dir).to_str().expect("UTF-8"),
                ],
            )
        };
        assert_eq!(
            list(&out_again),
            list("out"),
            "every file is the same, provenance too"
        );
    }
    let taken = imports
        .export("out", &imports.named("oci", "exported"))
        .expect_err("it is there");
    assert!(taken.to_string().contains("there already"), "{taken}");
    let layer = first.variants[0].layers[0];
    fs::remove_file(imports.objects().path(&layer.oid)).expect("remove");
    let gone = imports
        .export("out", &imports.named("oci", "third"))
        .expect_err("a layer is gone");
    assert!(gone.to_string().contains(&layer.oid.to_string()), "{gone}");
    assert!(!imports.path("third").exists(), "half an export is removed");
}

#[test]
fn skopeo_and_umoci_take_what_is_exported_and_give_what_is_imported() {
    let imports = Imports::new();
    write_layout(&imports.path("in"), &sample(), &json!({"Cmd": ["/big"]}));
    let first = imports.good(&imports.named("oci", "in"), "out");
    imports
        .export("out", &imports.named("oci", "exported"))
        .expect("exported");
    imports
        .export("out", &imports.named("oci-archive", "exported.tar"))
        .expect("exported");
    let exported = imports.named("oci", "exported:latest");
    let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", &exported])).expect("JSON");
    let layer = |at: usize| json!(format!("sha256:{}", first.variants[0].layers[at].oid));
    assert_eq!(seen["Layers"], json!([layer(0), layer(1)]));
    let manifest = format!("sha256:{}", first.variants[0].manifest);
    assert_eq!(seen["Digest"], json!(manifest));
    run("skopeo", &["inspect", &imports.named("oci", "exported")]);
    run(
        "skopeo",
        &["inspect", &imports.named("oci-archive", "exported.tar")],
    );
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--insecure-policy",
            &exported,
            &imports.named("docker-archive", "saved.tar"),
        ],
    );
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--insecure-policy",
            &exported,
            &imports.named("oci", "copied:other"),
        ],
    );
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--insecure-policy",
            &imports.named("oci-archive", "exported.tar"),
            &imports.named("oci", "from-archive:v1"),
        ],
    );
    let bundle = imports.path("bundle");
    let bundle = bundle.to_str().expect("UTF-8");
    let image = format!("{}:latest", imports.path("exported").display());
    run("umoci", &["stat", "--image", &image]);
    run(
        "umoci",
        &["unpack", "--rootless", "--image", &image, bundle],
    );
    assert_eq!(imports.read("bundle/rootfs/etc/name"), b"upper");
    assert!(!imports.path("bundle/rootfs/etc/gone").exists());
    // skopeo compresses on its way and may reorder documents; what the image is stays.
    let saved = imports.good(&imports.named("docker-archive", "saved.tar"), "from-docker");
    let copied = imports.good(&imports.named("oci", "copied"), "from-oci");
    for again in [&saved, &copied] {
        assert_eq!(again.variants[0].config, first.variants[0].config);
        assert_eq!(again.variants[0].layers, first.variants[0].layers);
    }
}

#[test]
fn progress_ends_at_the_total() {
    let imports = Imports::new();
    let layer = Layer::new().file("a", 0o644, &vec![1; 5 << 20]).bytes();
    write_layout(&imports.path("in"), &[(Packing::Plain, layer)], &json!({}));
    let source = imports.named("oci", "in").parse().expect("a source");
    let mut told: Vec<Progress> = Vec::new();
    import(
        &source,
        &imports.path("out"),
        &imports.objects(),
        &Options::default(),
        &mut |now| told.push(now),
    )
    .expect("imported");
    let last = told.last().expect("it was told");
    assert!(told.len() >= 5 && last.done_bytes == last.total_bytes && last.total_bytes > 5 << 20);
}
