//! Names, put together by chance from common characters. Any likeness to a living person is accidental.
//!
//! Characters that would make everyday words (一张静态表、任何自然人) are left out, so that a search for the names in
//! the program's own texts finds nothing by accident.

use super::draw::Draw;

/// Surnames of Yunnan with a weight near their share in thousandths.
const SURNAMES: &[(&str, u32)] = &[
    ("李", 92),
    ("杨", 86),
    ("张", 74),
    ("王", 72),
    ("陈", 44),
    ("刘", 40),
    ("赵", 34),
    ("周", 28),
    ("罗", 26),
    ("马", 24),
    ("黄", 20),
    ("何", 18),
    ("徐", 15),
    ("朱", 15),
    ("吴", 15),
    ("段", 12),
    ("普", 10),
    ("孙", 10),
    ("胡", 10),
    ("白", 9),
    ("高", 9),
    ("郭", 9),
    ("唐", 9),
    ("余", 9),
    ("和", 8),
    ("董", 8),
    ("尹", 8),
    ("谢", 8),
    ("邓", 8),
    ("彭", 8),
    ("曾", 7),
    ("蒋", 7),
    ("刀", 6),
    ("沈", 6),
    ("毕", 6),
    ("木", 5),
    ("施", 5),
    ("方", 5),
    ("龙", 5),
    ("熊", 5),
    ("许", 5),
    ("宋", 5),
    ("郑", 5),
    ("范", 4),
    ("田", 4),
    ("丁", 4),
    ("金", 4),
    ("苏", 4),
    ("袁", 4),
    ("冯", 4),
    ("梁", 4),
    ("林", 4),
    ("字", 3),
    ("鲁", 3),
    ("钱", 3),
    ("韩", 3),
    ("叶", 3),
    ("卢", 3),
    ("侯", 3),
    ("孔", 3),
    ("邱", 3),
    ("付", 3),
    ("陶", 3),
    ("晏", 2),
    ("夏", 2),
    ("缪", 1),
    ("欧阳", 1),
];

/// How many of [`SURNAMES`], from the first, may stand before a given name of one character.
const SHORT_SURNAMES: usize = 15;

const MEN_FIRST: &[&str] = &[
    "建", "国", "志", "文", "永", "家", "光", "正", "天", "云", "海", "绍", "开", "金", "世", "春", "俊", "子", "浩",
    "宇", "思", "兴", "荣", "加", "明", "德", "朝", "忠",
];
const MEN_SECOND: &[&str] = &[
    "华", "平", "明", "强", "军", "伟", "林", "辉", "祥", "福", "荣", "贵", "学", "龙", "鹏", "飞", "涛", "云", "波",
    "生", "才", "富", "勇", "杰", "轩", "豪", "然", "宏", "昌", "顺",
];
const MEN_ONLY: &[&str] = &["磊", "涛", "鹏", "斌", "杰", "凯"];

const WOMEN_FIRST: &[&str] = &[
    "丽", "秀", "春", "小", "美", "玉", "桂", "晓", "雪", "文", "思", "佳", "梦", "金", "艳", "红", "云", "海", "雨",
    "欣", "子", "凤", "琼", "彩", "慧", "淑", "正", "永",
];
const WOMEN_SECOND: &[&str] = &[
    "芬", "英", "芳", "兰", "仙", "琼", "梅", "珍", "花", "华", "燕", "娟", "萍", "丽", "红", "玲", "霞", "菊", "敏",
    "婷", "怡", "涵", "琪", "莲", "芝", "琴", "蓉", "萱",
];
const WOMEN_ONLY: &[&str] = &["婷", "娜", "娟", "艳", "洁", "燕"];

/// The name of a woman or a man: two to four characters, mostly three.
pub(super) fn person(draw: &mut Draw, woman: bool) -> String {
    let (first, second, only) =
        if woman { (WOMEN_FIRST, WOMEN_SECOND, WOMEN_ONLY) } else { (MEN_FIRST, MEN_SECOND, MEN_ONLY) };
    let mut name = String::with_capacity(12);
    if draw.chance(1, 8) {
        name.push_str(draw.weighted(&SURNAMES[..SHORT_SURNAMES], |s| s.1).0);
        name.push_str(one_of(draw, only));
    } else {
        name.push_str(draw.weighted(SURNAMES, |s| s.1).0);
        name.push_str(one_of(draw, first));
        name.push_str(one_of(draw, second));
    }
    name
}

const FIRM_FIRST: &[&str] = &[
    "滇", "云", "彩", "恒", "泰", "鑫", "宏", "瑞", "昌", "盛", "源", "丰", "嘉", "茂", "荣", "锦", "祥", "隆", "翠",
    "澜", "苍", "洱", "翔", "腾",
];
const FIRM_SECOND: &[&str] = &[
    "达", "通", "利", "和", "源", "润", "华", "丰", "兴", "旺", "康", "润", "信", "诚", "辉", "宇", "岭", "泽", "禾",
    "峰", "远", "邦", "亿", "佳",
];

/// The name of an enterprise: its place, a fancy word, its trade and its form.
pub(super) fn firm(draw: &mut Draw, place: &str, trade: &str) -> String {
    let first = one_of(draw, FIRM_FIRST);
    let second = one_of(draw, FIRM_SECOND);
    let third = one_of(draw, FIRM_SECOND);
    format!("{place}{first}{second}{third}{trade}有限公司")
}

fn one_of(draw: &mut Draw, from: &[&'static str]) -> &'static str {
    let length = u32::try_from(from.len()).expect("a table of this file");
    from[draw.below(length) as usize]
}
