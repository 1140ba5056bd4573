;; Calls itself twice at every level: exponential work in a few bytes.
(module
  (memory 1)
  (func $bomb (param $n i32)
    (i32.store (i32.mul (local.get $n) (i32.const 64)) (local.get $n))
    (if (local.get $n) (then
      (call $bomb (i32.sub (local.get $n) (i32.const 1)))
      (call $bomb (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (call $bomb (i32.const 60)) (f64.const 0.25)))
