//! A receipt is verified by checking it.
use yunei_audit::{Receipt, VerifiedReceipt};

fn believe(receipt: Receipt) -> VerifiedReceipt {
    VerifiedReceipt { receipt, witnesses: Vec::new() }
}

fn main() {}
