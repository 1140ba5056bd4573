//! The sixteen prefectures of Yunnan and their counties (GB/T 2260 codes as of 2021).

/// A prefecture-level division.
pub(crate) struct Prefecture {
    /// The short name, as the catalogue declares it.
    pub(crate) name: &'static str,
    /// The name in Latin letters, for English texts.
    pub(crate) latin: &'static str,
    /// Residents in units of ten thousand (census of 2020, rounded): only the proportions matter.
    pub(super) weight: u32,
    /// Earnings against the province's, in per cent; invented.
    pub(super) level: u32,
    /// The first four digits of its counties' codes.
    pub(super) code: u32,
    /// The last two digits of its counties' codes.
    pub(super) counties: &'static [u32],
}

impl Prefecture {
    /// The `n`th of the six-digit county codes, counted round.
    pub(super) fn county(&self, n: u32) -> u32 {
        self.code * 100 + self.counties[n as usize % self.counties.len()]
    }
}

const fn place(
    name: &'static str,
    latin: &'static str,
    weight: u32,
    level: u32,
    code: u32,
    counties: &'static [u32],
) -> Prefecture {
    Prefecture { name, latin, weight, level, code, counties }
}

/// All sixteen, in the order of their codes.
pub(crate) const PREFECTURES: [Prefecture; 16] = [
    place("昆明", "Kunming", 846, 132, 5301, &[2, 3, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 81]),
    place("曲靖", "Qujing", 577, 104, 5303, &[2, 3, 4, 22, 23, 24, 25, 26, 81]),
    place("玉溪", "Yuxi", 225, 114, 5304, &[2, 3, 23, 24, 25, 26, 27, 28, 81]),
    place("保山", "Baoshan", 243, 94, 5305, &[2, 21, 23, 24, 81]),
    place("昭通", "Zhaotong", 509, 82, 5306, &[2, 21, 22, 23, 24, 25, 26, 27, 28, 29, 81]),
    place("丽江", "Lijiang", 125, 98, 5307, &[2, 21, 22, 23, 24]),
    place("普洱", "Pu'er", 241, 92, 5308, &[2, 21, 22, 23, 24, 25, 26, 27, 28, 29]),
    place("临沧", "Lincang", 226, 88, 5309, &[2, 21, 22, 23, 24, 25, 26, 27]),
    place("楚雄", "Chuxiong", 242, 100, 5323, &[1, 2, 22, 23, 24, 25, 26, 27, 28, 29]),
    place("红河", "Honghe", 448, 99, 5325, &[1, 2, 3, 4, 23, 24, 25, 27, 28, 29, 30, 31, 32]),
    place("文山", "Wenshan", 350, 87, 5326, &[1, 22, 23, 24, 25, 26, 27, 28]),
    place("西双版纳", "Xishuangbanna", 130, 97, 5328, &[1, 22, 23]),
    place("大理", "Dali", 334, 101, 5329, &[1, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32]),
    place("德宏", "Dehong", 132, 91, 5331, &[2, 3, 22, 23, 24]),
    place("怒江", "Nujiang", 55, 78, 5333, &[1, 23, 24, 25]),
    place("迪庆", "Diqing", 39, 96, 5334, &[1, 22, 23]),
];
