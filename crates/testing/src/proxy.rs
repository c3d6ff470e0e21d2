//! A proxy that loses what it should carry.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// What happens to the next bytes. All but `Refuse` happen once, to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Nothing.
    None,
    /// What the client says does not arrive, and the connection is cut.
    LoseRequest,
    /// What the server answers does not arrive, and the connection is cut.
    LoseAnswer,
    /// What the server answers does not arrive, nor does anything else.
    SwallowAnswer,
    /// As `LoseAnswer`, and nobody can connect from then on.
    LoseAnswerAndRefuse,
    /// Nobody can connect.
    Refuse,
}

/// A port that carries everything to a server, but for its faults.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect to.
    pub address: SocketAddr,
    fault: Arc<AtomicU8>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Carries to the server at `host:port`.
    pub async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let faults = Arc::clone(&fault);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if faults.load(SeqCst) == Fault::Refuse as u8 {
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let faults = Arc::clone(&faults);
                tokio::spawn(async move {
                    // Whichever ends takes the other with it.
                    tokio::select! {
                        () = carry(from_client, to_server, &faults, true) => {}
                        () = carry(from_server, to_client, &faults, false) => {}
                    }
                });
            }
        });
        Self {
            address,
            fault,
            accepting,
        }
    }

    /// Sets what happens next.
    pub fn next(&self, fault: Fault) {
        self.fault.store(fault as u8, SeqCst);
    }

    /// Whether the fault has happened.
    #[must_use]
    pub fn happened(&self, fault: Fault) -> bool {
        self.fault.load(SeqCst) != fault as u8
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: &AtomicU8,
    is_request: bool,
) {
    let take = |fault: Fault, then: Fault| {
        let taken = faults.compare_exchange(fault as u8, then as u8, SeqCst, SeqCst);
        taken.is_ok()
    };
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if is_request && take(Fault::LoseRequest, Fault::None) {
            return;
        }
        if !is_request {
            if take(Fault::LoseAnswer, Fault::None)
                || take(Fault::LoseAnswerAndRefuse, Fault::Refuse)
            {
                return;
            }
            if take(Fault::SwallowAnswer, Fault::None) {
                std::future::pending::<()>().await;
            }
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
