//! Price classes: whether the use of a product is charged for.

use serde::{Deserialize, Serialize};

/// The price class of a product. Products for public governance and public welfare are free of charge, under conditions;
/// those for industry and business are charged for under the guidance price of the government (《关于建立公共数据资源授权运营
/// 价格形成机制的通知》, 2025).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceClass {
    /// 公共治理、公益事业: free of charge.
    Free,
    /// 产业发展、行业发展: charged for.
    Charged,
}

impl PriceClass {
    /// `free` or `charged`.
    pub const fn as_str(self) -> &'static str {
        match self {
            PriceClass::Free => "free",
            PriceClass::Charged => "charged",
        }
    }

    /// The class of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [PriceClass::Free, PriceClass::Charged].into_iter().find(|class| class.as_str() == word)
    }
}
