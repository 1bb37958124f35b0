//! Manifests: every chunk is found again, a change stays local, and nothing but a node is read as one.

use std::collections::BTreeMap;

use gdo_chunkstore::cut::Limits;
use gdo_chunkstore::hash::{ChunkId, ManifestId};
use gdo_chunkstore::manifest::{
    Child, Entry, List, Manifest, ManifestBuilder, NODE_BYTES_MAX, Node, Span,
};
use gdo_core::error::FormatError;

type Nodes = BTreeMap<ManifestId, Vec<u8>>;

/// The chunk called `number`, with a length that depends on it.
fn entry(number: u64) -> Entry {
    Entry {
        chunk: ChunkId::of(&number.to_le_bytes()),
        len: 1 + (number % 262_144) as u32,
    }
}

fn build(entries: impl Iterator<Item = Entry>, nodes: &mut Nodes) -> ManifestId {
    let mut builder = ManifestBuilder::new(&Limits::default());
    let mut keep = |id: ManifestId, bytes: &[u8]| {
        assert!(bytes.len() <= NODE_BYTES_MAX);
        assert_eq!(id, ManifestId::of(bytes));
        nodes.insert(id, bytes.to_vec());
        Ok::<(), FormatError>(())
    };
    for entry in entries {
        let pushed = builder.push(entry.chunk, entry.len, &mut keep);
        pushed.expect("the entries of tests are good");
    }
    builder
        .finish(&mut keep)
        .expect("the manifest is small enough")
}

fn load(nodes: &Nodes) -> impl FnMut(&ManifestId) -> Result<Vec<u8>, FormatError> {
    |id| {
        let missing = || FormatError::new("node", "a stored one", id);
        nodes.get(id).cloned().ok_or_else(missing)
    }
}

/// All chunks of a manifest, found one behind the other.
fn walk(root: ManifestId, nodes: &Nodes) -> Result<Vec<Span>, FormatError> {
    let mut load = load(nodes);
    let mut manifest = Manifest::open(root, &mut load)?;
    let (mut spans, mut at) = (Vec::new(), 0);
    while let Some(span) = manifest.find(at, &mut load)? {
        assert_eq!(span.start, at);
        at += u64::from(span.len);
        spans.push(span);
    }
    assert_eq!(at, manifest.bytes());
    assert_eq!(spans.len() as u64, manifest.chunks());
    Ok(spans)
}

/// The same with a name that closes a leaf as soon as that may close, so that there are many leaves.
fn closing(number: u64) -> Entry {
    let Entry { chunk, len } = entry(number);
    let mut raw = *chunk.as_bytes();
    raw[..2].fill(0);
    Entry {
        chunk: ChunkId::from_bytes(raw),
        len,
    }
}

#[test]
fn every_chunk_is_found_again() {
    let same: fn(u64) -> Entry = entry;
    for (chunks, level, entry) in [
        (0, 0, same),
        (1, 0, same),
        (255, 0, same),
        (5000, 1, same),
        (400_000, 2, closing),
    ] {
        let mut nodes = Nodes::new();
        let root = build((0..chunks).map(entry), &mut nodes);
        let node = Node::decode(&nodes[&root]).expect("the root is a node");
        assert_eq!(node.level(), level, "{chunks} chunks");
        let spans = walk(root, &nodes).expect("all nodes are there");
        let found = spans.iter().map(|span| (span.chunk, span.len));
        assert!(found.eq((0..chunks).map(|n| (entry(n).chunk, entry(n).len))));
    }
}

#[test]
fn any_offset_leads_to_its_chunk() {
    let mut nodes = Nodes::new();
    let root = build((0..20_000).map(entry), &mut nodes);
    let spans = walk(root, &nodes).expect("all nodes are there");
    let mut load = load(&nodes);
    let mut manifest = Manifest::open(root, &mut load).expect("the root is there");
    // Forwards and backwards, so that paths are left and entered again.
    for at in (0..spans.len()).map(|i| i * 7919 % spans.len()) {
        let span = spans[at];
        for offset in [span.start, span.start + u64::from(span.len) - 1] {
            let found = manifest
                .find(offset, &mut load)
                .expect("all nodes are there");
            assert_eq!(found, Some(span));
        }
    }
    for offset in [manifest.bytes(), manifest.bytes() + 1, u64::MAX] {
        let found = manifest.find(offset, &mut load).expect("nothing is loaded");
        assert_eq!(found, None);
    }
}

#[test]
fn an_insertion_changes_a_leaf_and_the_root() {
    let (mut before, mut after) = (Nodes::new(), Nodes::new());
    build((0..50_000).map(entry), &mut before);
    let inserted = (0..20_000).chain([1 << 40]).chain(20_000..50_000);
    build(inserted.map(entry), &mut after);
    let new = after.keys().filter(|id| !before.contains_key(id)).count();
    assert!(before.len() > 40 && new <= 3, "{new} of {}", before.len());
}

#[test]
fn one_chunk_many_times_takes_little_room() {
    let zeroes = Entry {
        chunk: ChunkId::of(&[0; 262_144]),
        len: 262_144,
    };
    let mut nodes = Nodes::new();
    // A terabyte.
    let root = build(std::iter::repeat_n(zeroes, 1 << 22), &mut nodes);
    let bytes: usize = nodes.values().map(Vec::len).sum();
    assert!(bytes < 400_000, "{bytes}");
    let mut load = load(&nodes);
    let mut manifest = Manifest::open(root, &mut load).expect("the root is there");
    assert_eq!(manifest.bytes(), 1 << 40);
    let found = manifest
        .find((1 << 40) - 1, &mut load)
        .expect("all nodes are there");
    assert_eq!(found.map(|span| span.start), Some((1 << 40) - 262_144));
}

#[test]
fn chunks_that_cannot_be_are_refused() {
    let limits = Limits::default();
    let mut none = |_: ManifestId, _: &[u8]| Ok::<(), FormatError>(());
    for len in [0, limits.max + 1] {
        let mut builder = ManifestBuilder::new(&limits);
        let error = builder.push(entry(0).chunk, len, &mut none);
        let error = error.expect_err("no chunk has this length");
        let expected = format!("bad length of a chunk: expected 1 to 262144 bytes, got '{len}'");
        assert_eq!(error.to_string(), expected);
    }
}

fn leaf(lens: &[u32]) -> Node {
    let entries: Vec<Entry> = (0..)
        .zip(lens)
        .map(|(number, len)| Entry {
            len: *len,
            ..entry(number)
        })
        .collect();
    Node {
        limits: Limits::default(),
        bytes: lens.iter().map(|len| u64::from(*len)).sum(),
        chunks: lens.len() as u64,
        list: List::Chunks(entries),
    }
}

fn branch(level: u8, children: &[(u64, u64)]) -> Node {
    let sum = |numbers: Vec<u64>| numbers.iter().fold(0, |sum: u64, n| sum.wrapping_add(*n));
    Node {
        limits: Limits::default(),
        bytes: sum(children.iter().map(|child| child.0).collect()),
        chunks: sum(children.iter().map(|child| child.1).collect()),
        list: List::Nodes {
            level,
            children: children
                .iter()
                .map(|(bytes, chunks)| Child {
                    node: ManifestId::of(&bytes.to_le_bytes()),
                    bytes: *bytes,
                    chunks: *chunks,
                })
                .collect(),
        },
    }
}

#[test]
fn nodes_are_read_as_they_were_written() {
    for node in [
        leaf(&[]),
        leaf(&[1, 262_144, 7]),
        branch(1, &[(9, 9)]),
        branch(3, &[(1, 1), (1 << 60, 5)]),
    ] {
        assert_eq!(Node::decode(&node.encode()), Ok(node));
    }
}

#[test]
fn anything_else_is_no_node() {
    let with = |node: Node, at: usize, byte: u8| {
        let mut bytes = node.encode();
        assert_ne!(bytes[at], byte);
        bytes[at] = byte;
        bytes
    };
    let good = || leaf(&[5, 6]);
    let cut_off = good().encode()[..60].to_vec();
    let longer = [good().encode(), vec![0]].concat();
    let mut too_long = leaf(&vec![1; NODE_BYTES_MAX / 36 + 1]);
    too_long.chunks += 1;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("end", Vec::new()),
        ("magic", with(good(), 0, b'G')),
        ("magic", with(good(), 7, 2)),
        ("level", with(good(), 8, 4)),
        ("level", with(good(), 9, 1)),
        ("limit min", with(good(), 12, 1)),
        ("limit max", with(good(), 23, 1)),
        ("list", with(good(), 28, 3)),
        ("list", with(good(), 31, 0xff)),
        ("header", with(good(), 32, 12)),
        ("header", with(good(), 40, 3)),
        ("list", with(good(), 8, 1)),
        ("list", cut_off),
        ("list", longer),
        ("length", too_long.encode()),
        ("length of chunk 1", leaf(&[1, 0]).encode()),
        ("length of chunk 0", leaf(&[262_145]).encode()),
        ("branch", branch(1, &[]).encode()),
        ("sums of node 0", branch(1, &[(5, 6)]).encode()),
        ("sums of node 1", branch(1, &[(5, 5), (5, 0)]).encode()),
        (
            "sums of node 1",
            branch(1, &[(1, 1), (u64::MAX, 1)]).encode(),
        ),
        (
            "sums of node 1",
            branch(1, &[(1 << 62, 1), (1 << 62, 1)]).encode(),
        ),
    ];
    for (what, bytes) in cases {
        let error = Node::decode(&bytes).expect_err(what).to_string();
        assert!(
            error.starts_with(&format!("bad {what} of")),
            "{what}: {error}"
        );
    }
}

#[test]
fn a_tree_whose_nodes_contradict_each_other_is_refused() {
    let mut nodes = Nodes::new();
    let mut keep = |node: &Node| {
        let bytes = node.encode();
        let id = ManifestId::of(&bytes);
        nodes.insert(id, bytes);
        id
    };
    let one = leaf(&[5, 6]);
    let of = |node: ManifestId, bytes, chunks, level| {
        let mut parent = branch(level, &[(bytes, chunks)]);
        if let List::Nodes { children, .. } = &mut parent.list {
            children[0].node = node;
        }
        parent
    };
    let id = keep(&one);
    let good = keep(&of(id, 11, 2, 1));
    let mut other_limits = of(id, 11, 2, 1);
    other_limits.limits.member = 0;
    let bad = [
        keep(&of(id, 12, 2, 1)),
        keep(&of(id, 11, 3, 1)),
        keep(&of(id, 11, 2, 2)),
        keep(&other_limits),
        keep(&of(ManifestId::of(b"missing"), 11, 2, 1)),
    ];
    // A node under another's name, as a disk or a peer might hand it over.
    nodes.insert(ManifestId::of(b"swapped"), one.encode());
    assert_eq!(walk(good, &nodes).map(|spans| spans.len()), Ok(2));
    for root in bad.into_iter().chain([ManifestId::of(b"swapped")]) {
        assert!(walk(root, &nodes).is_err());
    }
}
