//! Predicates that choose a person: Denning & Denning 1979, "The tracker", section on restricting identifiers.

refused! {
    /// Rows chosen by an identifier. Plain engine: whether the person is in, and everything about it.
    equality, gives, "SELECT COUNT(*) FROM people WHERE id = 'P0000003'", ["filter/identifier"]
}
refused! {
    /// By a pattern. Plain engine: the same.
    pattern, gives, "SELECT COUNT(*) FROM people WHERE id LIKE '%0003'", ["filter/identifier"]
}
refused! {
    /// By a list. Plain engine: the same of a few.
    list, gives, "SELECT COUNT(*) FROM people WHERE id IN ('P0000003', 'P0000004')", ["filter/identifier"]
}
refused! {
    /// By a range of two neighbours. Plain engine: the person between them.
    range, gives, "SELECT COUNT(*) FROM people WHERE id BETWEEN 'P0000003' AND 'P0000003'", ["filter/identifier"]
}
refused! {
    /// Everybody but one: the complement of a person. Plain engine: the total less one.
    complement, gives, "SELECT COUNT(*) FROM people WHERE NOT (id = 'P0000003')", ["filter/identifier"]
}
refused! {
    /// By a part of the identifier, which holds birth date and region in real ones. Plain engine: few or one.
    part, gives, "SELECT COUNT(*) FROM people WHERE substr(id, 5, 4) = '0003'", ["filter/identifier"]
}
refused! {
    /// Inside an aggregate. Plain engine: the person's income.
    inside_sum, gives, "SELECT SUM(CASE WHEN id = 'P0000003' THEN income ELSE 0 END) FROM people",
    ["aggregate/identifier", "filter/identifier"]
}
refused! {
    /// Through a derived column, some layers up. Plain engine: the person.
    through_layers, gives,
    "SELECT COUNT(*) FROM (SELECT y FROM (SELECT concat(id, '') AS y FROM people) a) b WHERE y = 'P0000003'",
    ["filter/identifier"]
}
refused! {
    /// By the length of the identifier, as a bit that tells. Plain engine: a bit.
    by_length, gives, "SELECT COUNT(*) FROM people WHERE character_length(id) = 8", ["filter/identifier"]
}
refused! {
    /// By a join with a list of one's own. Plain engine: the persons on the list.
    own_list, gives, "SELECT COUNT(*) FROM people p JOIN (VALUES ('P0000003')) v(x) ON p.id = v.x",
    ["plan/node", "join/identifier-with-open", "join/open-not-unique"]
}
refused! {
    /// By EXISTS. Plain engine: whether the person is there.
    existence, gives, "SELECT 1 WHERE EXISTS (SELECT 1 FROM people WHERE id = 'P0000003')",
    ["release/raw-rows", "filter/identifier", "plan/subquery-over-private"]
}
refused! {
    /// By IN over a subquery of the same data. Plain engine: the person.
    semi_join, gives, "SELECT COUNT(*) FROM people WHERE id IN (SELECT id FROM people WHERE id = 'P0000003')",
    ["plan/subquery-over-private", "filter/identifier", "join/kind"]
}
refused! {
    /// By a sensitive attribute that may not be a condition. Plain engine: who earns just so much.
    sensitive_condition, gives, "SELECT COUNT(*) FROM people WHERE income = 43757", ["column/usage"]
}
refused! {
    /// As a join's further condition. Plain engine: the person.
    join_condition, gives, "SELECT COUNT(*) FROM people p JOIN meters m ON p.id = m.id AND p.id = 'P0000004'",
    ["filter/identifier"]
}
