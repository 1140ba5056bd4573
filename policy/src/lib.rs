//! Decisions of Yunei: who may do what, what may leave, and how exactly. Pure.
