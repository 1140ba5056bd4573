;; Stores across the edges of blocks and at the last bytes of the memory, after reading them.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.add (f64.load (i32.const 61)) (f64.add (f64.load offset=120 (i32.const 5)) (f64.load (i32.const 65528))))
    (f64.store (i32.const 61) (f64.div (local.get $income) (f64.const 1e6)))
    (f64.store offset=120 (i32.const 5) (f64.div (local.get $debts) (f64.const 1e6)))
    (f64.store (i32.const 65528) (f64.div (local.get $months) (f64.const 1e3)))
    (i64.store16 (i32.const 63) (i64.const -1))
    (i32.store8 (i32.const 64) (i32.const 255))))
