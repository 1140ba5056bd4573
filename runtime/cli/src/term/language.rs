//! Which language to speak.

use yunei_policy::Lang;

/// The language: the flag if given, else what the locale says (POSIX: the first of `LC_ALL`, `LC_MESSAGES` and
/// `LANG` that is set and not empty), Chinese for `zh…`, English for everything else.
pub(crate) fn language(flag: Option<Lang>, env: impl Fn(&str) -> Option<String>) -> Lang {
    flag.unwrap_or_else(|| {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(env).find(|value| !value.is_empty());
        match locale {
            Some(locale) if is_chinese(&locale) => Lang::Zh,
            _ => Lang::En,
        }
    })
}

/// `zh`, `zh_CN.UTF-8`, `zh-Hans`; not `zha`, which is Zhuang.
fn is_chinese(locale: &str) -> bool {
    let language = locale.split(['_', '-', '.', '@']).next().unwrap_or_default();
    language.eq_ignore_ascii_case("zh") || language.eq_ignore_ascii_case("chinese")
}

/// The value of `--lang`: `zh` or `en`.
///
/// # Errors
/// A sentence in both languages, for the command line to show.
pub(crate) fn parse_language(value: &str) -> Result<Lang, String> {
    match value {
        "zh" => Ok(Lang::Zh),
        "en" => Ok(Lang::En),
        _ => Err("zh 或 en / zh or en".to_owned()),
    }
}
