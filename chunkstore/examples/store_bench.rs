//! What `make bench-store` runs of the chunk store: one step a process, so that `time` can weigh it.
//!
//! ```text
//! store_bench ingest DIR fast|standard|archive FILE...    takes files; a line "OID FILE" each
//! store_bench restore DIR OUT OID...                      writes objects to OUT/OID
//! store_bench verify DIR                                  reads everything
//! store_bench gc DIR OID...                               forgets everything else
//! store_bench noise DIR GIGABYTES                         takes noise, four objects a gigabyte
//! store_bench totals DIR                                  prints what is stored
//! store_bench stages FILE...                              CPU of each stage of taking files
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use gdo_chunkstore::cut::{Cutter, Limits};
use gdo_chunkstore::hash::{ChunkId, ObjectHasher};
use gdo_chunkstore::{GcOptions, Options, Profile, Store};
use gdo_core::id::Digest;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How much is read at once.
const PIECE_BYTES: usize = 1 << 20;
/// The time of arrival of everything; nothing here depends on it.
const NOW: i64 = 1_000_000_000;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["ingest", dir, profile, ref files @ ..] => ingest(dir, profile, files),
        ["restore", dir, out, ref oids @ ..] => restore(dir, out, oids),
        ["verify", dir] => verify(dir),
        ["gc", dir, ref oids @ ..] => gc(dir, oids),
        ["noise", dir, gigabytes] => noise(dir, gigabytes.parse()?),
        ["totals", dir] => totals(dir),
        ["stages", ref files @ ..] if !files.is_empty() => stages(files),
        _ => Err(
            "expected ingest, restore, verify, gc, noise, totals or stages and what it takes"
                .into(),
        ),
    }
}

fn open(dir: &str, read_only: bool) -> Outcome<Store> {
    let options = Options {
        read_only,
        ..Options::default()
    };
    Ok(Store::open(Path::new(dir), &options)?)
}

fn ingest(dir: &str, profile: &str, files: &[&str]) -> Outcome {
    let profile = match profile {
        "fast" => Profile::Fast,
        "standard" => Profile::Standard,
        "archive" => Profile::Archive,
        _ => return Err(format!("expected fast, standard or archive, got '{profile}'").into()),
    };
    let store = open(dir, false)?;
    for file in files {
        let mut object = store.ingest_with(profile, NOW)?;
        each_piece(file, |piece| object.write_all(piece))?;
        println!("{} {file}", object.finish()?.pointer.oid);
    }
    Ok(())
}

/// Hands over a file piece by piece.
fn each_piece(file: &str, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Outcome<u64> {
    let mut input = File::open(file).map_err(|error| format!("{file}: {error}"))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let len = input.read(&mut piece)?;
        if len == 0 {
            return Ok(bytes);
        }
        bytes += len as u64;
        take(&piece[..len])?;
    }
}

fn restore(dir: &str, out: &str, oids: &[&str]) -> Outcome {
    let store = open(dir, true)?;
    fs::create_dir_all(out)?;
    for oid in oids {
        let mut object = store.read(&oid.parse()?)?;
        let file = File::create(Path::new(out).join(oid))?;
        let mut file = BufWriter::with_capacity(PIECE_BYTES, file);
        io::copy(&mut object, &mut file)?;
        file.flush()?;
    }
    Ok(())
}

fn verify(dir: &str) -> Outcome {
    let report = open(dir, true)?.verify(&mut |_| {})?;
    if report.is_sound() {
        return Ok(());
    }
    Err(format!("the store is damaged: {report:?}").into())
}

fn gc(dir: &str, oids: &[&str]) -> Outcome {
    let roots: Result<BTreeSet<Digest>, _> = oids.iter().map(|oid| oid.parse()).collect();
    let options = GcOptions {
        keep_since_unix_seconds: NOW + 1,
        ..GcOptions::default()
    };
    let report = open(dir, false)?.gc(&roots?, &options, &mut |_| {})?;
    println!("{report:?}");
    Ok(())
}

/// Takes objects of 250 MB that nothing compresses and no two share anything of.
fn noise(dir: &str, gigabytes: u64) -> Outcome {
    let store = open(dir, false)?;
    let mut state = 2026_u64;
    let mut piece = vec![0; PIECE_BYTES];
    for number in 0..4 * gigabytes {
        let mut object = store.ingest(NOW)?;
        while object.bytes() < 250_000_000 {
            for word in piece.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            object.write_all(&piece)?;
        }
        println!("{} {number}", object.finish()?.pointer.oid);
    }
    Ok(())
}

fn totals(dir: &str) -> Outcome {
    println!("{:#?}", open(dir, true)?.totals()?);
    Ok(())
}

/// User and system time of this process in seconds, all threads together.
fn cpu_seconds() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

/// Runs each stage by itself over the files, as it would run on its own, and prints a line
/// "NAME GB/CPU-second".
fn stages(files: &[&str]) -> Outcome {
    let limits = Limits::default();
    let measure = |name: &str, stage: &mut dyn FnMut(&str) -> Outcome<u64>| -> Outcome {
        let (cpu, wall) = (cpu_seconds()?, Instant::now());
        let mut bytes = 0;
        for file in files {
            bytes += stage(file)?;
        }
        let (cpu, wall) = (cpu_seconds()? - cpu, wall.elapsed().as_secs_f64());
        let gigabytes = bytes as f64 / 1e9;
        println!("{name}|{:.3}|{:.3}", gigabytes / cpu, gigabytes / wall);
        Ok(())
    };
    measure("read", &mut |file| each_piece(file, |_| Ok(())))?;
    measure("read and sha256 on a thread", &mut |file| {
        let mut hasher = ObjectHasher::new();
        let bytes = each_piece(file, |piece| hasher.update(piece))?;
        std::hint::black_box(hasher.finish());
        Ok(bytes)
    })?;
    let cut = |file: &str, chunk: &mut dyn FnMut(&[u8])| {
        let mut cutter = Cutter::new(&limits)?;
        let mut keep = |bytes: &[u8]| {
            chunk(bytes);
            Ok::<(), io::Error>(())
        };
        let bytes = each_piece(file, |piece| cutter.push(piece, &mut keep))?;
        cutter.finish(&mut keep)?;
        Ok(bytes)
    };
    measure("read and cut", &mut |file| {
        cut(file, &mut |chunk| {
            std::hint::black_box(chunk.len());
        })
    })?;
    measure("read, cut and blake3", &mut |file| {
        cut(file, &mut |chunk| {
            std::hint::black_box(ChunkId::of(chunk));
        })
    })?;
    // What is new is compressed as well.
    let mut compressor = zstd::bulk::Compressor::new(3)?;
    measure("read and zstd -3 in frames of 256 KiB", &mut |file| {
        each_piece(file, |piece| {
            let frames = piece.chunks(256 << 10);
            frames
                .map(|frame| compressor.compress(frame))
                .try_for_each(|frame| frame.map(drop))
        })
    })
}
