//! Cost of one submission through a live document, and of an edit of its content.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use motet_document::{
    Access, Command, Document, Member, Settings, Start, Submission, content::text::RichText,
};
use motet_model::{DocumentId, Revision, SessionId, UserId};
use motet_ot::{Decoded, Delta, decode};

fn document(size: usize) -> Delta {
    Delta::new().insert(&"lorem ipsum dolor sit amet\n".repeat(size / 27))
}

fn submission(c: &mut Criterion) {
    let mut group = c.benchmark_group("submission");
    for size in [1_000, 100_000, 10_000_000] {
        let session = SessionId::from_bytes([1; 16]);
        let id = DocumentId::from_bytes([1; 16]);
        let mut live = Document::open(id, None, Settings::default()).expect("a new document");
        let member = Member {
            user: UserId::from_bytes([1; 16]),
            name: "Bench".into(),
            color: None,
            access: Access::Write,
        };
        let client_id = "bench".parse().expect("a client id");
        let join = Command::Join {
            session,
            member,
            client_id,
            start: Start::Text,
        };
        let delta = document(size);
        let first = Submission::new(
            Revision::ZERO,
            1,
            Decoded {
                delta,
                extent_utf16: 0,
            },
        );
        let (_events, plan) = live.plan(
            0,
            [
                join,
                Command::Submit {
                    session,
                    submission: first,
                },
            ],
        );
        let _events = live.commit(plan, Revision::new(1));
        let (mut seq, mut at) = (1, 0_usize);
        group.bench_function(format!("one character in {size} bytes"), |b| {
            b.iter(|| {
                seq += 1;
                at = (at + 7_919) % (size / 2);
                let json = format!(r#"{{"ops":[{{"retain":{}}},{{"insert":"x"}}]}}"#, at + 1);
                let decoded = decode(json.as_bytes()).expect("a delta");
                let submission = Submission::new(live.head(), seq, decoded);
                let (_events, plan) = live.plan(
                    0,
                    [Command::Submit {
                        session,
                        submission,
                    }],
                );
                let head = live.head().next();
                black_box(live.commit(plan, head))
            });
        });
    }
    group.finish();
}

fn content(c: &mut Criterion) {
    let mut group = c.benchmark_group("content");
    for size in [1_000, 100_000, 10_000_000] {
        let content = RichText::from_delta(&document(size)).expect("a document");
        let mut edited = content.clone();
        let mut at = 0_usize;
        group.bench_function(format!("insert and delete in {size} bytes"), |b| {
            b.iter(|| {
                at = (at + 7_919) % (size / 2);
                let insert = Delta::new().retain(at + 1).insert("x");
                let delete = Delta::new().retain(at + 1).delete(1);
                edited.apply(&insert).expect("in range");
                edited.apply(&delete).expect("in range");
            });
        });
        if size <= 100_000 {
            group.bench_function(format!("to_delta of {size} bytes"), |b| {
                b.iter_batched(
                    || content.clone(),
                    |it| it.to_delta(),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, submission, content);
criterion_main!(benches);
