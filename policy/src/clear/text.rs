//! What a text function makes of a declared domain: the same arithmetic as the engine's, over public values.

use super::value::{Value, Work, without_null};
use crate::facts::{Function, Literal};
use std::sync::Arc;

/// The domain of `function(arguments)` where one argument has a domain of texts and the others are literals.
pub(crate) fn image(function: Function, arguments: &[Value], work: &Work) -> Option<Arc<Vec<Literal>>> {
    let open = |v: &Value| literal(v).is_none();
    // Where all are literals, the first is taken as the one that varies.
    let at = arguments.iter().position(open).unwrap_or(0);
    if arguments.is_empty() {
        return None;
    }
    if arguments[at + 1..].iter().any(open) {
        return None;
    }
    // `concat` of NULL is not NULL: its value is then outside of every image.
    if function == Function::Concat && arguments[at].nullable {
        return None;
    }
    let domain = arguments[at].domain.as_ref()?;
    if !work.take(domain.len()) {
        return None;
    }
    let made = domain.iter().map(|of| {
        let Literal::Text(text) = of else { return None };
        apply(function, text, at, arguments).map(Literal::Text)
    });
    Some(Arc::new(without_null(&made.collect::<Option<Vec<_>>>()?)))
}

/// The one literal that a value is.
fn literal(value: &Value) -> Option<&Literal> {
    match value.domain.as_deref().map(Vec::as_slice) {
        Some([one]) if !value.nullable => Some(one),
        _ => None,
    }
}

fn number(arguments: &[Value], at: usize) -> Option<i64> {
    match literal(arguments.get(at)?)? {
        Literal::Int(i) => Some(*i),
        _ => None,
    }
}

fn apply(function: Function, text: &str, at: usize, arguments: &[Value]) -> Option<String> {
    if function == Function::Concat {
        let mut all = String::new();
        for (i, argument) in arguments.iter().enumerate() {
            match literal(argument) {
                _ if i == at => all.push_str(text),
                Some(Literal::Text(part)) => all.push_str(part),
                _ => return None,
            }
        }
        return Some(all);
    }
    if at != 0 {
        return None;
    }
    let length = i64::try_from(text.chars().count()).ok()?;
    let cut = |from: i64, to: i64| -> Option<String> {
        let from = usize::try_from(from.clamp(0, length)).ok()?;
        let to = usize::try_from(to.clamp(0, length)).ok()?;
        Some(text.chars().take(to).skip(from).collect())
    };
    match (function, arguments.len()) {
        (Function::Lower, 1) => Some(text.to_lowercase()),
        (Function::Upper, 1) => Some(text.to_uppercase()),
        (Function::Trim, 1) => Some(text.trim_matches(' ').to_owned()),
        (Function::TrimStart, 1) => Some(text.trim_start_matches(' ').to_owned()),
        (Function::TrimEnd, 1) => Some(text.trim_end_matches(' ').to_owned()),
        (Function::Left, 2) => {
            let n = number(arguments, 1)?;
            cut(0, if n < 0 { length.checked_add(n)? } else { n })
        }
        (Function::Right, 2) => {
            let n = number(arguments, 1)?;
            cut(if n < 0 { n.checked_neg()? } else { length - n.min(length) }, length)
        }
        (Function::Substring, 2) => {
            number(arguments, 1).filter(|from| *from >= 1).and_then(|from| cut(from - 1, length))
        }
        (Function::Substring, 3) => {
            let (from, count) = (number(arguments, 1)?, number(arguments, 2)?);
            if from < 1 || count < 0 { None } else { cut(from - 1, (from - 1).saturating_add(count)) }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(texts: &[&str]) -> Value {
        let mut value = Value::text(false);
        value.domain = Some(Arc::new(texts.iter().map(|t| Literal::Text((*t).into())).collect()));
        value
    }

    fn made(function: Function, texts: &[&str], rest: &[Literal]) -> Vec<String> {
        let arguments: Vec<Value> = [domain(texts)].into_iter().chain(rest.iter().map(Value::of_literal)).collect();
        let image = image(function, &arguments, &Work::of_one_plan()).expect("an image");
        image.iter().map(|l| if let Literal::Text(t) = l { t.clone() } else { panic!("a text") }).collect()
    }

    #[test]
    fn images_of_domains() {
        let codes = ["530102", "530103", "530302"];
        assert_eq!(made(Function::Left, &codes, &[Literal::Int(4)]), ["5301", "5303"]);
        assert_eq!(made(Function::Left, &["昆明市", "x"], &[Literal::Int(-1)]), ["昆明", ""]);
        assert_eq!(made(Function::Right, &codes, &[Literal::Int(2)]), ["02", "03"]);
        assert_eq!(made(Function::Right, &["昆明市"], &[Literal::Int(-1)]), ["明市"]);
        assert_eq!(made(Function::Substring, &codes, &[Literal::Int(3), Literal::Int(2)]), ["01", "03"]);
        assert_eq!(made(Function::Substring, &codes, &[Literal::Int(5)]), ["02", "03"]);
        assert_eq!(made(Function::Upper, &["a", "A", "ß"], &[]), ["A", "SS"]);
        assert_eq!(made(Function::Trim, &[" a ", "a"], &[]), ["a"]);
        assert_eq!(made(Function::Concat, &["a"], &[Literal::Text("市".into())]), ["a市"]);
    }

    #[test]
    fn what_is_not_known_has_no_image() {
        let none = |function, arguments: &[Value]| image(function, arguments, &Work::of_one_plan()).is_none();
        assert!(none(Function::Substring, &[domain(&["a"]), Value::of_literal(&Literal::Int(0))]));
        assert!(none(Function::Left, &[Value::text(false), Value::of_literal(&Literal::Int(1))]));
        assert!(none(Function::Concat, &[domain(&["a", "b"]), domain(&["c", "d"])]));
        assert!(none(
            Function::Concat,
            &[domain(&["a", "b"]).nullable(true), Value::of_literal(&Literal::Text("x".into()))]
        ));
    }
}
