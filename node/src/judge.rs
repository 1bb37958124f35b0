//! Judging candidates: projects, asks the cache, runs the validator, says what it said.
//!
//! A few worker threads take jobs from the reactor and answer over its channel. They read the ledger
//! and write `cache/`; nothing here signs or moves a ref.
//!
//! **Invariants**: every job is answered once; what cannot be decided is inconclusive with its
//! reason (P-26), never a fail.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gdo_core::context::Context;
use gdo_core::dapp::Manifest;
use gdo_core::id::{Digest, ObjectId};
use gdo_core::pointer::Pointer;
use gdo_core::verdict::{Outcome, Problem, Report, RunRecord, VerdictKey};
use gdo_ledger::{CheckoutCaps, Ledger};
use gdo_runtime::image::{LayerSource, NoLayers};
use gdo_runtime::{ImageCache, Judgement, Limits, RunRequest, Sandbox, SandboxConfig};

use crate::config::{Config, Isolation};
use crate::dir::NodeDir;
use crate::error::NodeError;
use crate::fault;
use crate::helper::Helper;
use crate::objects::Objects;
use crate::stage::Stage;
use crate::verdicts::{CachedVerdict, VerdictCache};

/// A candidate for one validator.
#[derive(Clone, Debug)]
pub struct Job {
    /// The dapp.
    pub manifest: Manifest,
    /// The digest that names its validator.
    pub dapp_digest: Digest,
    /// The tree that holds the dapp's image: that of the checkpoint in force.
    pub image_tree: ObjectId,
    /// The tree that is shown as the base.
    pub base: ObjectId,
    /// The tree of the candidate.
    pub candidate: ObjectId,
    /// What the validator is told.
    pub context: Context,
}

/// What came of a job.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was judged, by what; `None` when it could not even be projected.
    pub key: Option<VerdictKey>,
    /// The result, or why there is none.
    pub result: Result<Outcome, String>,
    /// The problems that the dapp reported.
    pub problems: Vec<Problem>,
    /// What it printed, for people.
    pub output: String,
    /// How long the run took, in milliseconds; of a cached verdict, the lookup.
    pub wall_ms: u64,
    /// Whether no container ran.
    pub cached: bool,
    /// What the run used, when one ran.
    pub run: Option<RunRecord>,
    /// Isolation that this machine could not give.
    pub degraded: Vec<String>,
}

/// One passing run of so many is made twice.
const SAMPLE: u8 = 16;

type Answer = Box<dyn FnOnce(Judged) + Send>;

/// The worker threads.
#[derive(Clone, Debug)]
pub struct Judges {
    jobs: Sender<(Job, Answer)>,
    judge: Arc<Judge>,
}

impl Judges {
    /// Starts the workers.
    ///
    /// # Errors
    /// The runtime's directories cannot be made, or no thread can be started.
    pub fn start(
        dir: &NodeDir,
        config: &Config,
        ledger: &Arc<Ledger>,
        objects: Objects,
        helper: Helper,
    ) -> Result<Self, NodeError> {
        let judge = Judge::new(dir, config.isolation, Arc::clone(ledger), helper)?;
        let worker = Arc::new(judge.with_layers(Arc::new(StoredLayers(objects))));
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..config.runtime_jobs {
            let (worker, queue) = (Arc::clone(&worker), Arc::clone(&queue));
            std::thread::Builder::new()
                .name(format!("judge-{number}"))
                .spawn(move || work(&worker, &queue))
                .map_err(|source| NodeError::io("start a judge for", dir.root(), source))?;
        }
        Ok(Self {
            jobs,
            judge: worker,
        })
    }

    /// Ends the helpers that are free: what is not used holds no memory.
    pub fn cool(&self) {
        self.judge.sandbox.cool();
    }

    /// Isolation that this machine cannot give, in words.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.judge
            .sandbox
            .missing()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Hands out a job; `answer` is called from a worker.
    pub fn judge(&self, job: Job, answer: impl FnOnce(Judged) + Send + 'static) {
        if let Err(unsent) = self.jobs.send((job, Box::new(answer))) {
            let (_, answer) = unsent.0;
            answer(Judged::inconclusive(None, "the node is stopping"));
        }
    }
}

fn work(worker: &Judge, queue: &Mutex<Receiver<(Job, Answer)>>) {
    loop {
        let next = queue.lock().expect("no judge panics while it waits").recv();
        let Ok((job, answer)) = next else { return };
        answer(worker.judge(&job));
    }
}

impl Judged {
    fn inconclusive(key: Option<VerdictKey>, reason: impl std::fmt::Display) -> Self {
        Self {
            key,
            result: Err(reason.to_string()),
            problems: Vec::new(),
            output: String::new(),
            wall_ms: 0,
            cached: false,
            run: None,
            degraded: Vec::new(),
        }
    }
}

/// Where a judge finds the layers that stand in trees as pointers (P-40).
pub type Layers = Arc<dyn LayerSource + Send + Sync>;

/// The layers in a node's chunk store, which checks every byte that it gives.
#[derive(Clone, Debug)]
pub struct StoredLayers(pub Objects);

impl LayerSource for StoredLayers {
    fn open(&self, pointer: &Pointer) -> io::Result<Option<Box<dyn Read + '_>>> {
        let store = self.0.existing().map_err(io::Error::other)?;
        let found = store.as_ref().map(|store| store.contains(pointer));
        match (store, found.transpose().map_err(io::Error::other)?) {
            (Some(store), Some(true)) => {
                let object = store.read(&pointer.oid).map_err(io::Error::other)?;
                Ok(Some(Box::new(object)))
            }
            _ => Ok(None),
        }
    }

    fn hint(&self) -> String {
        "push it to this node from a clone that has it, with 'git lfs push --all'".to_owned()
    }
}

/// One judge: also used without a daemon, by `gdo dapp run` and `gdo verify --rerun`.
pub struct Judge {
    ledger: Arc<Ledger>,
    images: ImageCache,
    layouts: PathBuf,
    runs: PathBuf,
    verdicts: VerdictCache,
    sandbox: Sandbox,
    /// Held open for the sandbox.
    _helper: Helper,
    layers: Layers,
    next_run: AtomicU64,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Judge")
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}

impl Judge {
    /// A judge that keeps what it prepares below the node's `cache/`.
    ///
    /// # Errors
    /// The directories cannot be made.
    pub fn new(
        dir: &NodeDir,
        isolation: Isolation,
        ledger: Arc<Ledger>,
        helper: Helper,
    ) -> Result<Self, NodeError> {
        let cache = dir.cache();
        let runs = cache.join("runs");
        // What a killed daemon left behind is of no use.
        match std::fs::remove_dir_all(&runs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(NodeError::io("clear", &runs, error));
            }
            _ => {}
        }
        std::fs::create_dir_all(&runs).map_err(|source| NodeError::io("create", &runs, source))?;
        let isolation = match isolation {
            Isolation::Full => gdo_runtime::Isolation::Full,
            Isolation::Degraded => gdo_runtime::Isolation::Degraded,
        };
        let sandbox = Sandbox::new(SandboxConfig {
            helper: helper.sandbox(),
            state_dir: gdo_runtime::default_state_dir(dir.root()),
            isolation,
        })
        .map_err(|error| NodeError::Refused(error.to_string()))?;
        let images = ImageCache::new(&cache);
        images
            .sweep()
            .map_err(|error| NodeError::Refused(error.to_string()))?;
        Ok(Self {
            ledger,
            images,
            layouts: cache.join("layouts"),
            runs,
            verdicts: VerdictCache::new(&cache),
            sandbox,
            _helper: helper,
            layers: Arc::new(NoLayers),
            next_run: AtomicU64::new(0),
        })
    }

    /// The same judge, with a place for the layers that stand in trees as pointers.
    #[must_use]
    pub fn with_layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// Judges one candidate: from the cache if it can, else in a container.
    #[must_use]
    pub fn judge(&self, job: &Job) -> Judged {
        let started = Instant::now();
        let context = job.context.to_json();
        let reads = &job.manifest.validator.reads;
        let stage = Stage::begin("project");
        let input = match self
            .ledger
            .input_tree(&job.base, &job.candidate, reads, &context)
        {
            Ok(input) => input,
            Err(error) => return Judged::inconclusive(None, error),
        };
        drop(stage);
        let key = VerdictKey {
            dapp_digest: job.dapp_digest,
            input,
        };
        if let Some(cached) = self.verdicts.read(key) {
            return Judged {
                key: Some(key),
                result: Ok(cached.outcome),
                problems: cached.report.problems,
                output: cached.output,
                wall_ms: millis(started),
                cached: true,
                run: None,
                degraded: Vec::new(),
            };
        }
        let judged = self
            .run(job, key)
            .and_then(|first| self.confirm(job, key, first));
        let judged = judged.unwrap_or_else(|reason| Judged::inconclusive(Some(key), reason));
        if let Ok(outcome) = judged.result {
            self.verdicts.write(&CachedVerdict {
                key,
                outcome,
                report: Report {
                    problems: judged.problems.clone(),
                },
                output: judged.output.clone(),
                wall_ms: judged.wall_ms,
            });
            fault::point("verdict cached");
        }
        judged
    }

    /// Runs again what blames somebody, and a sample of the rest: a dapp that answers differently
    /// twice has said nothing (P-26). The sample is drawn by the input, so that nobody can choose it.
    fn confirm(&self, job: &Job, key: VerdictKey, first: Judged) -> Result<Judged, String> {
        let sampled = key
            .input
            .as_bytes()
            .last()
            .is_some_and(|byte| byte % SAMPLE == 0);
        let again = match first.result {
            Ok(Outcome::Fail) => true,
            Ok(Outcome::Pass) => sampled,
            Err(_) => false,
        };
        if !again {
            return Ok(first);
        }
        let second = self.run(job, key)?;
        match second.result {
            Ok(_) if second.result == first.result => Ok(first),
            Ok(_) => Err("it gave two different results for one input".to_owned()),
            Err(reason) => Err(reason),
        }
    }

    /// Judges one candidate in a container, whatever the cache says (`gdo verify --rerun`).
    ///
    /// # Errors
    /// Why no container could be run.
    pub fn run(&self, job: &Job, key: VerdictKey) -> Result<Judged, String> {
        let _stage = Stage::begin("check out and run");
        let layout = self.layout(job)?;
        let image = self
            .images
            .prepare_from(&layout, &*self.layers)
            .map_err(|error| error.to_string())?;
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let dir = self.runs.join(number.to_string());
        let outcome = self
            .ledger
            .checkout_projection(&key.input, &dir, CheckoutCaps::default())
            .map_err(|error| error.to_string())
            .and_then(|_| {
                fault::point("input checked out");
                let request = request(job, &image, &dir);
                self.sandbox
                    .run(&request)
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = std::fs::remove_dir_all(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "a run's input cannot be removed");
        }
        Ok(self.conclude(job, key, outcome?))
    }

    fn conclude(&self, job: &Job, key: VerdictKey, outcome: gdo_runtime::Outcome) -> Judged {
        let result = match gdo_runtime::judge(&outcome) {
            Judgement::Pass => Ok(Outcome::Pass),
            Judgement::Fail => Ok(Outcome::Fail),
            Judgement::Inconclusive(reason) => Err(reason.to_string()),
        };
        let report: Report = outcome
            .report
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let output = [outcome.stdout.as_slice(), outcome.stderr.as_slice()].concat();
        let output = String::from_utf8_lossy(&output).into_owned();
        let wall_ms = outcome.resources.wall_ms;
        let run = RunRecord {
            key,
            dapp: job.manifest.name.clone(),
            result: match &result {
                Ok(Outcome::Pass) => "pass",
                Ok(Outcome::Fail) => "fail",
                Err(_) => "inconclusive",
            }
            .to_owned(),
            reason: result.as_ref().err().cloned(),
            exit: outcome.exit,
            wall_ms,
            cpu_ms: Some(outcome.resources.cpu_ms),
            memory_peak_bytes: outcome.resources.memory_peak_bytes,
            arch: std::env::consts::ARCH.to_owned(),
        };
        Judged {
            key: Some(key),
            result,
            problems: report.problems,
            output,
            wall_ms,
            cached: false,
            run: Some(run),
            degraded: outcome.degraded,
        }
    }

    /// The dapp's image layout as a directory, checked out once per tree.
    fn layout(&self, job: &Job) -> Result<PathBuf, String> {
        let folder = job.manifest.image_dir();
        let tree = self
            .ledger
            .subtree(&job.image_tree, &folder)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| {
                format!("{folder} is not in the ledger, expected an OCI image layout")
            })?;
        let home = self.layouts.join(tree.to_string());
        if home.is_dir() {
            return Ok(home);
        }
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let half = self
            .layouts
            .join(format!("half-{}-{number}", std::process::id()));
        let made = std::fs::create_dir_all(&self.layouts)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let caps = CheckoutCaps::default();
                self.ledger
                    .checkout_tree(&tree, &half, caps)
                    .map_err(|error| error.to_string())
            })
            .and_then(|_| match std::fs::rename(&half, &home) {
                Err(_) if home.is_dir() => Ok(()), // another judge was faster
                other => other.map_err(|error| error.to_string()),
            });
        if half.exists() {
            let _ = std::fs::remove_dir_all(&half);
        }
        made.map(|()| home)
    }
}

fn request(job: &Job, image: &gdo_runtime::Image, dir: &Path) -> RunRequest {
    let validator = &job.manifest.validator;
    let limits = validator.limits;
    let request = RunRequest::new(
        image,
        &dir.join("base"),
        &dir.join("candidate"),
        &dir.join("context.json"),
    )
    .with_limits(Limits {
        wall_ms: limits.wall_ms,
        cpu_ms: limits.cpu_ms,
        memory_mib: limits.memory_mib,
        pids: limits.pids,
        output_kib: limits.output_kib,
        tmp_mib: limits.tmp_mib,
    });
    let mut request = match &validator.command {
        Some(command) => request.with_command(command.clone()),
        None => request,
    };
    request.source_date_epoch = job.context.time.map_or(0, |time| time.0);
    request
}

/// Milliseconds since `started`, rounded up: nothing takes no time.
#[must_use]
pub fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
