//! Those that are compared, each as a process of its own.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::{
    callgrind::{self, Counter},
    client::{Client, Wire},
    database::Database,
    echo,
    load::{Clients, Extent},
    process::Process,
    server::{ANSWER, Server, free_address},
    setup::Setup,
    traffic::{self, Traffic},
};

/// How many connections fill a store.
const FILLERS: usize = 8;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// A bare server of hyper, and of tonic's codec.
    Echo,
    Steadfast(PathBuf),
    /// The sidecar that is compared with, or what takes its flags.
    Daprd(PathBuf),
}

/// How a server is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running {
    /// How many cores it may use; all if not said.
    pub(crate) cores: Option<usize>,
    /// Under callgrind, which counts what it calls, and writes that into this folder.
    pub(crate) callgrind: Option<PathBuf>,
}

/// A server that answers on both wires.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) program: Program,
    server: Server,
    grpc: SocketAddr,
    /// Where callgrind writes what it has counted.
    profile: Option<PathBuf>,
}

impl Program {
    /// Those of a run, the echo first.
    pub(crate) fn all(setup: &Setup, daprd: Option<&Path>) -> anyhow::Result<Vec<Program>> {
        let mut programs = vec![Program::Echo, Program::Steadfast(setup.program()?)];
        if let Some(daprd) = daprd {
            ensure!(daprd.is_file(), "--daprd: there is no {}", daprd.display());
            // It is run in another folder.
            programs.push(Program::Daprd(std::path::absolute(daprd)?));
        }
        Ok(programs)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Program::Echo => "echo",
            Program::Steadfast(_) => "steadfast",
            Program::Daprd(_) => "daprd",
        }
    }

    /// The length of its file in millions of bytes. Not of the echo, which is a part of this program.
    pub(crate) fn file_mb(&self) -> anyhow::Result<Option<f64>> {
        match self {
            Program::Echo => Ok(None),
            Program::Steadfast(path) | Program::Daprd(path) => {
                Ok(Some(fs::metadata(path)?.len() as f64 / 1e6))
            }
        }
    }

    /// The command line of a sidecar that reads component files from `resources`, without its port for
    /// HTTP.
    fn command(&self, app: &str, resources: &Path, grpc_port: u16) -> anyhow::Result<Command> {
        let (path, words): (_, &[&str]) = match self {
            Program::Echo => anyhow::bail!("the echo has no store"),
            Program::Steadfast(path) => (path, &["serve"]),
            Program::Daprd(path) => (path, &["--mode", "standalone"]),
        };
        let mut command = Command::new(path);
        // Keys begin with the name of the application, so each program has its own.
        command.args(words).args(["--app-id", &format!("{app}-{self}")]);
        command.args(["--log-level", "error", "--resources-path"]).arg(resources);
        command.args(["--dapr-grpc-port", &grpc_port.to_string()]);
        command.args(["--metrics-port", &free_address()?.port().to_string()]);
        if let Program::Daprd(_) = self {
            for flag in ["--dapr-internal-grpc-port", "--profile-port"] {
                command.args([flag, &free_address()?.port().to_string()]);
            }
            command.args(["--dapr-listen-addresses", "127.0.0.1"]);
        }
        // Its own token would keep us out.
        command.current_dir(resources).env_remove("DAPR_API_TOKEN");
        Ok(command)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Contender {
    /// Starts a sidecar of an application on a database. What it needs for itself is in a folder below `data`.
    pub(crate) async fn start(
        program: &Program,
        app: &str,
        database: &Database,
        data: &Path,
        running: &Running,
    ) -> anyhow::Result<Contender> {
        let folder = data.join(format!("{}-{app}-{program}", database.store));
        let resources = folder.join("resources");
        fs::create_dir_all(&resources)?;
        fs::write(resources.join("statestore.yaml"), database.component(&folder))?;
        let grpc = free_address()?;
        let command = program.command(app, &resources, grpc.port())?;
        Contender::of(program, command, "--dapr-http-port", grpc, running).await
    }

    /// Starts an echo whose answers are as long as those of a sidecar.
    pub(crate) async fn echo(
        traffic: &Traffic,
        etag: &str,
        running: &Running,
    ) -> anyhow::Result<Contender> {
        let grpc = free_address()?;
        let command = echo::command(traffic, etag, grpc.port())?;
        Contender::of(&Program::Echo, command, "--port", grpc, running).await
    }

    async fn of(
        program: &Program,
        command: Command,
        port_flag: &str,
        grpc: SocketAddr,
        running: &Running,
    ) -> anyhow::Result<Contender> {
        let answers = async |http| {
            for (wire, address) in [(Wire::Http, http), (Wire::Grpc, grpc)] {
                let mut clients = Client::connect(wire, address, 1).await?;
                let probe = traffic::probe(wire);
                clients[0].exchange(&probe, ANSWER).await?;
            }
            Ok(())
        };
        let profile = running.callgrind.as_ref().map(|it| it.join(program.name()));
        let command = match &profile {
            Some(it) => callgrind::command(&command, it),
            None => command,
        };
        let server = Server::start_when(answers, command, port_flag, running.cores).await;
        let server = server.with_context(|| format!("{program} does not start"))?;
        Ok(Contender { program: program.clone(), server, grpc, profile })
    }

    /// Counts what it does, if it is run for that.
    pub(crate) fn counter(&self) -> Option<Counter> {
        Some(Counter::new(self.process(), self.profile.clone()?))
    }

    pub(crate) fn process(&self) -> Process {
        self.server.process()
    }

    /// From just before its process was made to its first good answers, one on each wire.
    pub(crate) fn start_ms(&self) -> f64 {
        self.server.start_time.as_secs_f64() * 1e3
    }

    pub(crate) async fn clients(&self, wire: Wire, len: usize) -> anyhow::Result<Clients> {
        let address = match wire {
            Wire::Http => self.server.address,
            Wire::Grpc => self.grpc,
        };
        let clients = Clients::connect(wire, address, len).await;
        clients.with_context(|| format!("cannot connect to {}", self.program))
    }

    /// Saves all keys, without a lifetime.
    pub(crate) async fn fill(&self, traffic: &Traffic) -> anyhow::Result<()> {
        let saves = traffic.fill();
        let mut clients = self.clients(Wire::Http, FILLERS).await?;
        clients
            .run(&saves, Extent::Requests(saves.len()))
            .await
            .context("cannot fill the store")?;
        Ok(())
    }

    /// Ends it as an orchestrator would.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await.with_context(|| format!("{} does not end", self.program))
    }
}
