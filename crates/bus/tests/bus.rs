//! One suite for every bus. Each test of an invariant bears its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{future::ready, time::Duration};

use bytes::Bytes;
use motet_bus::{
    AnyBus, Bus, BusError, BusSettings, BusState, LocalHub, MESSAGE_BYTES_MAX, Received,
    Subscription, Topic, WAITING_MESSAGES_MAX,
};
use motet_model::{DocumentId, NodeId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::MissedTickBehavior,
};

use self::support::{Place, Server, proxy::Proxy, soon, until};

/// Nodes of one installation.
enum Installation {
    Local(LocalHub),
    On(Place),
}

impl Installation {
    fn local() -> Self {
        Self::Local(LocalHub::default())
    }

    fn redis() -> Self {
        Self::On(Place::new(Server::Redis))
    }

    fn nats() -> Self {
        Self::On(Place::new(Server::Nats))
    }

    async fn node(&self, n: u8) -> AnyBus {
        let bus = match self {
            Self::Local(hub) => hub.join(node(n)).into(),
            Self::On(place) => connect(place, &place.server.url(), n).await,
        };
        connected(&bus).await;
        bus
    }

    /// Another one of the same kind, on the same server.
    fn other(&self) -> Self {
        match self {
            Self::Local(_) => Self::local(),
            Self::On(place) => Self::On(Place::new(place.server)),
        }
    }
}

async fn connect(place: &Place, url: &str, n: u8) -> AnyBus {
    AnyBus::connect(url, node(n), place.settings())
        .await
        .unwrap()
}

fn node(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

fn document(n: u16) -> Topic {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Topic::Document(DocumentId::from_bytes(bytes))
}

fn message(n: u64) -> Bytes {
    Bytes::from(n.to_string())
}

fn said(by: u8, n: u64) -> Received {
    Received::Message {
        node: node(by),
        message: message(n),
    }
}

async fn is(bus: &AnyBus, state: BusState) {
    let mut states = bus.state();
    soon(states.wait_for(|now| *now == state)).await.unwrap();
}

async fn connected(bus: &AnyBus) {
    is(bus, BusState::Connected).await;
}

async fn next(subscription: &mut Subscription) -> Received {
    soon(subscription.next()).await
}

/// A subscription that stands.
async fn standing(bus: &AnyBus, topic: Topic) -> Subscription {
    let mut subscription = bus.subscribe(topic);
    assert_eq!(next(&mut subscription).await, Received::Gap);
    subscription
}

/// Runs each test of the suite on each bus.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Installation::local()).await;
            })*
        }
        mod redis {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Installation::redis()).await;
            })*
        }
        mod nats {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Installation::nats()).await;
            })*
        }
    };
}

contract!(
    others,
    topics_are_apart,
    installations_are_apart,
    ordered,
    gaps,
    bounded,
    too_large,
    unsubscribing,
    many_topics,
    several_subscriptions_of_one_topic,
);

async fn others(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    assert_eq!(one.node(), node(1));
    let mut of_one = standing(&one, Topic::Nodes).await;
    let mut of_two = standing(&two, Topic::Nodes).await;
    one.publish(Topic::Nodes, message(1)).unwrap();
    assert_eq!(next(&mut of_two).await, said(1, 1));
    // Its own would have come before.
    two.publish(Topic::Nodes, message(2)).unwrap();
    assert_eq!(next(&mut of_one).await, said(2, 2));
    assert_eq!(of_two.try_next(), None);
}

async fn topics_are_apart(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let mut first = standing(&one, document(1)).await;
    let mut second = standing(&one, document(2)).await;
    let mut nodes = standing(&one, Topic::Nodes).await;
    for (topic, n) in [
        (document(1), 1),
        (document(2), 2),
        (document(3), 3),
        (Topic::Nodes, 4),
    ] {
        two.publish(topic, message(n)).unwrap();
    }
    assert_eq!(next(&mut nodes).await, said(2, 4));
    assert_eq!(next(&mut second).await, said(2, 2));
    assert_eq!(next(&mut first).await, said(2, 1));
    for subscription in [&mut first, &mut second, &mut nodes] {
        assert_eq!(subscription.try_next(), None);
    }
}

async fn installations_are_apart(installation: Installation) {
    let other = installation.other();
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let (three, four) = (other.node(3).await, other.node(4).await);
    let mut of_one = standing(&one, document(1)).await;
    let mut of_three = standing(&three, document(1)).await;
    two.publish(document(1), message(1)).unwrap();
    assert_eq!(next(&mut of_one).await, said(2, 1));
    four.publish(document(1), message(2)).unwrap();
    assert_eq!(next(&mut of_three).await, said(4, 2));
    assert_eq!(of_one.try_next(), None);
}

async fn ordered(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let mut subscription = standing(&one, document(1)).await;
    for round in 0..10 {
        let numbers = round * 500..(round + 1) * 500;
        for n in numbers.clone() {
            two.publish(document(1), message(n)).unwrap();
        }
        for n in numbers {
            assert_eq!(next(&mut subscription).await, said(2, n));
        }
    }
    assert_eq!(two.dropped(), 0);
}

/// What is published after the gap at the beginning arrives.
async fn gaps(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    for n in 0..50 {
        let mut subscription = standing(&one, document(7)).await;
        two.publish(document(7), message(n)).unwrap();
        assert_eq!(next(&mut subscription).await, said(2, n));
    }
}

async fn bounded(installation: Installation) {
    const MESSAGES: u64 = 3 * WAITING_MESSAGES_MAX as u64;
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let mut slow = standing(&one, document(1)).await;
    let mut nodes = standing(&one, Topic::Nodes).await;
    for n in 0..MESSAGES {
        two.publish(document(1), message(n)).unwrap();
    }
    let mut end = standing(&one, document(1)).await;
    two.publish(document(1), message(MESSAGES)).unwrap();
    while next(&mut end).await != said(2, MESSAGES) {}
    two.publish(Topic::Nodes, message(0)).unwrap();
    assert_eq!(next(&mut nodes).await, said(2, 0), "others do not suffer");

    assert_eq!(next(&mut slow).await, Received::Gap);
    let mut rest = Vec::new();
    while let Some(received) = slow.try_next() {
        rest.push(received);
    }
    assert!((1..=WAITING_MESSAGES_MAX).contains(&rest.len()));
    let first = MESSAGES + 1 - rest.len() as u64;
    let latest: Vec<_> = (first..=MESSAGES).map(|n| said(2, n)).collect();
    assert!(rest == latest, "the latest, and no second gap");
    two.publish(document(1), message(9)).unwrap();
    assert_eq!(next(&mut slow).await, said(2, 9));
}

async fn too_large(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let mut subscription = standing(&one, document(1)).await;
    let refused = two.publish(document(1), Bytes::from(vec![1; MESSAGE_BYTES_MAX + 1]));
    assert!(matches!(refused, Err(BusError::TooLarge { .. })));
    let largest = Bytes::from(vec![2; MESSAGE_BYTES_MAX]);
    two.publish(document(1), largest.clone()).unwrap();
    let received = next(&mut subscription).await;
    assert!(matches!(received, Received::Message { message, .. } if message == largest));
}

async fn unsubscribing(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let Topic::Document(id) = document(1) else {
        unreachable!()
    };
    let id = id.to_string();
    let first = standing(&one, document(1)).await;
    let second = standing(&one, document(1)).await;
    drop(first);
    if let Installation::On(place) = &installation {
        assert!(place.is_heard(&["bus", "document", &id]).await);
        drop(second);
        until(|| async { !place.is_heard(&["bus", "document", &id]).await }).await;
    } else {
        drop(second);
    }
    let mut again = standing(&one, document(1)).await;
    two.publish(document(1), message(1)).unwrap();
    assert_eq!(next(&mut again).await, said(2, 1));
}

async fn many_topics(installation: Installation) {
    const TOPICS: u16 = 1_500;
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    for round in 0..3 {
        let mut subscriptions: Vec<_> = (0..TOPICS).map(|n| one.subscribe(document(n))).collect();
        // Every second goes again, perhaps before it stood, and half of those come back.
        let mut n = 0;
        subscriptions.retain(|_| {
            n += 1;
            n % 2 == 0
        });
        subscriptions.extend((0..TOPICS).step_by(4).map(|n| one.subscribe(document(n))));
        for subscription in &mut subscriptions {
            assert_eq!(next(subscription).await, Received::Gap);
        }
        for n in 0..TOPICS {
            two.publish(document(n), message(u64::from(n))).unwrap();
        }
        for subscription in &mut subscriptions {
            let n = (0..TOPICS).find(|n| document(*n) == subscription.topic());
            let message = said(2, n.unwrap().into());
            assert_eq!(next(subscription).await, message, "in round {round}");
        }
    }
}

async fn several_subscriptions_of_one_topic(installation: Installation) {
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let mut first = standing(&one, document(1)).await;
    let mut second = standing(&one, document(1)).await;
    two.publish(document(1), message(1)).unwrap();
    assert_eq!(next(&mut first).await, said(2, 1));
    assert_eq!(next(&mut second).await, said(2, 1));
    drop(first);
    two.publish(document(1), message(2)).unwrap();
    assert_eq!(next(&mut second).await, said(2, 2));
}

/// Runs each test on each server.
macro_rules! on_servers {
    ($($test:ident),* $(,)?) => {
        mod through_redis {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Place::new(super::Server::Redis)).await;
            })*
        }
        mod through_nats {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Place::new(super::Server::Nats)).await;
            })*
        }
    };
}

on_servers!(
    harmless,
    both_directions_work_after_a_cut,
    gaps_also_when_connections_break,
    others_hear_of_what_was_dropped,
    others_hear_of_what_was_lost_on_its_way,
    a_mute_connection_is_noticed,
    starts_without_the_server,
);

async fn harmless(place: Place) {
    let installation = Installation::On(place);
    let (one, two) = (installation.node(1).await, installation.node(2).await);
    let Installation::On(place) = &installation else {
        unreachable!()
    };
    let mut subscription = standing(&one, Topic::Nodes).await;
    let mut newer = vec![2, 0];
    newer.extend([3; 16]);
    let mut unknown = vec![1, 9];
    unknown.extend([3; 16]);
    for message in [
        &[][..],
        &[1],
        &[0; 18],
        &[255; 1_000],
        b"hello",
        &newer,
        &unknown,
    ] {
        place.publish_raw(&["bus", "nodes"], message).await;
    }
    place.publish_raw(&["bus", "document", "x"], b"hello").await;
    two.publish(Topic::Nodes, message(1)).unwrap();
    assert_eq!(next(&mut subscription).await, said(2, 1));
    let mut forged = vec![1, 0];
    forged.extend([3; 16]);
    forged.extend(b"7");
    place.publish_raw(&["bus", "nodes"], &forged).await;
    let known = next(&mut subscription).await;
    assert_eq!(known, said(3, 7), "the envelope is what others may write");
    assert_eq!(*one.state().borrow(), BusState::Connected);
}

async fn both_directions_work_after_a_cut(place: Place) {
    let proxy = Proxy::start(place.server.address()).await;
    let one = connect(&place, &place.server.url_of(proxy.address), 1).await;
    let two = connect(&place, &place.server.url(), 2).await;
    connected(&one).await;
    connected(&two).await;
    let mut of_one = standing(&one, document(1)).await;
    let mut rest: Vec<_> = (2..700).map(|n| one.subscribe(document(n))).collect();
    for subscription in &mut rest {
        assert_eq!(next(subscription).await, Received::Gap);
    }
    let mut of_two = standing(&two, document(1)).await;
    for round in 0..3 {
        proxy.cut();
        assert_eq!(next(&mut of_one).await, Received::Gap);
        for subscription in &mut rest {
            assert_eq!(next(subscription).await, Received::Gap);
        }
        two.publish(document(1), message(round)).unwrap();
        assert_eq!(next(&mut of_one).await, said(2, round));
        // What one says may be lost at first, which two is told.
        until(|| {
            one.publish(document(1), message(round)).unwrap();
            let received = of_two.try_next();
            ready(received == Some(said(1, round)))
        })
        .await;
        connected(&one).await;
    }
}

/// A number is missing only where there was a gap.
async fn gaps_also_when_connections_break(place: Place) {
    let (near, far) = (
        Proxy::start(place.server.address()).await,
        Proxy::start(place.server.address()).await,
    );
    let one = connect(&place, &place.server.url_of(near.address), 1).await;
    let two = connect(&place, &place.server.url_of(far.address), 2).await;
    connected(&one).await;
    connected(&two).await;
    let mut subscription = standing(&one, document(1)).await;
    let (mut n, mut expected) = (0_u64, None);
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Each cut comes when messages have arrived again since the last one.
    for cut in 0..12 {
        let (mut gaps, mut heard) = (0, 0);
        if cut % 2 == 0 {
            near.cut();
        } else {
            far.cut();
        }
        soon(async {
            while gaps == 0 || heard < 100 {
                n += 1;
                two.publish(document(1), message(n)).unwrap();
                pace.tick().await;
                while let Some(received) = subscription.try_next() {
                    match received {
                        Received::Gap => {
                            (gaps, heard) = (gaps + 1, 0);
                            expected = None;
                        }
                        Received::Message { message, .. } => {
                            let got: u64 = std::str::from_utf8(&message).unwrap().parse().unwrap();
                            assert!(expected.is_none_or(|expected| got == expected), "{got}");
                            expected = Some(got + 1);
                            heard += 1;
                        }
                    }
                }
            }
        })
        .await;
    }
}

async fn others_hear_of_what_was_dropped(place: Place) {
    let proxy = Proxy::start(place.server.address()).await;
    let one = connect(&place, &place.server.url_of(proxy.address), 1).await;
    let two = connect(&place, &place.server.url(), 2).await;
    connected(&one).await;
    connected(&two).await;
    let mut told = standing(&two, document(1)).await;
    let mut untold = standing(&two, document(2)).await;
    proxy.refuse(true);
    proxy.cut();
    is(&one, BusState::Disconnected).await;
    until(|| {
        one.publish(document(1), message(1)).unwrap();
        ready(one.dropped() > 100)
    })
    .await;
    proxy.refuse(false);
    assert_eq!(next(&mut told).await, Received::Gap);
    connected(&one).await;
    one.publish(document(2), message(2)).unwrap();
    assert_eq!(next(&mut untold).await, said(1, 2));
    assert_eq!(told.try_next(), None);
}

async fn others_hear_of_what_was_lost_on_its_way(place: Place) {
    let proxy = Proxy::start(place.server.address()).await;
    let two = connect(&place, &place.server.url(), 2).await;
    let mut subscription = standing(&two, document(1)).await;
    // Nothing but what is published here is on the way.
    let mut settings = place.settings();
    settings.ping_interval = Duration::from_secs(60);
    let url = place.server.url_of(proxy.address);
    let one = AnyBus::connect(&url, node(1), settings).await.unwrap();
    connected(&one).await;
    one.publish(document(1), message(0)).unwrap();
    assert_eq!(next(&mut subscription).await, said(1, 0));
    for round in 1..4 {
        proxy.lose_next();
        one.publish(document(1), message(100)).unwrap();
        assert_eq!(next(&mut subscription).await, Received::Gap);
        assert!(proxy.has_lost());
        one.publish(document(1), message(round)).unwrap();
        assert_eq!(next(&mut subscription).await, said(1, round));
    }
}

async fn a_mute_connection_is_noticed(place: Place) {
    let proxy = Proxy::start(place.server.address()).await;
    let mut settings = place.settings();
    settings.ping_interval = Duration::from_millis(200);
    settings.answer_timeout = Duration::from_millis(1_000);
    let url = place.server.url_of(proxy.address);
    let one = AnyBus::connect(&url, node(1), settings).await.unwrap();
    connected(&one).await;
    let mut subscription = standing(&one, document(1)).await;
    proxy.mute();
    is(&one, BusState::Disconnected).await;
    assert_eq!(next(&mut subscription).await, Received::Gap);
    connected(&one).await;
}

async fn starts_without_the_server(place: Place) {
    let address = Proxy::dead().await;
    let one = connect(&place, &place.server.url_of(address), 1).await;
    let two = connect(&place, &place.server.url(), 2).await;
    let mut subscription = one.subscribe(document(1));
    one.publish(document(1), message(0)).unwrap();
    assert_eq!(one.dropped(), 1);
    assert_eq!(*one.state().borrow(), BusState::Disconnected);
    let _proxy = Proxy::start_at(address, place.server.address()).await;
    connected(&one).await;
    connected(&two).await;
    assert_eq!(next(&mut subscription).await, Received::Gap);
    two.publish(document(1), message(1)).unwrap();
    assert_eq!(next(&mut subscription).await, said(2, 1));
}

#[tokio::test]
async fn addresses_and_settings_that_cannot_be_used() {
    for url in [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "redis://",
        "nats://",
        "redis://a:b:c",
    ] {
        let refused = AnyBus::connect(url, node(1), BusSettings::default()).await;
        assert!(
            matches!(refused, Err(BusError::Invalid { .. })),
            "{url}: {refused:?}"
        );
    }
    for prefix in ["", "a.b", "a:b", "a b", "a*", "é", &"x".repeat(33)] {
        let mut settings = BusSettings::default();
        settings.prefix = prefix.to_owned();
        let refused = AnyBus::connect(&Server::Redis.url(), node(1), settings).await;
        assert!(matches!(refused, Err(BusError::Invalid { .. })), "{prefix}");
    }
    let secret = AnyBus::connect("redis://:secret@a:b", node(1), BusSettings::default()).await;
    assert!(!secret.unwrap_err().to_string().contains("secret"));
}

/// What a server hears first from a client of `url_scheme`, after it has said `greeting`.
async fn first_words(url_scheme: &str, greeting: &str) -> u8 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{url_scheme}://{}", listener.local_addr().unwrap());
    let _bus = AnyBus::connect(&url, node(1), BusSettings::default())
        .await
        .unwrap();
    let (mut client, _) = soon(listener.accept()).await.unwrap();
    client.write_all(greeting.as_bytes()).await.unwrap();
    soon(client.read_u8()).await.unwrap()
}

#[tokio::test]
async fn tls_where_the_address_says_so() {
    const HANDSHAKE: u8 = 0x16;
    let info = format!(
        "INFO {}\r\n",
        r#"{"server_id":"a","host":"","port":1,"headers":true,"max_payload":1048576,"proto":1}"#
    );
    assert_eq!(first_words("rediss", "").await, HANDSHAKE);
    assert_eq!(first_words("tls", &info).await, HANDSHAKE);
    assert_eq!(first_words("redis", "").await, b'*');
    assert_eq!(first_words("nats", &info).await, b'C');
}
