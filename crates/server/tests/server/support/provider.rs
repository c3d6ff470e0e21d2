//! A real OpenID Connect provider in a process of its own, and a browser that signs in there.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use url::Url;

/// oidc-provider in Node.
pub(crate) struct Process {
    child: Child,
    pub(crate) issuer: String,
    /// It says more, and must not be cut off.
    _output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start() -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packages/interop/tests/support/provider.mjs"
        );
        let mut child = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node runs oidc-provider: `npm ci` has been run");
        let mut issuer = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut issuer).unwrap();
        assert!(!issuer.is_empty(), "the provider has started");
        let issuer = issuer.trim().to_owned();
        Self {
            child,
            issuer,
            _output: output,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Does what a browser does that signs in as `login`: returns the code and the state that it brings back.
pub(crate) async fn sign_in(url: &str, login: &str) -> (String, String) {
    // The server's own, if it is the same process, may have been first.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let mut cookies = HashMap::new();
    let mut url = Url::parse(url).unwrap();
    for _ in 0..10 {
        let form = url.path().starts_with("/interaction/");
        let request = match form {
            true => client
                .post(url.clone())
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("login={login}")),
            false => client.get(url.clone()),
        };
        let jar: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let answer = request.header("cookie", jar.join("; ")).send();
        let answer = answer.await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = cookie.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let Some(location) = answer.headers().get("location") else {
            panic!("{url}: {} {:?}", answer.status(), answer.text().await);
        };
        url = url.join(location.to_str().unwrap()).unwrap();
        if url.path() == "/sign-in/callback" {
            let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
            return (query["code"].clone(), query["state"].clone());
        }
    }
    panic!("it goes round in circles: {url}");
}
