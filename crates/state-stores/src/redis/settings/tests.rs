use super::*;

fn parse(properties: &[(&str, &str)]) -> Result<Settings> {
    Settings::parse(&properties.iter().copied().collect())
}

fn refused(properties: &[(&str, &str)]) -> String {
    let error = parse(properties).unwrap_err();
    assert_eq!(error.outcome(), state::Outcome::NotApplied);
    error.to_string()
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.to_owned(), port }
}

#[test]
fn a_host_is_enough() {
    let settings = parse(&[("redisHost", "db"), ("redisPassword", "")]).unwrap();
    assert_eq!(settings.layout, Layout::Node(tcp("db", 6379)));
    assert_eq!(settings.login, Login::default());
    assert_eq!(settings.timing.connect, Duration::from_secs(5));
    assert_eq!(settings.timing.reply, Duration::from_secs(3));
    assert_eq!(settings.timing.retries, 3);
    assert_eq!((settings.database, settings.ttl), (0, None));
    assert!(settings.tls.is_none());
}

#[test]
fn a_port_may_stand_at_either_place_but_not_differ() {
    let layout = |properties| parse(properties).unwrap().layout;
    assert_eq!(layout(&[("redisHost", "db"), ("redisPort", "1")]), Layout::Node(tcp("db", 1)));
    assert_eq!(layout(&[("redisHost", "db:1"), ("redisPort", "1")]), Layout::Node(tcp("db", 1)));
    let differing = refused(&[("redisHost", "db:1"), ("redisPort", "2")]);
    assert!(differing.contains("redisPort"), "{differing}");
}

#[test]
fn several_hosts_are_a_cluster_or_sentinels() {
    let hosts = ("redisHost", "a:1, b");
    assert!(refused(&[hosts]).contains("redisType"));
    let cluster = parse(&[hosts, ("redisType", "cluster"), ("redisDB", "3")]).unwrap();
    assert_eq!(cluster.layout, Layout::Cluster(vec![tcp("a", 1), tcp("b", 6379)]));
    assert_eq!(cluster.database, 0);
    let sentinel = [hosts, ("failover", "true"), ("sentinelMasterName", "m"), ("redisDB", "3")];
    let sentinel = parse(&sentinel).unwrap();
    let sentinels = vec![tcp("a", 1), tcp("b", 6379)];
    let login = Login::default();
    assert_eq!(sentinel.layout, Layout::Sentinel { sentinels, group: "m".to_owned(), login });
    assert_eq!(sentinel.database, 3);
    assert!(refused(&[hosts, ("failover", "true")]).contains("sentinelMasterName"));
    let both = [hosts, ("failover", "true"), ("redisType", "cluster"), ("sentinelMasterName", "m")];
    assert!(refused(&both).contains("exclude each other"));
}

#[test]
fn a_socket_is_a_path() {
    let settings = parse(&[("redisHost", "unix:///run/redis.sock")]).unwrap();
    assert_eq!(settings.layout, Layout::Node(Address::Unix("/run/redis.sock".into())));
}

#[test]
fn times_are_milliseconds_and_older_names_count_where_the_newer_are_missing() {
    let timing =
        |more: &[(&str, &str)]| parse(&[&[("redisHost", "db")], more].concat()).unwrap().timing;
    assert_eq!(timing(&[("readTimeout", "250")]).reply, Duration::from_millis(250));
    assert_eq!(timing(&[("readTimeout", "-1")]).reply, NEVER);
    assert_eq!(timing(&[("writeTimeout", "4s")]).reply, Duration::from_secs(4));
    assert_eq!(timing(&[("redisMaxRetries", "-1")]).retries, 0);
    assert_eq!(timing(&[("maxRetries", "7")]).retries, 7);
    assert_eq!(timing(&[("redisMaxRetries", "1"), ("maxRetries", "7")]).retries, 1);
    let pause = timing(&[("maxRetryBackoff", "20000000")]).pause;
    assert_eq!(pause, (Duration::from_millis(20), PAUSE_MAX));
    let none = [("redisMinRetryInterval", "-1"), ("redisMaxRetryInterval", "-1")];
    assert_eq!(timing(&none).pause, (Duration::ZERO, Duration::ZERO));
    let pause = timing(&[("redisMinRetryInterval", "2s")]).pause;
    assert_eq!(pause, (PAUSE_MAX, PAUSE_MAX));
}

#[test]
fn what_cannot_be_right_names_its_field() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "redisHost"),
        (&[("redisHost", " ")], "redisHost"),
        (&[("redisHost", "redis://db")], "redisHost"),
        (&[("redisHost", "db"), ("redisDB", "one")], "redisDB"),
        (&[("redisHost", "db"), ("redisType", "ring")], "redisType"),
        (&[("redisHost", "db"), ("enableTLS", "yes")], "enableTLS"),
        (&[("redisHost", "db"), ("failover", "on")], "failover"),
        (&[("redisHost", "db"), ("dialTimeout", "soon")], "dialTimeout"),
        (&[("redisHost", "db"), ("ttlInSeconds", "1.5")], "ttlInSeconds"),
        (&[("redisHost", "db"), ("ttlInSeconds", "2147483648")], "ttlInSeconds"),
        (&[("redisHost", "db"), ("strongReplicas", "-1")], "strongReplicas"),
        (&[("redisHost", "db"), ("readFrom", "anywhere")], "readFrom"),
        (&[("redisHost", "db"), ("hashTag", "key")], "hashTag"),
        (&[("redisHost", "db"), ("protocol", "4")], "protocol"),
        (&[("redisHost", "db"), ("redisUsername", "me")], "redisPassword"),
        (&[("redisHost", "db"), ("clientCert", "x")], "clientKey"),
        (&[("redisHost", "db"), ("caCert", "x")], "enableTLS"),
        (&[("redisHost", "db"), ("enableTLS", "true"), ("caCert", "x")], "caCert"),
        (&[("redisHost", "db"), ("useEntraID", "true")], "useEntraID"),
        (&[("redisHost", "db"), ("useOIDC", "1")], "useOIDC"),
    ];
    for (properties, word) in cases {
        let message = refused(properties);
        assert!(message.contains(word), "{message:?} does not name {word}");
    }
}

#[test]
fn settings_of_a_pool_and_of_other_building_blocks_are_taken() {
    let properties =
        [("redisHost", "db"), ("poolSize", "20"), ("queueDepth", "5"), ("useEntraID", "false")];
    assert!(parse(&properties).is_ok());
}

#[test]
fn passwords_and_keys_are_not_shown() {
    let url = refused(&[("redisHost", "redis://:hunter2@db:6379")]);
    assert!(!url.contains("hunter2") && url.contains("redisPassword"), "{url}");
    let settings = parse(&[("redisHost", "db"), ("redisPassword", "hunter2")]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let connector = crate::redis::connector::Connector::to_data(&settings);
    assert!(!format!("{connector:?}").contains("hunter2"), "{connector:?}");
}
