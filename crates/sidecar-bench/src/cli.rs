//! The commands and their help. Each command's own options are in its module.

use clap::{Parser, Subcommand};

use crate::{all, compare, curves, durable, echo, memory, setup::Setup, soak, start};

#[derive(Debug, Parser)]
#[command(
    name = "bench-sidecar",
    about = "Measures what the sidecar costs, next to the physical limits of the same machine",
    after_help = "\
Examples:
  cargo build --release -p steadfast && cargo bench-sidecar all
  cargo bench-sidecar http --rounds 9
  cargo bench-sidecar durable --dir /var/lib/somewhere
  cargo bench-sidecar memory --requests 100000 --json

A missed goal is printed and is no failure: machines differ. Exit codes: 0, 1 if a request failed or
memory grew, 2 if a flag is wrong.",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Servers side by side: a bare echo, Steadfast, and a daprd
    ///
    /// Each store is started for the run, and each server as a process of its own on it. All get the same
    /// requests in turn, several rounds of each, in two ways:
    ///
    ///   closed loop  Each client sends a request as soon as it has the answer to the one before. CPU
    ///                time of the server and of the store for each request, and requests per second.
    ///
    ///   open loop    Requests are due so many times a second, the same for all servers, whether answers
    ///                come or not. A latency counts from when the request was due: one that had to wait
    ///                because others were slow counts with its wait.
    ///
    /// The echo is a bare hyper server, and tonic's codec on hyper's HTTP/2: it reads the same requests
    /// and writes answers of the same length, and does nothing else. By default all stores and all
    /// operations are measured over HTTP with 64 connections and values of 1 KiB, which takes about ten
    /// minutes.
    ///
    /// If valgrind is installed, all but daprd are started once more for each store, to count how often
    /// they ask for memory; daprd does that in a way that is not seen from outside.
    #[command(verbatim_doc_comment)]
    #[command(after_help = "\
Examples:
  cargo bench-sidecar compare
  cargo bench-sidecar compare --daprd ~/.dapr/bin/daprd --html compare.html
  cargo bench-sidecar compare --store redis --operation get,save --wire http,grpc --connections 1,16,64,256
  cargo bench-sidecar compare --store sqlite --operation save --value-bytes 100,1024,65536 --rate 2000")]
    Compare(compare::Args),
    /// What a request costs against connections, keys, length of values, cores, and keys of a bulk get
    ///
    /// CPU time of the sidecar for each request at several points of each axis, with a straight line
    /// through them: a cost should not grow with connections, keys and cores, and only in proportion
    /// with what is transferred. `off %` is how far a point is from the line; the goal is 10 at most.
    /// The first, against connections, is for both wires in the in-memory store. Each curve is also
    /// written as an SVG file. Takes about five minutes.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar curves
  cargo bench-sidecar curves --curve keys --keys-max 100000 --plots /tmp")]
    Curves(curves::Args),
    /// From exec to the first good answer
    ///
    /// Starts `steadfast serve` again and again, in turn on each store, and asks for a key every
    /// 0.1 ms until the answer is 204. `sqlite, new file` creates its database; `sqlite` finds one.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar start
  cargo bench-sidecar start --samples 5 --json")]
    Start(start::Args),
    /// Resident memory: idle, and while requests come
    ///
    /// Sends reads and saves, half of each, of 10 000 keys of 1 KiB over 64 connections. The
    /// resident memory after each quarter of the requests would show growth: from the second
    /// quarter to the fourth, more than 4 MB is a failure. `idle own` is without the pages of the program
    /// and its libraries, which all sidecars of a machine share. `held` is what the in-memory store keeps
    /// by order of its clients, keys and values.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar memory
  cargo bench-sidecar memory --requests 100000")]
    Memory(memory::Args),
    /// CPU time per request, next to a bare echo of the same bytes
    ///
    /// Reads and saves 10 000 keys of 1 KiB in the in-memory store, over 64 connections that are
    /// kept open. The echo is a bare hyper server in a process of its own: it has as many workers,
    /// reads the same requests and writes the same answers, byte for byte in length, and does
    /// nothing else. Both get the same load in turn, several rounds of each. CPU time is user and
    /// system time of the server's process; the ratio is the median of the rounds' ratios.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar http
  cargo bench-sidecar http --rounds 9 --requests 200000")]
    Http(compare::Extent),
    /// The same over gRPC, next to a bare tonic echo
    ///
    /// Eight clients share a connection, and each has one call at a time. The echo is tonic's codec on
    /// hyper's HTTP/2 and nothing else: no router, no layers, the same messages.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar grpc
  cargo bench-sidecar grpc --rounds 9 --requests 200000")]
    Grpc(compare::Extent),
    /// Durable writes per second, next to what the disk can do
    ///
    /// Four contenders, in turn, several rounds of each, on files of one folder:
    ///
    ///   disk   One thread in a plain loop: append one batch that has a record of 1 KiB for each
    ///          writer (64 KiB for 64), then fdatasync. Nobody waits for anybody, and nobody has
    ///          to be told of anything: the limit of the disk itself.
    ///
    ///   log    The least that a group commit can do. 64 writers each hand over a record of 1 KiB
    ///          and wait. One thread takes whatever waits, appends it to a file in one write, calls
    ///          fdatasync once, and tells those writers. Nothing is indexed.
    ///
    ///   store  64 writers save values of 1 KiB in the SQLite store, in this process.
    ///
    ///   http   64 connections save values of 1 KiB with consistency strong, through a sidecar's
    ///          HTTP API. The client has its share of the same cores.
    ///
    /// The last two write 10 000 keys, which are there before the first round, so every write
    /// replaces a row. No key is written twice at the same time. The goals are held against `log`
    /// and against `disk`.
    #[command(verbatim_doc_comment)]
    #[command(after_help = "\
Examples:
  cargo bench-sidecar durable
  cargo bench-sidecar durable --dir /mnt/disk --seconds 10")]
    Durable(durable::Args),
    /// CPU time per request with the data in Redis, and how many round trips there are
    ///
    /// `compare` with a redis-server, which keeps nothing on disk, over 1 connection and over 64. The
    /// program redis-server must be installed; on Debian and Ubuntu it is the package redis-server.
    ///
    /// `store reads` is how often the server has read from its connections for each request: with one
    /// connection, how many round trips a request takes. Then bulk gets of 20 keys are held against
    /// single gets, one after the other: keys per second.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar redis
  cargo bench-sidecar redis --rounds 3 --requests 50000")]
    Redis(compare::Extent),
    /// Whether it stays the same for hours
    ///
    /// Starts a redis-server that flushes every write, and a sidecar on it, and sends half of what they
    /// can do: reads, saves with and without a lifetime, deletes, transactions of 5 and bulk gets of 20,
    /// each when it is due, whether the answers before it are there or not. The store is killed twelve
    /// times, and is away for a second. Resident memory, open files and tasks are looked at every 10
    /// seconds. Failures are growth of 1 MiB per hour after the first twelfth, files or tasks that
    /// accumulate, and requests that fail while the store is there. Not a part of `all`.
    #[command(after_help = "\
Examples:
  cargo bench-sidecar soak
  cargo bench-sidecar soak --minutes 12 --rate 1000")]
    Soak(soak::Args),
    /// Everything that has a goal, in a short form, which takes about ten minutes
    ///
    /// In the end all goals are listed once more. What needs a program that is not installed is left
    /// out, and a line says so.
    All(all::Args),
    /// Be the bare server that `http` compares with
    #[command(hide = true)]
    Echo(echo::Args),
}
