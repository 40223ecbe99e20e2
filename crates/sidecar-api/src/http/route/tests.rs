use super::*;

fn get(path: &str) -> Result<Route<'_>, u16> {
    Route::of(&Method::GET, path).map_err(|e| e.status.as_u16())
}

fn key_of(path: &str) -> String {
    match get(path) {
        Ok(Route::Get { key, .. }) => key.into_owned(),
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn a_key_is_decoded_exactly_once() {
    assert_eq!(key_of("/v1.0/state/s/a%2Fb"), "a/b");
    assert_eq!(key_of("/v1.0/state/s/a/b"), "a/b");
    assert_eq!(key_of("/v1.0/state/s/a%252Fb"), "a%2Fb");
    assert_eq!(key_of("/v1.0/state/s/a%2Bb"), "a+b");
    assert_eq!(key_of("/v1.0/state/s/a+b"), "a b");
    assert_eq!(key_of("/v1.0/state/s/%C3%A9"), "é");
    assert_eq!(key_of("/v1.0/state/s/%2E%2E"), "..");
    assert_eq!(key_of("/v1.0/state/s/bulk"), "bulk");
}

#[test]
fn a_path_is_cleaned_before_it_is_decoded() {
    let save = |path| Route::of(&Method::POST, path).unwrap();
    let expected = Route::Save { store: "s".into() };
    for path in ["/v1.0/state/s", "/v1.0/state/s/", "//v1.0/state//s", "/v1.0/x/../state/./s"] {
        assert_eq!(save(path), expected, "{path}");
    }
    assert_eq!(get("/v1.0/state/s/../../healthz"), Ok(Route::Health));
    assert_eq!(
        get("/v1.0/state/s/%2E%2E/healthz").map_err(drop),
        Ok(Route::Get { store: "s".into(), key: "../healthz".into() })
    );
}

#[test]
fn cleaning_never_makes_one_key_of_another() {
    for path in ["a//b", "a/./b", "a/../b", "../s/b", "a//", "./a", "/a"] {
        assert_eq!(get(&format!("/v1.0/state/s/{path}")), Err(400), "{path}");
    }
    assert_eq!(key_of("/v1.0/state/s/a%2F%2Fb"), "a//b");
    assert_eq!(key_of("/v1.0/state/s/a/%2E%2E/b"), "a/../b");
    assert_eq!(key_of("/v1.0/state/s/a/"), "a", "as Dapr has it");
}

#[test]
fn what_is_not_ours_is_not_found() {
    for path in ["/", "/v1.0/state/s", "/v1.0/invoke/app/method/m", "/v1.0/healthz/other", "*"] {
        assert_eq!(get(path), Err(404), "{path}");
    }
    let head = Route::of(&Method::HEAD, "/v1.0/state/s/k").map_err(|e| e.status.as_u16());
    assert_eq!(head, Err(404));
    assert_eq!(get("/v1.0/state/s/%zz"), Err(400));
    assert_eq!(get("/v1.0/state/s/%FF"), Err(400));
}
