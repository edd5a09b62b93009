//! The view on redb: the second engine, kept compiling and tested so that sled can be left.

use std::{
    error::Error,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use guitai_host::{Batch, Kv, KvError, Pair};
use redb::{Database, Durability, ReadableDatabase as _, TableDefinition};

use super::{OpenOutcome, OpenViewError, open_or_set_aside};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("view");
const FILE: &str = "view.redb";
/// Memory for redb's pages, per node.
const CACHE_BYTES: usize = 64 << 20;

/// A view kept by redb.
#[derive(Debug)]
pub struct RedbView(Database);

impl RedbView {
    /// Opens the view in `dir`.
    pub fn open(dir: &Path) -> Result<OpenOutcome<Self>, OpenViewError> {
        open_or_set_aside(dir, Self::open_sound)
    }

    fn open_sound(dir: &Path) -> Result<Self, KvError> {
        let failed = |source: io::Error| KvError::Failed {
            doing: "open",
            source: source.into(),
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE_BYTES);
            let db = builder.create(dir.join(FILE)).map_err(told("open"))?;
            // Makes the table, so that later reads find it.
            let write = db.begin_write().map_err(told("open"))?;
            write.open_table(TABLE).map(drop).map_err(told("open"))?;
            write.commit().map_err(told("open"))?;
            let view = Self(db);
            view.scan(b"")?;
            Ok(view)
        }));
        opened.unwrap_or_else(|_| {
            let source = "redb panicked".into();
            Err(KvError::Damaged {
                doing: "open",
                source,
            })
        })
    }
}

impl Kv for RedbView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let read = self.0.begin_read().map_err(told("read a key"))?;
        let table = read.open_table(TABLE).map_err(told("read a key"))?;
        let value = table.get(key).map_err(told("read a key"))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, KvError> {
        let read = self.0.begin_read().map_err(told("scan"))?;
        let table = read.open_table(TABLE).map_err(told("scan"))?;
        let mut pairs = Vec::new();
        for pair in table.range(prefix..).map_err(told("scan"))? {
            let (key, value) = pair.map_err(told("scan"))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            pairs.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(pairs)
    }

    fn apply(&self, batch: Batch) -> Result<(), KvError> {
        let doing = "apply a batch";
        let mut write = self.0.begin_write().map_err(told(doing))?;
        // Durable with the next flush, as the trait allows: one sync for many batches.
        write
            .set_durability(Durability::None)
            .map_err(told(doing))?;
        {
            let mut table = write.open_table(TABLE).map_err(told(doing))?;
            for key in &batch.deletes {
                table
                    .remove(key.as_slice())
                    .map(drop)
                    .map_err(told(doing))?;
            }
            for (key, value) in &batch.puts {
                table
                    .insert(key.as_slice(), value.as_slice())
                    .map(drop)
                    .map_err(told(doing))?;
            }
        }
        write.commit().map_err(told(doing))
    }

    fn flush(&self) -> Result<(), KvError> {
        let write = self.0.begin_write().map_err(told("flush"))?;
        write.commit().map_err(told("flush"))
    }
}

/// redb's error as ours.
fn told<E: Into<redb::Error>>(doing: &'static str) -> impl FnOnce(E) -> KvError {
    move |error| {
        let error = error.into();
        let damaged = match &error {
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. } => true,
            redb::Error::Io(error) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                )
            }
            _ => false,
        };
        let source: Box<dyn Error + Send + Sync> = error.into();
        if damaged {
            KvError::Damaged { doing, source }
        } else {
            KvError::Failed { doing, source }
        }
    }
}
