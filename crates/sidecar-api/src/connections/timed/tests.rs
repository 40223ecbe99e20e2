use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{advance, pause},
};

use super::*;

fn connection(activity: &Arc<Activity>) -> (DuplexStream, Timed<DuplexStream>) {
    pause();
    let (client, server) = duplex(64);
    (client, Timed::new(server, activity.clone(), &Limits::default()))
}

async fn read(timed: &mut Timed<DuplexStream>) -> io::Result<u8> {
    timed.read_u8().await
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let (mut client, mut timed) = connection(&Arc::default());
    for _ in 0..9 {
        client.write_all(b"G").await.unwrap();
        read(&mut timed).await.unwrap();
        advance(Duration::from_secs(1)).await;
    }
    let started = Instant::now();
    assert_eq!(read(&mut timed).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() <= Duration::from_secs(2));
}

#[tokio::test]
async fn a_connection_may_be_idle_between_requests() {
    let activity: Arc<Activity> = Arc::default();
    let (mut client, mut timed) = connection(&activity);
    client.write_all(b"G").await.unwrap();
    read(&mut timed).await.unwrap();
    drop(activity.busy());
    // Idle begins when the connection next waits for bytes.
    let waiting = tokio::time::timeout(Duration::from_secs(100), read(&mut timed)).await;
    assert!(waiting.is_err(), "still open");
    let started = Instant::now();
    assert_eq!(read(&mut timed).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() <= Duration::from_secs(21));
}

#[tokio::test]
async fn a_request_being_answered_is_never_cut_off_by_silence() {
    let activity: Arc<Activity> = Arc::default();
    let (mut client, mut timed) = connection(&activity);
    client.write_all(b"G").await.unwrap();
    read(&mut timed).await.unwrap();
    let _busy = activity.busy();
    let waiting = tokio::time::timeout(Duration::from_secs(1000), read(&mut timed)).await;
    assert!(waiting.is_err(), "still open");
}

#[tokio::test]
async fn a_connection_that_nobody_asks_again_is_idle_all_the_same() {
    let activity: Arc<Activity> = Arc::default();
    let (mut client, mut timed) = connection(&activity);
    client.write_all(b"G").await.unwrap();
    read(&mut timed).await.unwrap();
    let busy = activity.busy();
    let reading = tokio::spawn(async move { read(&mut timed).await });
    tokio::task::yield_now().await;
    let started = Instant::now();
    drop(busy);
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!((120..=130).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (_client, mut timed) = connection(&Arc::default());
    let started = Instant::now();
    let result = timed.write_all(&[0; 100]).await;
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_connection_of_http_2_may_begin_in_pieces_and_be_quiet_for_longer_than_a_head() {
    let (mut client, mut timed) = connection(&Arc::default());
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.write_all(&[*byte]).await.unwrap();
        read(&mut timed).await.unwrap();
    }
    let limits = Limits::default();
    for _ in 0..3 {
        advance(limits.head_timeout + Duration::from_secs(1)).await;
        client.write_all(b"frame").await.unwrap();
        for _ in b"frame" {
            read(&mut timed).await.unwrap();
        }
    }
    let started = Instant::now();
    assert_eq!(read(&mut timed).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() >= limits.keep_alive_timeout);
}

#[tokio::test]
async fn what_only_begins_like_http_2_gets_no_more_time() {
    let (mut client, mut timed) = connection(&Arc::default());
    for byte in b"PRI * HTTP/1.1" {
        client.write_all(&[*byte]).await.unwrap();
        read(&mut timed).await.unwrap();
    }
    let started = Instant::now();
    assert_eq!(read(&mut timed).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() <= Limits::default().head_timeout + Duration::from_secs(1));
}
