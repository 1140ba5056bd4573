//! The tamper-evident log and its receipts.
