//! Inputs for the cutter: noise that is the same everywhere, and archives made header by header.

/// Bytes that look random and are the same on every machine: splitmix64, little-endian.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = len.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    Noise(seed).bytes(len)
}

/// A header whose size field holds exactly `size`, with the right checksum.
pub fn header_with(name: &str, kind: u8, size: &[u8; 12], mtime: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(size);
    block[136..148].copy_from_slice(format!("{mtime:011o}\0").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

/// Writes the checksum of what stands in the block.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub fn header(name: &str, kind: u8, size: u64, mtime: u64) -> [u8; 512] {
    let field = format!("{size:011o}\0");
    let field = field
        .as_bytes()
        .try_into()
        .expect("sizes of tests are small");
    header_with(name, kind, field, mtime)
}

/// Header, bytes and padding.
pub fn member(name: &str, kind: u8, bytes: &[u8], mtime: u64) -> Vec<u8> {
    let mut out = header(name, kind, bytes.len() as u64, mtime).to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

pub fn base256(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&value.to_be_bytes());
    field
}

/// A pax record, whose length counts itself.
pub fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let digits = |len: usize| len.to_string().len();
    let len = (rest + 1..).find(|len| rest + digits(*len) == *len);
    format!("{} {key}={value}\n", len.expect("some length fits"))
}

/// An archive of files with these sizes, headers dated `mtime`, and the zeroes at its end.
pub fn archive(files: &[(u64, usize)], mtime: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (seed, len) in files {
        out.extend(member(
            &format!("file-{seed}"),
            b'0',
            &noise(*seed, *len),
            mtime,
        ));
    }
    out.resize((out.len() + 1024).next_multiple_of(10_240), 0);
    out
}
