use super::{
    super::site::{Site, drip},
    *,
};

fn get(url: &str) -> Request<Vec<u8>> {
    Request::get(url).body(Vec::new()).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn outgoing() -> Outgoing {
    Outgoing::with_timeout(Duration::from_millis(400)).unwrap()
}

#[test]
fn outside_means_public() {
    let global = [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ];
    for address in global {
        assert!(is_global(address.parse().unwrap()), "{address}");
    }
    let inside = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for address in inside {
        assert!(!is_global(address.parse().unwrap()), "{address}");
    }
}

#[tokio::test]
async fn outside() {
    let (configured, inside) = (Site::start().await, Site::start().await);
    configured.answer("/here", 200, "yes");
    inside.answer("/secret", 200, "no");
    let outgoing = outgoing();
    let origin = url(&configured.url("/"));
    let answer = outgoing.send(get(&configured.url("/here")), &origin).await;
    assert_eq!(answer.unwrap().body(), b"yes", "its own origin");

    let port = url(&inside.url("/")).port().unwrap();
    let refused = [
        inside.url("/secret"),
        inside.url("/secret").replace("http:", "https:"),
        configured.url("/here").replace("http:", "https:"),
        configured.url("/here").replace("127.0.0.1", "localhost"),
        format!("https://localhost:{port}/secret"),
        format!("https://[::ffff:127.0.0.1]:{port}/secret"),
        format!("https://0x7f.1:{port}/secret"),
        format!("https://2130706433:{port}/secret"),
        format!("https://127.1:{port}/secret"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "https://[fd00:ec2::254]/".to_owned(),
        "http://8.8.8.8/".to_owned(),
    ];
    for address in refused {
        let Err(error) = outgoing.send(get(&address), &origin).await else {
            panic!("{address} was asked");
        };
        let by_name = address.contains("https://localhost");
        let why = format!("{error:?}");
        if by_name {
            assert!(why.contains("no public address"), "{why}");
        } else {
            assert!(matches!(error, OutgoingError::Refused { .. }), "{why}");
        }
    }
    assert_eq!(inside.asked(), Vec::<String>::new());
    for scheme in ["file:///etc/passwd", "ftp://8.8.8.8/", "data:,x"] {
        let refused = outgoing.client(&url(scheme), &origin);
        let refused = matches!(refused, Err(OutgoingError::Refused { .. }));
        assert!(refused, "{scheme}");
    }
    let file = url("file:///etc/passwd");
    assert!(outgoing.client(&file, &file).is_err(), "has no origin");
    let public = url("https://example.com/keys");
    assert!(outgoing.client(&public, &origin).is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (site, inside) = (Site::start().await, Site::start().await);
    for aim in [inside.url("/secret"), site.url("/here")] {
        site.answer("/moved", 302, aim);
        let request = get(&site.url("/moved"));
        let answer = outgoing().send(request, &url(&site.url("/"))).await;
        assert_eq!(answer.unwrap().status(), 302);
    }
    assert_eq!(inside.asked(), Vec::<String>::new());
    assert_eq!(site.asked(), ["/moved", "/moved"]);
}

#[tokio::test]
async fn bounded() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk: &'static str = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).leak();
    let endless = drip(CHUNKED, chunk, Duration::ZERO).await;
    let large = format!("http://{endless}/");
    let outgoing = Outgoing::with_timeout(Duration::from_secs(20)).unwrap();
    let answer = outgoing.send(get(&large), &url(&large)).await;
    assert!(
        matches!(answer, Err(OutgoingError::TooLarge(_))),
        "an endless body"
    );

    let slowly = Duration::from_millis(50);
    let silent = drip("", "", slowly).await;
    let slow_head = drip("HTTP/1.1 200 OK\r\n", "x-a: b\r\n", slowly).await;
    let slow_body = drip(CHUNKED, "1\r\nx\r\n", slowly).await;
    for (what, address) in [
        ("silence", silent),
        ("a slow head", slow_head),
        ("a slow body", slow_body),
    ] {
        let address = format!("http://{address}/");
        let outgoing = self::outgoing();
        let answer = outgoing.send(get(&address), &url(&address)).await;
        let Err(OutgoingError::Failed(error)) = answer else {
            panic!("{what}: {answer:?}");
        };
        assert!(error.is_timeout(), "{what}: {error:?}");
    }
}

#[test]
fn the_settings_name_https_or_this_machine() {
    for good in [
        "https://id.example.com",
        "https://10.0.0.1/realms/a",
        "http://localhost:8080",
        "http://127.0.0.1/keys",
        "http://[::1]:1/keys",
    ] {
        assert!(check_configured(good).is_ok(), "{good}");
    }
    for bad in [
        "http://id.example.com",
        "http://10.0.0.1/",
        "http://localhost.example.com/",
        "file:///etc/passwd",
        "https://user:password@example.com/",
        "https://example.com/#a",
        "example.com",
        "",
    ] {
        assert!(check_configured(bad).is_err(), "{bad}");
    }
}
