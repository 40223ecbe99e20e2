use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn put(name: &str, ttl: Option<Duration>, condition: Condition) -> Op {
    Op { key: key(name), effect: Effect::Put { value: "1".into(), ttl }, condition }
}

#[test]
fn expired_value_counts_as_absent() {
    let (mut model, start) = (Model::default(), SystemTime::UNIX_EPOCH);
    let version = model.write(&put("k", Some(SECOND), Condition::Any), start).unwrap();
    assert!(model.get(&key("k"), start).is_some());

    let later = start + SECOND;
    assert_eq!(model.get(&key("k"), later), None);
    assert_eq!(model.list("", None, 9, later), (vec![], false));
    let stale = put("k", None, Condition::Matches(version));
    assert_eq!(model.write(&stale, later), Err(Refusal { position: 0, found: None }));
    assert!(model.write(&put("k", None, Condition::Absent), later).is_ok());
    assert!(model.get(&key("k"), later + SECOND).is_some(), "it lives for ever now");
}

#[test]
fn version_of_a_deleted_value_never_comes_back() {
    let (mut model, now) = (Model::default(), SystemTime::UNIX_EPOCH);
    let old = model.write(&put("k", None, Condition::Any), now).unwrap();
    let delete = Op { key: key("k"), effect: Effect::Delete, condition: Condition::Matches(old) };
    assert_eq!(model.write(&delete, now), Ok(None));
    let new = model.write(&put("k", None, Condition::Absent), now).unwrap();
    assert_eq!(model.write(&delete, now), Err(Refusal { position: 0, found: new }));
}

#[test]
fn conditions_of_a_transaction_see_its_start() {
    let (mut model, now) = (Model::default(), SystemTime::UNIX_EPOCH);
    let create = put("k", None, Condition::Absent);
    let versions = model.transact(&[create.clone(), create.clone()], now).unwrap();
    assert_eq!(model.get(&key("k"), now).map(|it| it.version), versions[1]);

    let refusals = model.transact(&[put("l", None, Condition::Any), create], now).unwrap_err();
    assert_eq!(refusals, [Refusal { position: 1, found: versions[1] }]);
    assert_eq!(model.get(&key("l"), now), None);
}
