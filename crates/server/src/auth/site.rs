//! A web site on this machine, for tests.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers as it is told, and counts what it is asked.
#[derive(Clone)]
pub(super) struct Site {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, (u16, String)>,
    asked: Vec<String>,
}

impl Site {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let router = Router::new().fallback({
            let state = Arc::clone(&state);
            async move |request: Request<Body>| answer(&mut state.lock().unwrap(), &request)
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, state }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on answers so. A redirect has its aim in place of a body.
    pub(super) fn answer(&self, path: &str, status: u16, body: impl ToString) {
        let answer = (status, body.to_string());
        let mut state = self.state.lock().unwrap();
        state.answers.insert(path.to_owned(), answer);
    }

    /// The paths that were asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn answer(state: &mut State, request: &Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    let answer = state.answers.get(&path).cloned();
    state.asked.push(path);
    let Some((status, body)) = answer else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let status = StatusCode::from_u16(status).unwrap();
    if status.is_redirection() {
        return (status, [(header::LOCATION, body)]).into_response();
    }
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A server that repeats `text` after `head` again and again, with pauses, and never ends; its address.
pub(super) async fn drip(head: &'static str, text: &'static str, pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _request = socket.read(&mut [0; 4_096]).await;
                let mut next = head;
                while socket.write_all(next.as_bytes()).await.is_ok() {
                    tokio::time::sleep(pause).await;
                    next = text;
                }
            });
        }
    });
    address
}
