use super::*;

fn serve(flags: &[&str]) -> Result<SidecarArgs, String> {
    let arguments = ["steadfast", "serve"].into_iter().chain(flags.iter().copied());
    let arguments = Cli::with_two_dashes(arguments.map(OsString::from));
    match Cli::try_parse_from(arguments).map_err(|e| e.to_string())?.command {
        Command::Serve(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_flags_that_the_stock_tools_pass_are_accepted() {
    let flags = "--app-id cart --mode standalone --dapr-http-port 3500 --dapr-grpc-port 50001 \
        --dapr-internal-grpc-port 47301 --dapr-listen-addresses 127.0.0.1 --app-port -1 \
        --metrics-port 9090 --profile-port 7777 --enable-profiling=false --enable-api-logging \
        --log-level debug --app-protocol http --enable-app-health-check=false \
        --app-health-probe-interval 0 --app-health-threshold 0 --resources-path a,b \
        --resources-path c --config x.yaml --max-body-size 2Mi --unix-domain-socket= \
        --placement-host-address localhost:50005 --scheduler-host-address localhost:50006 \
        --control-plane-trust-domain localhost --enable-mtls=false --log-as-json \
        --dapr-graceful-shutdown-seconds -1";
    let args = serve(&flags.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert_eq!(args.resources_path.len(), 3);
    assert_eq!(args.body_bytes_max(), 2 << 20);
    assert_eq!(args.grace(), Duration::from_secs(5));
    assert!(args.log_as_json && args.app_port.unwrap().0.is_none());
    let given: Vec<_> = args.accepted.given().iter().map(|it| (it.name, it.missed)).collect();
    assert!(given.contains(&("placement-host-address", false)), "{given:?}");
    assert_eq!(args.enable_api_logging, Some(true));
    assert_eq!(args.config_files().len(), 1);
    assert!(!given.iter().any(|(name, _)| *name == "enable-mtls"), "it says that it is off");
}

#[test]
fn older_names_of_sizes_count_where_the_newer_ones_are_not_given() {
    let older = ["--dapr-http-max-request-size", "8", "--dapr-http-read-buffer-size", "32"];
    let args = serve(&older).unwrap();
    assert_eq!((args.body_bytes_max(), args.head_bytes_max()), (8 << 20, 32 << 10));
    let both = [&older[..], &["--max-body-size", "1Mi", "--read-buffer-size", "1"]].concat();
    let args = serve(&both).unwrap();
    assert_eq!((args.body_bytes_max(), args.head_bytes_max()), (1 << 20, 4 << 10));
    let args = serve(&["--dapr-http-max-request-size", "-1"]).unwrap();
    assert_eq!((args.body_bytes_max(), args.head_bytes_max()), (4 << 20, 16 << 10));
}

#[test]
fn what_daprd_forgives_is_forgiven() {
    let args = serve(&["-app-id", "a", "-dapr-http-port=3501", "-H", "3502"]).unwrap();
    assert_eq!(args.app_id.as_deref(), Some("a"));
    assert_eq!(args.dapr_http_port.unwrap().0, Some(3502), "the last one counts");
    let empty = ["--app-port", "", "--app-protocol", "", "--dapr-http-port=-1"];
    let args = serve(&empty).unwrap();
    assert!(args.app_port.unwrap().0.is_none() && args.dapr_http_port.unwrap().0.is_none());
    let application = ["steadfast", "run", "--", "x", "-app-id", "y"].map(OsString::from);
    let kept = Cli::with_two_dashes(application.clone().into_iter());
    assert_eq!(kept, application, "the application's flags are its own");
}

#[test]
fn a_program_called_daprd_is_the_bare_sidecar() {
    let called = |name: &str| {
        let arguments = [name, "-app-id", "cart", "--dapr-http-port", "3501"].map(OsString::from);
        let arguments = Cli::with_two_dashes(Cli::with_command(arguments.into()).into_iter());
        Cli::try_parse_from(arguments).map(|it| it.command)
    };
    for name in ["daprd", "/usr/local/bin/daprd", "./daprd"] {
        let Ok(Command::Serve(args)) = called(name) else { panic!("{name}") };
        assert_eq!(args.app_id.as_deref(), Some("cart"));
    }
    assert!(called("steadfast").is_err(), "it has to be told what to do");
}

#[test]
fn a_misspelt_flag_is_not_swallowed() {
    assert!(serve(&["--app-idd", "x"]).unwrap_err().contains("--app-id"));
    assert!(serve(&["--max-body-size", "4MB"]).is_err());
    assert!(serve(&["--dapr-http-port", "99999"]).is_err());
    assert!(serve(&["--app-protocol", "ftp"]).is_err());
    assert!(serve(&["--state-store", "cassandra://x"]).unwrap_err().contains("sqlite:///path"));
}

#[test]
fn everything_after_two_dashes_is_the_application() {
    let arguments = ["steadfast", "run", "-a", "cart", "--", "python3", "app.py", "--app-id", "x"];
    let Command::Run(args) = Cli::try_parse_from(arguments).unwrap().command else { panic!() };
    assert_eq!(args.command, ["python3", "app.py", "--app-id", "x"]);
    assert_eq!(args.sidecar.app_id.as_deref(), Some("cart"));
}

#[test]
fn origins_are_whole() {
    for (text, expected) in [
        ("http://localhost:8080", Some("http://localhost:8080")),
        (" https://app.example/ ", Some("https://app.example")),
        ("*", Some("*")),
        ("", Some("")),
        ("null", None),
        ("localhost:8080", None),
        ("https://*.example", None),
        ("https://app.example/page", None),
        ("https://", None),
    ] {
        assert_eq!(origin(text).ok().as_deref(), expected, "{text:?}");
    }
}
