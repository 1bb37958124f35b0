//! The index: where everything lies, in RocksDB, as keys without values.
//!
//! The index can always be made anew from the packs, and holds nothing that they do not. A key is an
//! id followed by what is known of it, so that one seek to the id finds it and nothing needs a second
//! lookup; a filter on the id answers for most ids that are not there without reading. This is the
//! one place that knows RocksDB.
//!
//! **Invariants**: memory is bounded by `index_mib_max` whatever the index holds; a batch is on the
//! disk, whole or not at all, when [`Index::write`] returns.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, Options as DbOptions, ReadOptions,
    SliceTransform, WriteBatch, WriteOptions,
};

use crate::error::StoreError;
use crate::fault;
use crate::index::key::Key;

pub(crate) mod key;

/// The part of a key that is looked up: its kind and an id.
pub(crate) const PREFIX_BYTES: usize = 33;

/// The open index.
pub(crate) struct Index {
    db: DB,
    dir: PathBuf,
    is_read_only: bool,
}

/// Changes that become durable together.
#[derive(Default)]
pub(crate) struct Batch(WriteBatch);

impl Batch {
    pub(crate) fn put(&mut self, key: &Key) {
        self.0.put(key.encode(), []);
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        self.0.delete(key.encode());
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Index {
    /// Opens the index in `dir`, and makes it if it may.
    ///
    /// # Errors
    /// RocksDB cannot read what is there.
    pub(crate) fn open(dir: &Path, mib_max: u32, is_read_only: bool) -> Result<Self, StoreError> {
        let options = db_options(mib_max);
        let db = if is_read_only {
            DB::open_for_read_only(&options, dir, false)
        } else {
            DB::open(&options, dir)
        };
        let db = db.map_err(|error| StoreError::index(dir, error.as_ref()))?;
        Ok(Self {
            db,
            dir: dir.to_owned(),
            is_read_only,
        })
    }

    /// Makes the changes of a batch durable.
    ///
    /// # Errors
    /// The disk fails or is full; nothing is changed then.
    pub(crate) fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.write_with(batch, true)
    }

    /// Makes the changes of a batch, which become durable with the next [`Index::write`].
    ///
    /// # Errors
    /// Those of [`Index::write`].
    pub(crate) fn write_lazily(&self, batch: Batch) -> Result<(), StoreError> {
        self.write_with(batch, false)
    }

    fn write_with(&self, batch: Batch, sync: bool) -> Result<(), StoreError> {
        if self.is_read_only {
            return Err(StoreError::ReadOnly {
                what: "change its index",
            });
        }
        fault::point("index before write");
        #[cfg(test)]
        crate::tests::forgetful::step().map_err(|error| StoreError::io(&self.dir, error))?;
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db
            .write_opt(batch.0, &options)
            .map_err(|error| self.failed(&error))?;
        fault::point("index after write");
        Ok(())
    }

    /// Calls `each` with every key that begins with `prefix`, ascending, until it says `false`.
    ///
    /// # Errors
    /// Those of `each`; the index cannot be read, or holds a key that this version does not write.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        if prefix.len() == PREFIX_BYTES {
            options.set_prefix_same_as_start(true);
        } else {
            options.set_total_order_seek(true);
            options.fill_cache(false);
        }
        let mut keys = self.db.raw_iterator_opt(options);
        keys.seek(prefix);
        while let Some(raw) = keys.key().filter(|raw| raw.starts_with(prefix)) {
            let key = Key::decode(raw)
                .ok_or_else(|| StoreError::Index(format!("a key is not known: {raw:02x?}")))?;
            if !each(key)? {
                return Ok(());
            }
            keys.next();
        }
        keys.status().map_err(|error| self.failed(&error))
    }

    /// Whether the index holds this key.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn contains(&self, key: &Key) -> Result<bool, StoreError> {
        let found = self.db.get_pinned(key.encode());
        found
            .map(|found| found.is_some())
            .map_err(|error| self.failed(&error))
    }

    /// Every key that begins with `prefix`, for the kinds of which there are few.
    ///
    /// # Errors
    /// Those of [`Index::scan`].
    pub(crate) fn keys(&self, prefix: &[u8]) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        self.scan(prefix, &mut |key| {
            keys.push(key);
            Ok(true)
        })?;
        Ok(keys)
    }

    /// Whether nothing can be written.
    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Writes what is in memory out to tables, as RocksDB does by itself when there is enough.
    #[cfg(test)]
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| self.failed(&error))
    }

    /// About how many keys there are.
    pub(crate) fn estimate_keys(&self) -> u64 {
        let count = self.db.property_int_value("rocksdb.estimate-num-keys");
        count.ok().flatten().unwrap_or(0)
    }

    /// How many bytes the index takes on the disk.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten();
        let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        sizes.sum()
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::index(&self.dir, error.as_ref())
    }
}

fn db_options(mib_max: u32) -> DbOptions {
    // Two write buffers, and a cache for all that is read: blocks, their indexes and filters.
    let bytes_max = (mib_max.max(8) as usize) << 20;
    let write_buffer = (bytes_max / 8).min(4 << 20);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(bytes_max - 2 * write_buffer));
    table.set_cache_index_and_filter_blocks(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(false);
    table.set_format_version(5);

    let mut options = DbOptions::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(PREFIX_BYTES));
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(write_buffer);
    options.set_max_write_buffer_number(2);
    options.set_max_total_wal_size(4 * write_buffer as u64);
    options.set_target_file_size_base(16 << 20);
    options.set_max_bytes_for_level_base(64 << 20);
    options.set_max_background_jobs(2);
    options.set_max_open_files(64);
    options.set_max_file_opening_threads(1);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(1);
    options.set_log_level(rocksdb::LogLevel::Error);
    options.set_paranoid_checks(true);
    options
}
