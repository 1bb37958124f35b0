//! How a layer is compressed.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// The window that a zstd layer may ask for, as a power of two: what `zstd` itself takes unasked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// As the media type of a layer says it; `None` if that is no layer of files.
    pub(super) fn of_media_type(media_type: &str) -> Option<Packing> {
        let (_, compression) = media_type.rsplit_once(".tar")?;
        match compression {
            "" => Some(Packing::Plain),
            "+gzip" | ".gzip" => Some(Packing::Gzip),
            "+zstd" | ".zstd" => Some(Packing::Zstd),
            _ => None,
        }
    }

    /// As the first bytes of a file say it; `None` if it is compressed in a way that is not read.
    pub(super) fn of_beginning(bytes: &[u8]) -> Option<Packing> {
        let known: [(&[u8], Option<Packing>); 4] = [
            (&[0x1f, 0x8b], Some(Packing::Gzip)),
            (&[0x28, 0xb5, 0x2f, 0xfd], Some(Packing::Zstd)),
            (b"\xfd7zXZ\0", None),
            (b"BZh", None),
        ];
        let found = known.iter().find(|(magic, _)| bytes.starts_with(magic));
        found.map_or(Some(Packing::Plain), |(_, packing)| *packing)
    }

    /// What `source` holds when it is decompressed.
    pub(super) fn reader<'a>(self, source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Packing::Plain => Box::new(source),
            Packing::Gzip => Box::new(MultiGzDecoder::new(source)),
            Packing::Zstd => {
                let mut decoder = zstd::Decoder::new(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}
