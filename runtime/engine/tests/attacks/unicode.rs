//! Names that look like others: UTR 36, "Unicode Security Considerations".

refused! {
    /// A Cyrillic letter in a column's name: another column, which there is not. Plain engine: not found, or the twin.
    homoglyph_column, alone, "SELECT SUM(\"inc\u{43e}me\") FROM people", ["sql/resolve"]
}
refused! {
    /// Full-width letters: equal after NFKC, but another name. Plain engine: not found.
    full_width_column, alone, "SELECT SUM(\"ｉｎｃｏｍｅ\") FROM people", ["sql/resolve"]
}
refused! {
    /// An invisible character in the unit column's name. Plain engine: not found.
    invisible_character, alone, "SELECT COUNT(*) FROM people WHERE \"i\u{200b}d\" = 'x'", ["sql/resolve"]
}
refused! {
    /// Another case of the name, quoted. Plain engine: not found.
    other_case, alone, "SELECT SUM(\"INCOME\") FROM people", ["sql/resolve"]
}
refused! {
    /// A homoglyph alias of an allowed column for a forbidden one: usage follows the value, not the name. Plain engine: the
    /// forbidden column.
    homoglyph_alias, gives, "SELECT \"сity\", COUNT(*) FROM (SELECT id AS \"сity\" FROM people) t GROUP BY 1",
    ["group/identifier", "release/raw-rows"]
}
refused! {
    /// A dataset's name with a look-alike letter. Plain engine: not found.
    homoglyph_table, alone, "SELECT COUNT(*) FROM \"реople\"", ["sql/resolve"]
}
refused! {
    /// A comment that hides the rest from a reader by direction marks. What runs is what is parsed.
    direction_marks, gives, "SELECT /*\u{202e} yllamron */ id FROM people", ["release/raw-rows"]
}
