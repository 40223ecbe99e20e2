use futures::future::{join, join_all};

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Lets others go on, and goes on itself.
async fn go_on() {
    let mut is_over = false;
    poll_fn(|context| {
        if is_over {
            return Poll::Ready(());
        }
        is_over = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_sleep_takes_its_time_and_no_more() {
    let time = SimulatedTime::default();
    time.drive(time.sleep(Duration::from_secs(3600))).await;
    let hour = 3_600_000_000_000;
    assert!((hour..hour + 1_000).contains(&time.now()));
}

#[tokio::test]
async fn sleepers_wake_in_the_order_of_their_ends_then_of_their_beginnings() {
    let time = SimulatedTime::default();
    let order = Mutex::new(Vec::new());
    let sleepers = [(0, 30), (1, 10), (2, 20), (3, 10)].map(|(i, wait)| {
        let (time, order) = (&time, &order);
        async move {
            time.sleep(ms(wait)).await;
            order.lock().expect("nobody panics").push(i);
        }
    });
    time.drive(join_all(sleepers)).await;
    assert_eq!(order.into_inner().expect("nobody panics"), [1, 3, 2, 0]);
}

#[tokio::test]
async fn time_stands_still_while_something_can_go_on() {
    let time = SimulatedTime::default();
    let busy = async {
        for _ in 0..1_000 {
            go_on().await;
        }
        time.now()
    };
    let (seen, ()) = time.drive(join(busy, time.sleep(ms(1)))).await;
    assert!(seen < 1_000_000, "it was {seen}");
}

#[tokio::test]
async fn nobody_waits_for_a_sleep_that_was_dropped() {
    let time = SimulatedTime::default();
    let request = async {
        tokio::select! {
            biased;
            () = time.sleep(ms(1)) => {}
            () = time.sleep(ms(1_000)) => {}
        }
    };
    time.drive(request).await;
    time.drive(time.sleep(ms(1))).await;
    assert!(time.now() < 3_000_000);
}

#[test]
fn no_two_looks_see_the_same_time() {
    let time = SimulatedTime::default();
    assert!(time.now() < time.now());
}
