use std::{error::Error as _, fs, path::Path, time::Instant};

use rusqlite::OpenFlags;
use state::{Format, Outcome, Precondition, Ttl};
use tempfile::TempDir;

use super::*;

async fn open(properties: &[(&str, &str)]) -> Result<SqliteStore> {
    SqliteStore::open(Settings::parse(&properties.iter().copied().collect())?).await
}

async fn open_file(path: &Path) -> Result<SqliteStore> {
    open(&[("connectionString", path.to_str().unwrap())]).await
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(name: &str, value: &str) -> Write {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Write::new(key(name), Change::Put { value, format: Format::Json, ttl: Ttl::Unsaid })
}

async fn value(store: &SqliteStore, name: &str) -> Option<Bytes> {
    store.get(&Read::new(key(name))).await.unwrap().map(|it| it.value)
}

/// Another program that uses the file, as Dapr does.
fn other(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// What Dapr's own driver makes of a new file.
const DAPR_SCHEMA: &str = "
    CREATE TABLE metadata (key text NOT NULL PRIMARY KEY, value text NOT NULL);
    CREATE TABLE state (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL,
        is_binary BOOLEAN NOT NULL,
        etag TEXT NOT NULL,
        expiration_time TIMESTAMP DEFAULT NULL,
        update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    );
    REPLACE INTO metadata (key, value) VALUES ('migrations', '1');
    INSERT INTO state (key, value, is_binary, etag, expiration_time) VALUES
        ('app||json', '{\"a\":1}', 0, 'a0', NULL),
        ('app||bytes', 'AP8=', 1, 'a1', NULL),
        ('app||young', '1', 0, 'a2', '2999-01-01 00:00:00'),
        ('app||old', '1', 0, 'a3', '2001-01-01 00:00:00');";

#[tokio::test]
async fn what_dapr_wrote_is_read_and_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("dapr.db");
    other(&path).execute_batch(DAPR_SCHEMA).unwrap();
    let store = open_file(&path).await.unwrap();
    let stored = |name: &str| Read::new(Key::stored(name));
    let item = store.get(&stored("app||json")).await.unwrap().unwrap();
    assert_eq!((&item.value[..], item.etag), (&b"{\"a\":1}"[..], ETag::new("a0")));
    let item = store.get(&stored("app||bytes")).await.unwrap().unwrap();
    assert_eq!(&item.value[..], [0, 255]);
    let item = store.get(&stored("app||young")).await.unwrap().unwrap();
    assert_eq!(item.expires_at, Some(UNIX_EPOCH + Duration::from_secs(32_472_144_000)));
    assert_eq!(store.get(&stored("app||old")).await.unwrap(), None);
    let indexes: u32 = other(&path)
        .query_row("SELECT count(*) FROM sqlite_master WHERE name LIKE 'steadfast%'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(indexes, 1, "the sweeper does not read the whole table");
    let write = put("x", "2").when(Precondition::Matches(ETag::new("a0").unwrap()));
    store.write(&Write { key: Key::stored("app||json"), ..write }).await.unwrap();
}

#[tokio::test]
async fn what_is_written_is_as_dapr_reads_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ours.db");
    let store = open_file(&path).await.unwrap();
    let etag = store.write(&put("json", "{\"a\": 1}")).await.unwrap().etag.unwrap();
    let ttl = Ttl::After(Duration::from_secs(60));
    let change = Change::Put { value: Bytes::from_static(&[0, 255]), format: Format::Opaque, ttl };
    store.write(&Write::new(key("bytes"), change)).await.unwrap();
    let database = other(&path);
    let row = |name: &str| {
        let statement = "SELECT *, typeof(value) FROM state WHERE key = ?1 AND
            (expiration_time IS NULL OR expiration_time > CURRENT_TIMESTAMP)";
        database
            .query_row(statement, [name], |row| {
                let text = |i| row.get::<_, Option<String>>(i);
                Ok((text(1)?, row.get::<_, bool>(2)?, text(3)?, text(4)?, text(6)?))
            })
            .unwrap()
    };
    let (value, is_binary, stored_etag, expires, column_type) = row("json");
    assert_eq!((value.as_deref(), is_binary, expires), (Some("{\"a\": 1}"), false, None));
    assert_eq!(
        (stored_etag.as_deref(), column_type.as_deref()),
        (Some(etag.as_str()), Some("text"))
    );
    let (value, is_binary, _, expires, _) = row("bytes");
    assert_eq!((value.as_deref(), is_binary), (Some("AP8="), true));
    assert_eq!(expires.unwrap().len(), "2026-11-22 17:00:00".len());
    let level: String = database
        .query_row("SELECT value FROM metadata WHERE key = 'migrations'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(level, "1");
}

#[tokio::test]
async fn everything_is_there_after_the_file_was_closed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let store = open_file(&path).await.unwrap();
    for i in 0..50 {
        store.write(&put(&format!("k{i}"), &i.to_string())).await.unwrap();
    }
    drop(store);
    let store = open_file(&path).await.unwrap();
    for i in 0..50 {
        assert_eq!(value(&store, &format!("k{i}")).await.unwrap(), i.to_string());
    }
}

/// The error of opening, or else of a first read and a first write.
async fn first_error(properties: &[(&str, &str)]) -> Error {
    let store = match open(properties).await {
        Ok(it) => it,
        Err(e) => return e,
    };
    match store.get(&Read::new(key("k"))).await {
        Ok(_) => store.write(&put("k", "1")).await.expect_err(store.database.label()),
        Err(e) => e,
    }
}

#[tokio::test]
async fn an_unusable_file_gives_an_error_that_names_it_and_the_remedy() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.db"), "this is not a database, it is a letter to the editor").unwrap();
    other(Path::new(&path("good.db"))).execute_batch(DAPR_SCHEMA).unwrap();
    let mut torn = fs::read(path("good.db")).unwrap();
    torn[4096..].fill(0x5a);
    fs::write(path("torn.db"), torn).unwrap();
    let read_only = format!("file:{}?mode=ro", path("good.db"));
    for (target, file, remedy) in [
        (path("no/such/folder.db"), path("no/such/folder.db"), "create it"),
        (path(""), path(""), "name a file in it"),
        (path("text.db"), path("text.db"), "move this one away"),
        (path("torn.db"), path("torn.db"), "restore a backup"),
        (read_only, path("good.db"), "remove mode=ro"),
    ] {
        let error = first_error(&[("connectionString", &target)]).await;
        let message = error.to_string();
        assert!(message.contains(&file) && message.contains(remedy), "{target}: {message}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{target}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_keeps_what_is_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("full.db");
    let target = format!("file:{}?_pragma=max_page_count(24)", path.display());
    let store = open(&[("connectionString", &target)]).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let error = store.write(&put("large", &large)).await.unwrap_err();
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let batch = [put("a", "1"), put("large", &large), put("b", "1")];
    let results = store.write_many(&batch).await;
    assert!(results.iter().all(Result::is_err), "the batch was rolled back as a whole");
    assert_eq!(value(&store, "a").await, None);
    assert_eq!(value(&store, "k").await.unwrap(), "1");
    store.write(&put("k", "2")).await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_breaks_off_undoes_itself_and_not_its_neighbours() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let store = open_file(&path).await.unwrap();
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON state WHEN NEW.key = 'bad'
                   BEGIN SELECT RAISE(ABORT, 'no bad keys'); END";
    let holder = other(&path);
    holder.execute_batch(trigger).unwrap();
    // While the lock is held elsewhere, all of them gather for one commit.
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let broken = [put("half", "1"), put("bad", "1")];
    let whole = [put("left", "1"), put("right", "1")];
    let (before, single) = (put("before", "1"), put("bad", "2"));
    let (before, broken, single, whole, ()) = tokio::join!(
        store.write(&before),
        store.transact(&broken),
        store.write(&single),
        store.transact(&whole),
        async { holder.execute_batch("COMMIT").unwrap() },
    );
    assert!(before.is_ok() && whole.is_ok());
    for error in [broken.unwrap_err(), single.unwrap_err()] {
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(error.source().unwrap().to_string().contains("no bad keys"));
    }
    for key in ["before", "left", "right"] {
        assert!(value(&store, key).await.is_some(), "{key}");
    }
    for key in ["half", "bad"] {
        assert_eq!(value(&store, key).await, None, "{key}");
    }
}

#[tokio::test]
async fn a_locked_file_is_waited_for_and_then_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("locked.db");
    let target = path.to_str().unwrap();
    let store = open(&[("connectionString", target), ("busyTimeout", "1s")]).await.unwrap();
    let holder = other(&path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let error = store.write(&put("k", "1")).await.unwrap_err();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(error.to_string().contains("raise busyTimeout"), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.source().is_some());
    assert_eq!(value(&store, "k").await, None, "readers do not wait for writers");
    holder.execute_batch("COMMIT").unwrap();
    store.write(&put("k", "1")).await.unwrap();
}

#[tokio::test]
async fn a_commit_without_a_log_is_flushed_with_the_folder_of_its_journal() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let target = path.to_str().unwrap();
    for (disable_wal, expected) in [("false", "2"), ("true", "3")] {
        let store = open(&[("connectionString", target), ("disableWAL", disable_wal)]).await;
        let connection = store.unwrap().database.open_writer().unwrap();
        let level: u8 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        assert_eq!(level.to_string(), expected, "disableWAL: {disable_wal}");
    }
}

#[tokio::test]
async fn one_write_more_than_the_queue_holds_is_shed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("queue.db");
    let store = open_file(&path).await.unwrap();
    let holder = other(&path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let writes: Vec<_> = (0..6000).map(|i| put(&format!("k{i}"), "1")).collect();
    // The first to be polled queues all the writes, and only then the lock is released.
    let (results, ()) =
        tokio::join!(futures::future::join_all(writes.iter().map(|it| store.write(it))), async {
            holder.execute_batch("COMMIT").unwrap()
        },);
    let shed: Vec<_> = results.iter().filter_map(|it| it.as_ref().err()).collect();
    assert!(!shed.is_empty(), "the queue took everything");
    assert!(shed.iter().all(|it| it.to_string().contains("try again later")));
    assert!(shed.iter().all(|it| it.outcome() == Outcome::NotApplied));
    let reads: Vec<_> = writes.iter().map(|it| Read::new(it.key.clone())).collect();
    let found = store.get_many(&reads).await;
    for (result, item) in results.iter().zip(found) {
        assert_eq!(result.is_ok(), item.unwrap().is_some());
    }
}

#[tokio::test]
async fn expired_rows_are_removed_and_the_thread_ends_with_the_store() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("swept.db");
    other(&path).execute_batch(DAPR_SCHEMA).unwrap();
    let target = path.to_str().unwrap();
    let store = open(&[("connectionString", target), ("cleanupInterval", "1s")]).await.unwrap();
    let database = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let rows = || -> u32 {
        database.query_row("SELECT count(*) FROM state", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows(), 4);
    let deadline = Instant::now() + Duration::from_secs(10);
    while rows() == 4 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rows(), 3, "the expired row is gone, the others are not");
    let weak = store.committer.downgrade();
    drop(store);
    // It may not have heard yet that its last sweep is done.
    while Committer::upgrade(&weak).is_some() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(Committer::upgrade(&weak).is_none(), "the sweeper does not keep the writer alive");
}

#[tokio::test]
async fn a_file_that_was_deleted_is_not_written_any_more() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let store = open_file(&path).await.unwrap();
    store.write(&put("old", "1")).await.unwrap();
    assert_eq!(value(&store, "old").await.unwrap(), "1");
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(folder.path().join(format!("state.db{suffix}"))).unwrap();
    }
    store.write(&put("new", "2")).await.unwrap();
    assert_eq!(value(&store, "new").await.unwrap(), "2");
    assert_eq!(value(&store, "old").await, None, "it went with the file");
    let other = open_file(&path).await.unwrap();
    assert_eq!(value(&other, "new").await.unwrap(), "2", "what was acknowledged is in the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_opened_again_as_soon_as_those_have_ended_who_read_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    let store = open_file(&path).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    // Another file is there, with a log that somebody reads from its middle.
    let replacement = TempDir::new().unwrap();
    let name = |folder: &TempDir, suffix: &str| folder.path().join(format!("state.db{suffix}"));
    let (reader, writer) = {
        let path = name(&replacement, "");
        (other(&path), other(&path))
    };
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.execute_batch(DAPR_SCHEMA).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM state").unwrap();
    writer.execute_batch("DELETE FROM state").unwrap();
    for suffix in ["-wal", "-shm", ""] {
        fs::rename(name(&replacement, suffix), name(&folder, suffix)).unwrap();
    }
    let write = tokio::spawn(async move { store.write(&put("k", "2")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!write.is_finished(), "it waits for the reader");
    reader.execute_batch("COMMIT").unwrap();
    write.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_file_that_was_opened_for_reading_only_is_opened_again() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("state.db").to_str().unwrap().to_owned();
    let properties = [("connectionString", target.as_str())];
    let settings = Settings::parse(&properties.into_iter().collect()).unwrap();
    let database = Arc::new(Database::new(settings));
    drop(database.open_writer().unwrap());
    // As SQLite does by itself when the file cannot be opened for writing at that moment.
    let committer = Committer::start(database.clone(), database.open_reader().unwrap()).unwrap();
    let write = || committer.run((1, 1), |it| write::write(it, &put("k", "1")));
    let deadline = Instant::now() + Duration::from_secs(10);
    while write().await.is_err() {
        assert!(Instant::now() < deadline, "it stays so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_log_that_a_killed_process_left_counts_for_the_next_checkpoint() {
    let (left, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let large = |i: u32| format!("\"{}\"", i.to_string().repeat(64 << 10));
    let store = open_file(&left.path().join("state.db")).await.unwrap();
    for i in 10..30 {
        store.write(&put(&format!("k{i}"), &large(i))).await.unwrap();
    }
    // The files are as if the process had been killed now: half of what makes a checkpoint.
    for name in ["state.db", "state.db-wal"] {
        fs::copy(left.path().join(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("state.db");
    let store = open_file(&path).await.unwrap();
    for i in 30..50 {
        store.write(&put(&format!("k{i}"), &large(i))).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::metadata(&path).unwrap().len() < 1 << 20 {
        assert!(Instant::now() < deadline, "there is no checkpoint");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_log_does_not_grow_without_bound() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wal.db");
    let store = open_file(&path).await.unwrap();
    let value = format!("\"{}\"", "x".repeat(64 << 10));
    for i in 0..40 {
        let batch: Vec<_> = (0..32).map(|j| put(&format!("k{j}"), &value)).collect();
        let results = store.write_many(&batch).await;
        assert!(results.iter().all(Result::is_ok), "batch {i}");
    }
    let log = fs::metadata(folder.path().join("wal.db-wal")).unwrap().len();
    assert!(log < 70 << 20, "80 MiB were written, and the log has {log} bytes");
}
