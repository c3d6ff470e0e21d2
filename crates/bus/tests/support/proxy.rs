//! A proxy that can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of the connections there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Cut,
    Mute,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    faults: watch::Sender<Fault>,
    refuses: Arc<AtomicBool>,
    loses: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: String) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), server)
    }

    /// At an address where nobody has listened so far.
    pub(crate) async fn start_at(address: SocketAddr, server: String) -> Self {
        Self::listen(TcpListener::bind(address).await.unwrap(), server)
    }

    /// An address where nobody listens.
    pub(crate) async fn dead() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    fn listen(listener: TcpListener, server: String) -> Self {
        let address = listener.local_addr().unwrap();
        let faults = watch::Sender::new(Fault::None);
        let refuses = Arc::new(AtomicBool::new(false));
        let loses = Arc::new(AtomicBool::new(false));
        let (fault_of, is_refused) = (faults.clone(), Arc::clone(&refuses));
        let is_lost = Arc::clone(&loses);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if is_refused.load(SeqCst) {
                    continue;
                }
                let mut fault = fault_of.subscribe();
                let is_lost = Arc::clone(&is_lost);
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(async move {
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let mut mute = fault.clone();
                    // Whichever ends takes the other with it.
                    tokio::select! {
                        () = carry(from_client, to_server, Some(&is_lost)) => {}
                        () = carry(from_server, to_client, None) => {}
                        _ = fault.changed() => {
                            if *fault.borrow() == Fault::Mute {
                                let _ = mute.wait_for(|fault| *fault == Fault::Cut).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            faults,
            refuses,
            loses,
            accepting,
        }
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.faults.send_replace(Fault::Cut);
    }

    /// What is said on the connections that there are does not arrive any more.
    pub(crate) fn mute(&self) {
        self.faults.send_replace(Fault::Mute);
    }

    /// What a client says next does not arrive, and its connection is cut.
    pub(crate) fn lose_next(&self) {
        self.loses.store(true, SeqCst);
    }

    /// Whether it was lost.
    pub(crate) fn has_lost(&self) -> bool {
        !self.loses.load(SeqCst)
    }

    /// Whether new connections are closed at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_lost: Option<&AtomicBool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if is_lost.is_some_and(|is_lost| is_lost.swap(false, SeqCst)) {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
