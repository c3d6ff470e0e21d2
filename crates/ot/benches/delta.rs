//! Cost of one operation on small deltas.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use motet_ot::{Attributes, Delta, Side, decode};
use serde_json::json;

fn small(c: &mut Criterion) {
    let typing = Delta::new().retain(40).insert("x");
    let other = Delta::new().retain(12).insert("y").retain(9).delete(3);
    let bold = Attributes::from_iter([("bold".to_owned(), json!(true))]);
    let format = Delta::new().retain(10).retain_with(20, bold);
    let document = Delta::new().insert(&"lorem ipsum ".repeat(8));
    let json = typing.to_json();

    let mut group = c.benchmark_group("small");
    group.bench_function("transform typing", |b| {
        b.iter(|| black_box(&other).transform(black_box(&typing), Side::Left));
    });
    group.bench_function("transform format", |b| {
        b.iter(|| black_box(&other).transform(black_box(&format), Side::Left));
    });
    group.bench_function("compose typing", |b| {
        b.iter(|| black_box(&other).compose(black_box(&typing)));
    });
    group.bench_function("compose format", |b| {
        b.iter(|| black_box(&typing).compose(black_box(&format)));
    });
    group.bench_function("invert", |b| {
        b.iter(|| black_box(&other).invert(black_box(&document)))
    });
    group.bench_function("transform position", |b| {
        b.iter(|| black_box(&other).transform_position(black_box(30), Side::Left));
    });
    group.bench_function("decode", |b| b.iter(|| decode(black_box(json.as_bytes()))));
    group.bench_function("encode", |b| b.iter(|| black_box(&typing).to_json()));
    group.finish();
}

criterion_group!(benches, small);
criterion_main!(benches);
