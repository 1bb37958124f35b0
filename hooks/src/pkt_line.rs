//! Pkt-lines: the framing of git's protocols, a length of four hex digits before each packet.
//!
//! The hook of `proc-receive` talks to git in them. What comes in is bounded by git's own limit, so
//! a broken peer costs at most 64 KiB of memory.
//!
//! **Invariants**: a reader never allocates more than [`DATA_BYTES_MAX`] for a packet; a writer
//! never emits one that a reader would refuse.
//!
//! Source: `gitprotocol-common` of git's documentation.

use std::io::{self, Read, Write};

use crate::error::PktError;

/// The most bytes of data in one packet.
pub const DATA_BYTES_MAX: usize = 65516;
const LENGTH_BYTES: usize = 4;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Data, with its trailing newline if it has one.
    Data(Vec<u8>),
    /// `0000`: the end of a list.
    Flush,
    /// `0001`: the end of a section (protocol 2).
    Delimiter,
    /// `0002`: the end of a response (protocol 2).
    ResponseEnd,
}

/// Reads packets from a stream.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
}

impl<R: Read> Reader<R> {
    /// Reads from `input`, which should be buffered.
    pub fn new(input: R) -> Self {
        Self { input }
    }

    /// The next packet.
    ///
    /// # Errors
    /// A length without meaning, a packet over the limit, a stream that ends or fails.
    pub fn read(&mut self) -> Result<Packet, PktError> {
        let mut length = [0; LENGTH_BYTES];
        self.fill(&mut length)?;
        match parse_length(length)? {
            0 => Ok(Packet::Flush),
            1 => Ok(Packet::Delimiter),
            2 => Ok(Packet::ResponseEnd),
            3 => Err(PktError::Length("0003".to_owned())),
            total => {
                let got = total - LENGTH_BYTES;
                if got > DATA_BYTES_MAX {
                    let max = DATA_BYTES_MAX;
                    return Err(PktError::TooLong { max, got });
                }
                let mut data = vec![0; got];
                self.fill(&mut data)?;
                Ok(Packet::Data(data))
            }
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), PktError> {
        self.input
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => PktError::End,
                _ => PktError::Io(error),
            })
    }
}

/// Writes packets to a stream.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes one packet of data.
    ///
    /// # Errors
    /// Data over the limit, a stream that fails.
    pub fn data(&mut self, data: &[u8]) -> Result<(), PktError> {
        if data.len() > DATA_BYTES_MAX {
            return Err(PktError::TooLong {
                max: DATA_BYTES_MAX,
                got: data.len(),
            });
        }
        let length = format!("{:04x}", data.len() + LENGTH_BYTES);
        self.emit(length.as_bytes())?;
        self.emit(data)
    }

    /// Ends a list and hands everything to the peer.
    ///
    /// # Errors
    /// A stream that fails.
    pub fn flush(&mut self) -> Result<(), PktError> {
        self.emit(b"0000")?;
        self.output.flush().map_err(PktError::Io)
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), PktError> {
        self.output.write_all(bytes).map_err(PktError::Io)
    }
}

fn parse_length(digits: [u8; LENGTH_BYTES]) -> Result<usize, PktError> {
    digits
        .iter()
        .try_fold(0, |length, &digit| {
            let value = char::from(digit).to_digit(16)?;
            Some(length * 16 + value as usize)
        })
        .ok_or_else(|| PktError::Length(digits.escape_ascii().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> (Vec<Packet>, PktError) {
        let mut reader = Reader::new(bytes);
        let mut packets = Vec::new();
        loop {
            match reader.read() {
                Ok(packet) => packets.push(packet),
                Err(error) => return (packets, error),
            }
        }
    }

    #[test]
    fn packets_are_read_as_git_writes_them() {
        let data = |text: &str| Packet::Data(text.as_bytes().to_vec());
        let cases: [(&[u8], Vec<Packet>); 8] = [
            (b"", vec![]),
            (b"0006a\n", vec![data("a\n")]),
            (b"0005a", vec![data("a")]),
            (b"0004", vec![data("")]),
            (b"0000", vec![Packet::Flush]),
            (b"00010002", vec![Packet::Delimiter, Packet::ResponseEnd]),
            (b"000Ba\0bcdef0000", vec![data("a\0bcdef"), Packet::Flush]),
            (b"000bfoobar\n0000", vec![data("foobar\n"), Packet::Flush]),
        ];
        for (bytes, expected) in cases {
            let (packets, end) = read_all(bytes);
            assert_eq!(packets, expected, "{}", bytes.escape_ascii());
            assert!(matches!(end, PktError::End), "{end}");
        }
    }

    #[test]
    fn malformed_packets_are_refused_by_name() {
        let cases: [(&[u8], &str); 9] = [
            (b"0", "ends early"),
            (b"000", "ends early"),
            (b"0006a", "ends early"),
            (b"0003", "got '0003'"),
            (b"00g0", "got '00g0'"),
            (b"-001", "got '-001'"),
            (b"+001a", "got '+001'"),
            (b"\xff\0\n ", r"got '\xff\x00\n '"),
            (b"fff1", "at most 65516 bytes, got 65517"),
        ];
        for (bytes, message) in cases {
            let (packets, error) = read_all(bytes);
            assert_eq!(packets, [], "{}", bytes.escape_ascii());
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn the_largest_packet_passes_and_a_larger_one_is_not_written() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.data(&vec![7; DATA_BYTES_MAX]).expect("at the limit");
        let error = writer
            .data(&vec![7; DATA_BYTES_MAX + 1])
            .expect_err("over the limit");
        assert!(matches!(error, PktError::TooLong { .. }), "{error}");
        writer.flush().expect("memory takes everything");
        assert_eq!(bytes[..4], *b"fff0");
        let expected = vec![Packet::Data(vec![7; DATA_BYTES_MAX]), Packet::Flush];
        assert_eq!(read_all(&bytes).0, expected);
    }

    /// A small generator, so that a failure repeats (xorshift64*).
    fn random(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    #[test]
    fn random_bytes_never_panic_and_what_parses_writes_back() {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        let mut parsed = 0;
        for round in 0..20_000 {
            let length = random(&mut state) as usize % 64;
            // Mostly zeros, so that many lengths are valid.
            let bytes: Vec<u8> = (0..length)
                .map(|_| match random(&mut state) % 8 {
                    0 => b"123456789abcdefF\n\0zg\xff"[random(&mut state) as usize % 21],
                    _ => b'0',
                })
                .collect();
            let (packets, _) = read_all(&bytes);
            parsed += packets.len();
            let mut again = Vec::new();
            for packet in &packets {
                match packet {
                    Packet::Data(data) => Writer::new(&mut again).data(data),
                    Packet::Flush => Writer::new(&mut again).flush(),
                    Packet::Delimiter => Writer::new(&mut again).emit(b"0001"),
                    Packet::ResponseEnd => Writer::new(&mut again).emit(b"0002"),
                }
                .expect("memory takes everything");
            }
            assert!(
                bytes
                    .to_ascii_lowercase()
                    .starts_with(&again.to_ascii_lowercase()),
                "round {round}"
            );
        }
        assert!(
            parsed > 5_000,
            "only {parsed} packets parsed: the test tests nothing"
        );
    }
}
