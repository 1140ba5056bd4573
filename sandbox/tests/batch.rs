//! Columns of all types, sliced and not, with NULLs and dictionaries; see `common/batch.rs`. And what a batch
//! costs the allocator.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

mod common;

use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array};
use common::batch::{Echoes, check};
use common::*;
use yunei_sandbox::{Model, SandboxError};

#[test]
fn seeded_columns_arrive_as_written_down() {
    let echoes = Echoes::new();
    let tried: usize = (0..3000).map(|seed| check(seed, &echoes)).sum();
    assert!(tried > 15_000, "{tried}");
}

#[test]
fn several_models_in_one_call_say_what_each_says_alone() {
    let sandbox = sandbox();
    let (risk, remembers) = (folder(&sandbox, "credit-risk/c"), folder(&sandbox, "hostile/remembers"));
    let bands = folder(&sandbox, "concentration/rust");
    for n in [0, 1, 1024, 3000] {
        let people = columns(&people(n, 4));
        let calls: [(&Model, &[ArrayRef]); 3] = [(&risk, &people), (&remembers, &people), (&bands, &people[..4])];
        let together = Model::score_all(&calls, n).unwrap();
        for ((model, columns), scores) in calls.iter().zip(together) {
            assert_eq!(model.score(columns, n).unwrap(), scores);
        }
    }
    let short = columns(&people(2, 4));
    let wrong: [(&Model, &[ArrayRef]); 2] = [(&risk, &short), (&bands, &short)];
    assert_eq!(Model::score_all(&wrong, 2), Err(SandboxError::Columns { expected: 4, got: 5 }));
    assert_eq!(Model::score_all(&[], 2), Ok(Vec::new()));
}

/// A batch allocates its results and nothing else: the count does not depend on the number of rows.
#[test]
fn a_batch_allocates_its_results_alone() {
    let sandbox = sandbox();
    let row = folder(&sandbox, "concentration/c");
    let unit = folder(&sandbox, "household-energy");
    let allocations = |work: &dyn Fn()| {
        work();
        allocation_counter::measure(work).count_total
    };
    let plain = |n| columns(&people(n, 4))[..4].to_vec();
    let mixed = |n: usize| -> Vec<ArrayRef> {
        let keys: arrow_array::Int8Array = (0..n).map(|i| Some((i % 2) as i8)).collect();
        let values = Arc::new(Int64Array::from(vec![7, 9]));
        let nulls: Float64Array = (0..n).map(|i| (i % 3 > 0).then_some(i as f64)).collect();
        let mut columns = plain(n);
        columns[1] = Arc::new(DictionaryArray::<Int8Type>::new(keys, values));
        columns[2] = Arc::new(nulls);
        columns
    };
    for make in [&plain as &dyn Fn(usize) -> Vec<ArrayRef>, &mixed] {
        let counts = [500, 8192].map(|n| {
            let columns = make(n);
            allocations(&|| assert_eq!(row.score(&columns, n).unwrap().len(), n))
        });
        assert_eq!(counts[0], counts[1]);
        // The values and the buffer that owns them.
        assert!(counts[1] <= 2, "{counts:?}");
    }
    let months = columns(&(0..4096).map(|i| [f64::from(i % 12 + 1), 5.0]).collect::<Vec<_>>());
    let units: Vec<_> = (0..256).map(|i| i * 16..i * 16 + 16).collect();
    let count = allocations(&|| assert_eq!(unit.fold(&months, &units).unwrap().len(), 256));
    assert!(count <= 2, "{count}");
}
