use std::sync::Mutex;

use super::*;

fn write(key: &str, value: &'static str) -> Write {
    Write::put(Key::new(key).unwrap(), value)
}

#[tokio::test]
async fn writes_to_one_key_keep_their_order_and_answers_their_place() {
    let writes = [write("a", "1"), write("b", "2"), write("a", "3"), write("a", "4")];
    let applied = Mutex::new(Vec::new());
    let answers = each_in_order(&writes, |it| {
        let (applied, is_first) = (&applied, it == &writes[0]);
        async move {
            // The first write yields, so that a later one could overtake it.
            if is_first {
                tokio::task::yield_now().await;
            }
            applied.lock().unwrap().push(it.clone());
            it.clone()
        }
    })
    .await;
    assert_eq!(answers, writes);
    let of_a: Vec<_> = applied.into_inner().unwrap();
    let of_a: Vec<_> = of_a.into_iter().filter(|it| it.key.as_str() == "a").collect();
    assert_eq!(of_a, [writes[0].clone(), writes[2].clone(), writes[3].clone()]);
}
