use std::{
    env,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use real_servers::{
    redis::{Options, Redis},
    until,
};

/// Set where this test is run by itself, to start servers and be killed.
const IS_PARENT: &str = "REAL_SERVERS_TEST_IS_PARENT";

const READY: &str = "ready";

#[tokio::test]
async fn servers_and_their_folders_do_not_outlive_a_process_that_is_killed() {
    if env::var_os(IS_PARENT).is_some() {
        return start_servers_and_wait().await;
    }
    let this = "orphans::servers_and_their_folders_do_not_outlive_a_process_that_is_killed";
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", this, "--nocapture"]).env(IS_PARENT, "1").stdout(Stdio::piped());
    let mut parent = command.spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut servers: Vec<(SocketAddr, PathBuf)> = Vec::new();
    for line in lines.take_while(|it| it != READY) {
        if let Some((address, folder)) = line.split_once(" in ") {
            servers.push((address.parse().unwrap(), folder.into()));
        }
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    // One that runs, one that is paused, and one that is down.
    assert_eq!(servers.len(), 3);
    for (address, folder) in servers {
        let gone = || async { Ok(TcpStream::connect(address).is_err() && !folder.exists()) };
        until("the end of an orphan", gone).await.unwrap();
    }
}

async fn start_servers_and_wait() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let redis = Redis::start(&Options::default()).await.unwrap();
        println!();
        println!("{} in {}", redis.address(), redis.process().folder().display());
        servers.push(redis);
    }
    servers[1].process().pause().unwrap();
    servers[2].process().kill().unwrap();
    println!("{READY}");
    std::future::pending::<()>().await;
}
