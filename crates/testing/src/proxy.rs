//! A proxy that loses what it should carry.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
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

/// How everything is carried until it is said otherwise. Nothing is lost of a connection that stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// At once.
    #[default]
    Clear,
    /// Each piece takes this long.
    Slow(Duration),
    /// Not at all: what is said waits.
    Stalled,
    /// Nobody can connect, and nobody is connected.
    Refusing,
}

/// A port that carries everything to a server, but for its faults.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect to.
    pub address: SocketAddr,
    fault: Arc<AtomicU8>,
    weather: watch::Sender<Weather>,
    /// All connections of an earlier number are cut.
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Carries to the server at `host:port`.
    pub async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let faults = Arc::clone(&fault);
        let (weather, skies) = watch::channel(Weather::Clear);
        let (cuts, mut blades) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let refuses = *skies.borrow() == Weather::Refusing;
                if refuses || faults.load(SeqCst) == Fault::Refuse as u8 {
                    continue;
                }
                blades.mark_unchanged();
                let Ok(server) = TcpStream::connect(&server).await else {
                    // It is away, and so is this.
                    continue;
                };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let (faults, skies) = (Arc::clone(&faults), skies.clone());
                let mut cut = blades.clone();
                tokio::spawn(async move {
                    // Whichever ends takes the other with it.
                    tokio::select! {
                        () = carry(from_client, to_server, &faults, skies.clone(), true) => {}
                        () = carry(from_server, to_client, &faults, skies, false) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            fault,
            weather,
            cuts,
            accepting,
        }
    }

    /// Sets what happens next.
    pub fn next(&self, fault: Fault) {
        self.fault.store(fault as u8, SeqCst);
    }

    /// Sets how everything is carried from now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
        if weather == Weather::Refusing {
            self.cut();
        }
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.cuts.send_modify(|number| *number += 1);
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
    mut weather: watch::Receiver<Weather>,
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
        let now = *weather.borrow();
        if let Weather::Slow(delay) = now {
            sleep(delay).await;
        }
        let carries = |now: &Weather| *now != Weather::Stalled;
        if weather.wait_for(carries).await.is_err() || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}
