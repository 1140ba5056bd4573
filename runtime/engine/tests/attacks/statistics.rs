//! Answers from metadata and from the engine itself instead of from the gate.

refused! {
    /// The plan with its row counts. Plain engine: exact numbers of rows at every step.
    explain_analyze, gives, "EXPLAIN ANALYZE SELECT COUNT(*) FROM people WHERE age = 23", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// The plan, whose optimiser may have folded statistics into literals.
    explain, gives, "EXPLAIN SELECT COUNT(*) FROM people", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// The engine's own catalogue. Plain engine: tables and columns of everybody.
    information_schema, alone, "SELECT * FROM information_schema.tables", ["sql/resolve", "plan/table"]
}
refused! {
    /// A file read by its path. Plain engine: any file of the machine.
    file_by_path, alone, "SELECT COUNT(*) FROM 'people.parquet'", ["sql/resolve", "plan/table"]
}
refused! {
    /// A file read by a function. Plain engine: its footer.
    file_by_function, alone, "SELECT * FROM parquet_metadata('people.parquet')", ["sql/not-supported"]
}
refused! {
    /// Rows written away. Plain engine: a file with everything.
    copy_out, alone, "COPY (SELECT * FROM people) TO 'out.csv'", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// A table over somebody else's file. Plain engine: that file.
    external_table, alone, "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/'", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// Settings of the engine. Plain engine: changed behaviour for all that follow.
    settings, alone, "SET datafusion.execution.collect_statistics = true", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// A description with statistics. Plain engine: columns and types.
    describe, gives, "DESCRIBE people", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// Two statements, the second unseen. Plain engines: both.
    two_statements, alone, "SELECT COUNT(*) FROM people; SELECT * FROM people", ["sql/parse", "sql/not-a-query"]
}
refused! {
    /// The version and settings as functions. Plain engine: what it runs on.
    version, gives, "SELECT version(), COUNT(*) FROM people GROUP BY 1", ["function/not-allowed", "group/open"]
}

/// A count from the Parquet footer would be exact: DataFusion's `AggregateStatistics` answers so. Plain engine: n.
#[tokio::test(flavor = "multi_thread")]
async fn count_from_the_footer() {
    let world = crate::common::World::new(300).await;
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..6 {
        let id = format!("count-{i}");
        let sql = format!("SELECT COUNT(*) AS n{i} FROM people");
        let text = crate::common::World::product_text(&id, &sql, "").replace("epsilon = 5.0", "epsilon = 0.1");
        world.approve(&id, &text, "operator", &["research"]).await;
        let answer = world.run(&id, &[], "research").await.unwrap();
        seen.insert(format!("{:?}", answer.released.batch().column(0)));
    }
    assert!(seen.len() > 2, "noise of ε = 0.1 gives different counts");
}
