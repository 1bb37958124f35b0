//! Measures create-to-exit of a trivial validator, stage by stage, against crun and runc on the
//! same root file system: `cargo run --release -p gdo-runtime --example sandbox_bench -- IMAGE
//! HELPER [RUNS]`, with an OCI layout that has `/bin/true` and the path of `gdo-sandbox-helper`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use gdo_runtime::{
    HelperCommand, ImageCache, Isolation, RunRequest, Sandbox, SandboxConfig, Stages,
    default_state_dir,
};

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, layout, helper, rest @ ..] = args.as_slice() else {
        return Err("usage: sandbox_bench IMAGE HELPER [RUNS]".into());
    };
    let runs: usize = rest.first().map_or(Ok(100), |text| text.parse())?;
    let work = tempfile::tempdir()?;
    let path = |name: &str| work.path().join(name);
    for tree in ["base", "candidate"] {
        std::fs::create_dir(path(tree))?;
    }
    std::fs::write(path("context.json"), "{}")?;
    let image = ImageCache::new(&path("cache")).prepare(Path::new(layout))?;
    let sandbox = Sandbox::new(SandboxConfig {
        helper: HelperCommand::program(Path::new(helper)),
        state_dir: default_state_dir(work.path()),
        isolation: Isolation::Degraded,
    })?;
    let request = RunRequest::new(
        &image,
        &path("base"),
        &path("candidate"),
        &path("context.json"),
    )
    .with_command(vec!["/bin/true".into()]);
    let mut total = Vec::new();
    let mut stages: Vec<Stages> = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        let outcome = sandbox.run(&request)?;
        total.push(u64::try_from(begun.elapsed().as_micros())?);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        stages.push(outcome.stages);
    }
    let stage = |get: fn(&Stages) -> u64| median(stages.iter().map(get).collect());
    println!(
        "gdo: total {} us, prepare {} create {} run {} clean {}",
        median(total),
        stage(|s| s.prepare_us),
        stage(|s| s.create_us),
        stage(|s| s.run_us),
        stage(|s| s.clean_us),
    );
    for runtime in ["crun", "runc"] {
        match other(runtime, &image.rootfs, work.path(), runs) {
            Ok(microseconds) => println!("{runtime}: total {microseconds} us"),
            Err(problem) => println!("{runtime}: {problem}"),
        }
    }
    Ok(())
}

/// The same program on the same root file system by another runtime, with its own namespaces.
fn other(runtime: &str, rootfs: &Path, work: &Path, runs: usize) -> Result<u64, Box<dyn Error>> {
    let bundle: PathBuf = work.join(runtime);
    std::fs::create_dir(&bundle)?;
    let spec = Command::new(runtime)
        .arg("spec")
        .current_dir(&bundle)
        .output()?;
    if !spec.status.success() {
        return Err(String::from_utf8_lossy(&spec.stderr).into_owned().into());
    }
    let file = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    spec["process"]["args"] = serde_json::json!(["/bin/true"]);
    spec["process"]["terminal"] = serde_json::json!(false);
    // These take a right that a root without all of them may lack: raising limits, loading BPF.
    spec["process"]["rlimits"] = serde_json::json!([]);
    spec["linux"]["resources"] = serde_json::json!({});
    spec["root"]["path"] = serde_json::json!(rootfs);
    let mounts = spec["mounts"].as_array().ok_or("no mounts")?;
    let kept: Vec<_> = mounts
        .iter()
        .filter(|mount| {
            ["/proc", "/dev"]
                .iter()
                .any(|path| mount["destination"] == *path)
        })
        .cloned()
        .collect();
    spec["mounts"] = serde_json::json!(kept);
    std::fs::write(&file, spec.to_string())?;
    let mut total = Vec::new();
    for run in 0..runs {
        let begun = Instant::now();
        let output = Command::new(runtime)
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(format!("gdo-bench-{}-{run}", std::process::id()))
            .output()?;
        total.push(u64::try_from(begun.elapsed().as_micros())?);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    Ok(median(total))
}
