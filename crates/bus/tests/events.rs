//! One suite for every stream of events. Each test of an invariant bears its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use motet_bus::{
    AnyConsumer, AnyEvents, BusError, Consumer, Delivered, EVENT_BYTES_MAX, Event, EventKind,
    Events, EventsSettings,
};
use motet_model::DocumentId;

use self::support::{Place, Server, proxy::Proxy, raw_nats, raw_redis, soon, until};

const EDIT: EventKind = EventKind::DocumentEdit;
const AUDIT: EventKind = EventKind::AuditLog;

/// Settings of somebody in a hurry.
fn settings(place: &Place) -> EventsSettings {
    let mut settings = EventsSettings::default();
    settings.bus = place.settings();
    settings.ack_wait = Duration::from_millis(1_000);
    settings
}

async fn connect(url: &str, settings: EventsSettings) -> AnyEvents {
    AnyEvents::connect(url, settings).await.unwrap()
}

async fn open(place: &Place) -> AnyEvents {
    connect(&place.server.url(), settings(place)).await
}

fn event(n: u64) -> Event {
    Event {
        id: format!("event-{n}"),
        kind: EDIT,
        key: Some(DocumentId::from_bytes([7; 16])),
        at_ms: 1_700_000_000_000 + n,
        payload: Bytes::from(format!(r#"{{"n":{n}}}"#)),
    }
}

fn events(numbers: std::ops::Range<u64>) -> Vec<Event> {
    numbers.map(event).collect()
}

/// Sends until it is stored.
async fn send(all: &AnyEvents, events: &[Event]) {
    until(|| async {
        match all.send(events).await {
            Ok(()) => true,
            Err(BusError::Unavailable { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

async fn consume(all: &AnyEvents, kinds: &[EventKind], group: &str) -> AnyConsumer {
    soon(async {
        loop {
            match all.consume(kinds, group).await {
                Ok(consumer) => return consumer,
                Err(BusError::Unavailable { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

async fn next(consumer: &mut AnyConsumer) -> Delivered {
    soon(consumer.next()).await.unwrap()
}

/// The next so many, acknowledged.
async fn take(consumer: &mut AnyConsumer, count: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let delivered = next(consumer).await;
        consumer.ack(&delivered).await.unwrap();
        taken.push(delivered.event);
    }
    taken
}

/// Runs each test of the suite on each server.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod redis {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Place::new(super::Server::Redis)).await;
            })*
        }
        mod nats {
            $(#[tokio::test] async fn $test() {
                super::$test(super::Place::new(super::Server::Nats)).await;
            })*
        }
    };
}

contract!(
    stored,
    in_turn,
    repeats,
    at_least_once,
    apart,
    kinds,
    refused,
    limits,
    harmless,
    newer_formats,
    cut_connections,
    starts_without_the_server,
    a_server_that_forgets,
);

async fn stored(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..1)).await;
    all.send(&[]).await.unwrap();
    all.send(&events(1..300)).await.unwrap();
    assert_eq!(place.stored(EDIT).await, 300);
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    assert!(take(&mut consumer, 300).await == events(0..300));
}

async fn in_turn(place: Place) {
    const ROUND: u64 = 60;
    let proxy = Proxy::start(place.server.address()).await;
    let all = connect(&place.server.url_of(proxy.address), settings(&place)).await;
    send(&all, &events(0..1)).await;
    let mut last = 1;
    for round in 0..20 {
        // Of two documents, and of the trail; and so large that they go out in several pieces.
        let some: Vec<_> = (last..last + ROUND)
            .map(|n| Event {
                kind: if n % 3 == 0 { AUDIT } else { EDIT },
                key: Some(DocumentId::from_bytes([u8::try_from(n % 2).unwrap(); 16])),
                payload: Bytes::from(vec![b' '; 10_000]),
                ..event(n)
            })
            .collect();
        last += ROUND;
        proxy.lose_next();
        send(&all, &some).await;
        assert!(proxy.has_lost(), "round {round}");
    }
    let mut seen = BTreeMap::new();
    for kind in [EDIT, AUDIT] {
        let mut consumer = consume(&all, &[kind], "readers").await;
        let stored = usize::try_from(place.stored(kind).await).unwrap();
        for event in take(&mut consumer, stored).await {
            let order = (kind, event.key.filter(|_| kind == EDIT));
            let known: &mut BTreeSet<_> = seen.entry(order).or_default();
            if known.last().is_none_or(|last| event.at_ms > *last) {
                known.insert(event.at_ms);
            } else {
                assert!(known.contains(&event.at_ms), "{} came too late", event.id);
            }
        }
    }
    let count: usize = seen.values().map(BTreeSet::len).sum();
    assert_eq!(count as u64, last);
}

/// Redis keeps both, with the same id.
async fn repeats(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..5)).await;
    all.send(&events(0..7)).await.unwrap();
    let expected = match place.server {
        Server::Redis => [events(0..5), events(0..7)].concat(),
        Server::Nats => events(0..7),
    };
    assert_eq!(place.stored(EDIT).await, expected.len() as u64);
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    assert_eq!(take(&mut consumer, expected.len()).await, expected);
}

async fn at_least_once(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..6)).await;
    let mut first = consume(&all, &[EDIT], "workers").await;
    assert_eq!(take(&mut first, 2).await, events(0..2));
    let taken = next(&mut first).await;
    assert_eq!((taken.event, taken.redelivered), (event(2), false));
    drop(first);

    let mut second = consume(&open(&place).await, &[EDIT], "workers").await;
    let mut left: BTreeSet<_> = (2..6).map(|n| event(n).id).collect();
    while !left.is_empty() {
        let delivered = next(&mut second).await;
        assert!(left.remove(&delivered.event.id), "{delivered:?}");
        if delivered.event == event(2) {
            assert!(delivered.redelivered);
        }
        second.ack(&delivered).await.unwrap();
    }
    // What was acknowledged does not come again: the next that comes is new.
    tokio::time::timeout(Duration::from_millis(1_500), second.next())
        .await
        .unwrap_err();
    all.send(&events(6..7)).await.unwrap();
    assert_eq!(next(&mut second).await.event, event(6));
}

async fn apart(place: Place) {
    const EVENTS: u64 = 600;
    let mut patient = settings(&place);
    patient.ack_wait = Duration::from_secs(30);
    let all = connect(&place.server.url(), patient).await;
    let mut other = consume(&all, &[EDIT], "others").await;
    let mut consumers = Vec::new();
    for _ in 0..2 {
        consumers.push(consume(&all, &[EDIT], "workers").await);
    }
    let (taken, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let mut workers = tokio::task::JoinSet::new();
    for (worker, mut consumer) in consumers.into_iter().enumerate() {
        let taken = taken.clone();
        workers.spawn(async move {
            while let Ok(delivered) = consumer.next().await {
                consumer.ack(&delivered).await.unwrap();
                taken.send((worker, delivered.event.id)).unwrap();
            }
        });
    }
    let mut ids = BTreeSet::new();
    let mut by_worker = [0, 0];
    for from in (0..EVENTS).step_by(20) {
        send(&all, &events(from..from + 20)).await;
        for _ in 0..20 {
            let (worker, id) = soon(arrived.recv()).await.unwrap();
            by_worker[worker] += 1;
            assert!(ids.insert(id), "each goes to one of a group");
        }
    }
    assert!(by_worker.iter().all(|count| *count > 0), "{by_worker:?}");
    let seen = take(&mut other, usize::try_from(EVENTS).unwrap()).await;
    assert!(seen == events(0..EVENTS), "and each group gets all");
}

async fn kinds(place: Place) {
    let all = open(&place).await;
    let mixed: Vec<_> = (0..8)
        .map(|n| Event {
            kind: EventKind::ALL[usize::try_from(n).unwrap() % 4],
            key: event(n).key.filter(|_| n < 4),
            ..event(n)
        })
        .collect();
    send(&all, &mixed).await;
    let mut consumer = consume(&all, &[AUDIT, EDIT, AUDIT], "readers").await;
    let mut taken = take(&mut consumer, 4).await;
    taken.sort_by_key(|event| event.at_ms);
    let wanted: Vec<_> = (mixed.into_iter())
        .filter(|event| [EDIT, AUDIT].contains(&event.kind))
        .collect();
    assert_eq!(taken, wanted);
}

async fn refused(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..1)).await;
    let too_large = Event {
        payload: Bytes::from(vec![b' '; EVENT_BYTES_MAX + 1]),
        ..event(2)
    };
    let sent = all.send(&[event(1), too_large]).await;
    assert!(matches!(sent, Err(BusError::TooLarge { .. })));
    for id in ["", "a b", "a\r\nb: c", "é", &"x".repeat(129)] {
        let id = id.to_owned();
        let sent = all.send(&[event(1), Event { id, ..event(2) }]).await;
        assert!(matches!(sent, Err(BusError::Invalid { .. })), "{sent:?}");
    }
    assert_eq!(place.stored(EDIT).await, 1, "nothing of what was refused");
    let largest = Event {
        id: "x".repeat(128),
        payload: Bytes::from(vec![b' '; EVENT_BYTES_MAX]),
        ..event(2)
    };
    all.send(&[largest]).await.unwrap();
    for (kinds, group) in [
        (&[][..], "g"),
        (&[EDIT], ""),
        (&[EDIT], "a.b"),
        (&[EDIT], "a b"),
    ] {
        let consumer = all.consume(kinds, group).await;
        assert!(matches!(consumer, Err(BusError::Invalid { .. })), "{group}");
    }
}

async fn limits(place: Place) {
    let mut few = settings(&place);
    few.events_max = 100;
    let all = connect(&place.server.url(), few).await;
    for n in 0..20 {
        send(&all, &events(n * 50..n * 50 + 50)).await;
    }
    // Redis removes whole blocks of 100.
    let stored = place.stored(EDIT).await;
    assert!((100..=200).contains(&stored), "{stored}");

    let mut short = settings(&place);
    short.age_max = Duration::from_secs(1);
    let all = connect(&place.server.url(), short).await;
    let mut most = 0;
    let mut number = 1_000;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    soon(async {
        loop {
            pace.tick().await;
            let some: Vec<_> = (number..number + 50)
                .map(|n| Event {
                    kind: AUDIT,
                    ..event(n)
                })
                .collect();
            number += 50;
            send(&all, &some).await;
            let stored = place.stored(AUDIT).await;
            if stored < most {
                return;
            }
            most = stored;
        }
    })
    .await;
}

/// Stores what is no event.
async fn store_raw(place: &Place, fields: &[(&str, &str)]) {
    let name = place.name(&["events", EDIT.as_str()]);
    match place.server {
        Server::Redis => {
            let mut connection = raw_redis().await;
            let mut add = ::redis::cmd("XADD");
            add.arg(name).arg("*").arg("some").arg("thing");
            for (field, value) in fields {
                add.arg(*field).arg(*value);
            }
            let _: String = add.query_async(&mut connection).await.unwrap();
        }
        Server::Nats => {
            let mut headers = HeaderMap::new();
            for (field, value) in fields {
                let header = match *field {
                    "format" => "Motet-Format",
                    "id" => "Nats-Msg-Id",
                    "key" => "Motet-Key",
                    "at" => "Motet-At",
                    other => other,
                };
                headers.insert(header, *value);
            }
            let context = jetstream::new(raw_nats().await);
            let stored = context
                .publish_with_headers(name, headers, "{}".into())
                .await;
            stored.unwrap().await.unwrap();
        }
    }
}

async fn harmless(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..1)).await;
    for fields in [
        &[][..],
        &[("format", "0"), ("id", "a"), ("at", "1")],
        &[("format", "x"), ("id", "b"), ("at", "1")],
        &[("format", "-1"), ("id", "c"), ("at", "1")],
        &[("format", "1")],
        &[("format", "1"), ("id", "d")],
        &[("format", "1"), ("id", "e"), ("at", "-1")],
        &[("format", "1"), ("id", "f"), ("at", "1"), ("key", "x")],
        &[("format", "1"), ("id", "g h"), ("at", "1")],
    ] {
        store_raw(&place, fields).await;
    }
    all.send(&events(1..2)).await.unwrap();
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    assert_eq!(take(&mut consumer, 2).await, events(0..2));
}

async fn newer_formats(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..1)).await;
    store_raw(&place, &[("format", "2"), ("event", "z")]).await;
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    assert_eq!(take(&mut consumer, 1).await, events(0..1));
    for _ in 0..2 {
        // It stays, for a program that can read it.
        let newer = soon(consumer.next()).await;
        assert!(matches!(newer, Err(BusError::NewerFormat { found: 2, .. })));
    }
}

async fn cut_connections(place: Place) {
    let proxy = Proxy::start(place.server.address()).await;
    let all = connect(&place.server.url_of(proxy.address), settings(&place)).await;
    send(&all, &events(0..5)).await;
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    let mut seen = BTreeSet::new();
    for round in 1..6 {
        proxy.cut();
        send(&all, &events(round * 5..round * 5 + 5)).await;
        proxy.cut();
        while (0..round * 5 + 5).any(|n| !seen.contains(&event(n).id)) {
            let delivered = next(&mut consumer).await;
            // What is not acknowledged comes again.
            if consumer.ack(&delivered).await.is_ok() {
                seen.insert(delivered.event.id);
            }
        }
    }
}

async fn starts_without_the_server(place: Place) {
    let address = Proxy::dead().await;
    let all = connect(&place.server.url_of(address), settings(&place)).await;
    let sent = soon(all.send(&events(0..1))).await;
    assert!(matches!(sent, Err(BusError::Unavailable { .. })));
    let consumer = soon(all.consume(&[EDIT], "readers")).await;
    assert!(matches!(consumer, Err(BusError::Unavailable { .. })));
    let _proxy = Proxy::start_at(address, place.server.address()).await;
    send(&all, &events(1..3)).await;
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    assert_eq!(take(&mut consumer, 2).await, events(1..3));
}

async fn a_server_that_forgets(place: Place) {
    let all = open(&place).await;
    send(&all, &events(0..2)).await;
    let mut consumer = consume(&all, &[EDIT], "readers").await;
    assert_eq!(take(&mut consumer, 2).await, events(0..2));
    place.forget().await;
    // The stream is made anew, and so is the group.
    send(&all, &events(2..4)).await;
    assert_eq!(take(&mut consumer, 2).await, events(2..4));
}

/// Of NATS: Redis has no limits but those that come with each event.
#[tokio::test]
async fn who_only_reads_changes_no_limit() {
    let place = Place::new(Server::Nats);
    let all = open(&place).await;
    send(&all, &events(0..1)).await;
    let mut others = settings(&place);
    others.age_max = Duration::from_secs(3_600);
    let reading = connect(&place.server.url(), others).await;
    consume(&reading, &[EDIT], "readers").await;
    let context = jetstream::new(raw_nats().await);
    let stream = context.get_stream(format!("{}-events", place.prefix)).await;
    let age_max = stream.unwrap().cached_info().config.max_age;
    assert_eq!(age_max, EventsSettings::default().age_max);
}
