use anyhow::{Result, ensure};
use real_servers::etcd::{Etcd, Options};

#[tokio::test]
async fn a_cluster_goes_on_without_its_leader_and_hands_over_when_told() -> Result<()> {
    let etcd = Etcd::start(3, &Options::default()).await?;
    let first = etcd.leader().await?;
    let second = etcd.move_leader().await?;
    ensure!(first != second);
    etcd.nodes()[second].kill()?;
    let third = etcd.leader_after(second).await?;
    etcd.nodes()[second].restart().await?;
    ensure!(third != second);
    Ok(())
}
